//go:build linux && !purego

package repotest

import (
	"os"
	"os/exec"
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
		_, line, ok := strings.Cut(string(text), "\nThe module is not published. Use a checkout: ")
		Expect(ok).To(BeTrue(), "README.md does not say how a checkout is used")
		line, _, _ = strings.Cut(line, "\n")
		spans := strings.Split(line, "`")
		Expect(spans).To(HaveLen(5), "two commands")
		for _, command := range []string{spans[1], spans[3]} {
			dir := GinkgoT().TempDir()
			Expect(os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o666)).To(Succeed())
			user := goTool{dir: dir}
			user.must("mod", "init", "example.com/user")
			cmd := exec.Command("sh", "-ec", strings.ReplaceAll(command, "PATH", "'"+here+"'"))
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "%s: %s", command, out)
			user.must("vet", ".")
			Expect(strings.TrimSpace(user.must("run", "."))).To(Equal(says), command)
		}
	})
})
