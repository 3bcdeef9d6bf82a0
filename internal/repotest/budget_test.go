//go:build linux && !purego

package repotest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// budget is how many lines there may be. It only goes down: whoever needs more changes the number
// in the same commit, and says why.
var budget = []struct {
	what  string
	most  int
	count func() int
}{
	{"the documentation of package scm (go doc -all .)", 730, func() int { return strings.Count(goTool{}.must("doc", "-all", "."), "\n") }},
	{"package scm without tests", 2920, func() int { return goLines(".", false, false) }},
	{"the tests of package scm", 8730, func() int { return goLines(".", false, true) }},
	{"internal/sys", 1600, func() int { return goLines("internal/sys", true, false) }},
	{"internal/recorder without tests", 4090, func() int { return goLines("internal/recorder", true, false) }},
	{"interop without its peers and tests", 9560, func() int {
		return goLines("interop", true, false) - goLines("interop/peers", true, false)
	}},
	{"cmd/scm without tests", 2550, func() int { return goLines("cmd/scm", true, false) }},
	{"all Go without tests", 33_359, func() int { return goLines(".", true, false) }},
	{"all tests in Go", 32_770, func() int { return goLines(".", true, true) }},
}

// goLines counts the lines of Go files in a folder, in the folders below too or not, of tests or
// of what is none.
func goLines(folder string, below, tests bool) (lines int) {
	GinkgoHelper()
	Expect(filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != folder && (!below || d.Name() == "build" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") != tests:
			return nil
		}
		text, err := os.ReadFile(path)
		lines += bytes.Count(text, []byte("\n"))
		return err
	})).To(Succeed())
	return lines
}

var _ = Describe("the budget of lines", Label("house"), func() {
	for _, b := range budget {
		It("is kept by "+b.what, func() {
			lines := b.count()
			Expect(lines).To(BeNumerically(">", b.most/2), "lines that were counted")
			Expect(lines).To(BeNumerically("<=", b.most))
		})
	}
})
