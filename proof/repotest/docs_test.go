//go:build linux && !purego && !scm_purego

package repotest

import (
	"go/format"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var fenced = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// flat returns a text without its indentation.
func flat(text string) string { return regexp.MustCompile(`(?m)^[\t ]+`).ReplaceAllString(text, "") }

// make lint-links checks the links, and the pages that other files name.
var _ = Describe("the pages", Label("tree"), func() {
	It("have Go code that gofmt would not change", func() {
		blocks := 0
		for _, name := range treeFiles(".md") {
			for _, code := range fenced.FindAllStringSubmatch(contents(name), -1) {
				if code[1] == "go" && !strings.Contains(code[2], "…") { // … means that code was left out
					blocks++
					Expect(format.Source([]byte(code[2]))).To(BeEquivalentTo(code[2]), name)
				}
			}
		}
		Expect(blocks).To(BeNumerically(">", 10))
	})

	It("are all in docs/README.md", func() {
		list := contents("docs/README.md")
		for _, name := range ok(filepath.Glob("docs/*.md")) {
			if name = filepath.Base(name); name != "README.md" {
				Expect(list).To(ContainSubstring("\n- [" + name + "](" + name + "): "))
			}
		}
	})

	// In go.mod, a checkout has the version 0.0.0. If that of csrc ends in -dev, the pages have the one before.
	It("have the same version of scm as csrc", func() {
		documented := regexp.MustCompile(`(?:\bscm(?:_rights)?[-:]|\bscm@v|/download/v|=csrc version=|SCM_VERSION ")(\d+\.\d+\.\d+)(-dev)?`)
		versions := map[string][]string{}
		files := append(ok(filepath.Glob("docs/*.md")), ok(filepath.Glob("docs/ci/*"))...)
		for _, name := range append(files, "README.md", "interop/peers/README.md", "csrc/scm_rights.h") {
			for _, m := range documented.FindAllStringSubmatch(contents(name), -1) {
				if m[1] != "0.0.0" && m[2] == "" {
					versions[m[1]] = append(versions[m[1]], name)
				}
			}
		}
		Expect(versions).To(HaveLen(1))
	})

	It("show the current code of the example programs", func() {
		examples := ""
		for _, file := range filesBelow("examples") {
			examples += flat(contents("examples" + file))
		}
		for _, name := range append(ok(filepath.Glob("docs/howto*.md")), "docs/handover.md") {
			blocks := fenced.FindAllStringSubmatch(contents(name), -1)
			Expect(blocks).NotTo(BeEmpty(), name)
			for _, block := range blocks {
				if block[1] == "mermaid" {
					continue
				}
				Expect(examples).To(ContainSubstring(flat(block[2])), name)
			}
		}
	})
})
