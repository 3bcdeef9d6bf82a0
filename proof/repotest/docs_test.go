//go:build linux && !purego && !scm_purego

package repotest

import (
	"go/format"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var (
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced  = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	spans   = regexp.MustCompile("`[^`\n]*`")
	dropped = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns the anchors that GitHub generates from the headings.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		found[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
	}
	return found
}

// broken returns the faults of a page: broken links, and Go code that gofmt would change.
func broken(name, text string) (faults []string) {
	for _, l := range link.FindAllStringSubmatch(spans.ReplaceAllString(fenced.ReplaceAllString(text, ""), ""), -1) {
		if strings.Contains(l[1], ":") {
			continue
		}
		file, anchor, _ := strings.Cut(l[1], "#")
		target := name
		if file != "" {
			target = path.Join(path.Dir(name), file)
		}
		there, err := os.ReadFile(target)
		if info, e := os.Stat(target); e != nil || !info.IsDir() && (err != nil || anchor != "" && !anchors(string(there))[anchor]) {
			faults = append(faults, name+": "+l[1])
		}
	}
	for _, code := range fenced.FindAllStringSubmatch(text, -1) {
		if code[1] != "go" || strings.Contains(code[2], "…") { // … means that code was left out
			continue
		}
		if out, err := format.Source([]byte(code[2])); err != nil || string(out) != code[2] {
			faults = append(faults, name+": gofmt would change this: "+code[2])
		}
	}
	return faults
}

// named matches a page, with or without one of its anchors, where a comment, a message or a link in code names it.
var named = regexp.MustCompile(`\b(docs/[a-z-]+\.md)(?:#([\pL\pN_-]+))?`)

// lost returns the pages and anchors that a text names and that do not exist.
func lost(name, text string) (faults []string) {
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		if page, err := os.ReadFile(m[1]); err != nil || m[2] != "" && !anchors(string(page))[m[2]] {
			faults = append(faults, name+": "+m[0])
		}
	}
	return faults
}

// flat returns a text without its indentation.
func flat(text string) string { return regexp.MustCompile(`(?m)^[\t ]+`).ReplaceAllString(text, "") }

var _ = Describe("the pages", Label("tree"), func() {
	It("have no broken links, and their Go code is formatted", func() {
		var faults []string
		pages := treeFiles(".md")
		for _, name := range pages {
			faults = append(faults, broken(name, contents(name))...)
		}
		Expect(len(pages)).To(BeNumerically(">", 15))
		Expect(faults).To(BeEmpty())
		for _, text := range []string{"[x](none.md)", "[x](README.md#none)", "[x](#none)", "```go\nif {\n```\n", "```go\nx  := 1\n```\n"} {
			Expect(broken("x.md", text)).To(HaveLen(1), text)
		}
	})

	It("are all in docs/README.md", func() {
		list := contents("docs/README.md")
		for _, name := range ok(filepath.Glob("docs/*.md")) {
			if name = filepath.Base(name); name != "README.md" {
				Expect(list).To(ContainSubstring("\n- [" + name + "](" + name + "): "))
			}
		}
	})

	It("have every page and anchor that other files name", func() {
		var faults []string
		for _, name := range filesBelow(".") {
			// release-missing.sh looks for pages in the history.
			if filepath.Ext(name) != ".md" && filepath.Base(name) != "release-missing.sh" {
				faults = append(faults, lost(name, contents(name))...)
			}
		}
		Expect(faults).To(BeEmpty())
		for _, text := range []string{"docs/none" + ".md", "docs/pitfalls" + ".md#none"} {
			Expect(lost("x.go", "// see "+text+".")).To(ConsistOf("x.go: " + text))
		}
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
