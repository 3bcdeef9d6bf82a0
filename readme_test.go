//go:build linux && !purego

package scm_test

import (
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("README", Label("house"), func() {
	It("shows a program that does what its comment says, built from a checkout as told", func() {
		text, err := os.ReadFile("README.md")
		Expect(err).NotTo(HaveOccurred())
		_, program, ok := strings.Cut(string(text), "```go\n")
		Expect(ok).To(BeTrue(), "README.md shows no program")
		program, _, ok = strings.Cut(program, "```\n")
		Expect(ok).To(BeTrue())
		_, says, ok := strings.Cut(program, "// ")
		Expect(ok).To(BeTrue(), "the program does not say what it prints")
		says, _, _ = strings.Cut(says, "\n")

		here, err := os.Getwd()
		Expect(err).NotTo(HaveOccurred())
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o666)).To(Succeed())
		user := goTool{dir: dir, env: []string{"GOFLAGS=-mod=mod"}}
		user.must("mod", "init", "example.com/user")
		user.must("mod", "edit", "-require="+module+"@v0.0.0", "-replace="+module+"="+here)
		user.must("vet", ".")
		Expect(strings.TrimSpace(user.must("run", "."))).To(Equal(says))
	})
})
