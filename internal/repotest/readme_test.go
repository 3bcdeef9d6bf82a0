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
		text := contents("README.md")
		program := between(text, "```go\n", "```\n")
		says := between(program, "// ", "\n")

		here := ok(os.Getwd())
		spans := strings.Split(between(text, "\nThe module is not published. Use a checkout: ", "\n"), "`")
		Expect(spans).To(HaveLen(5), "two commands")
		for _, command := range []string{spans[1], spans[3]} {
			dir := GinkgoT().TempDir()
			Expect(os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o666)).To(Succeed())
			user := goTool{dir: dir}
			user.must("mod", "init", "example.com/user")
			cmd := exec.Command("sh", "-ec", strings.ReplaceAll(command, "PATH", "'"+here+"'"))
			cmd.Dir = dir
			runs(cmd)
			user.must("vet", ".")
			Expect(strings.TrimSpace(user.must("run", "."))).To(Equal(says), command)
		}
	})
})

// between is what a text has between one mark and the next.
func between(text, from, to string) string {
	GinkgoHelper()
	_, rest, begins := strings.Cut(text, from)
	part, _, ends := strings.Cut(rest, to)
	Expect(begins && ends).To(BeTrue(), "nothing between %q and %q", from, to)
	return part
}
