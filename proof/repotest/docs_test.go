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

var (
	indented = regexp.MustCompile(`(?m)^    .*$`)
	endless  = regexp.MustCompile(`\b(until|while)\b.*; *do\b|(^|[^&<>])&($|[^&>\d])`)
)

// endlessCommands returns the shell commands of a page that can run forever after another one has failed: loops, and
// background processes without a time limit.
func endlessCommands(text string) (lines []string) {
	shell := indented.FindAllString(fenced.ReplaceAllString(text, ""), -1)
	for _, block := range fenced.FindAllStringSubmatch(text, -1) {
		if block[1] == "" || block[1] == "sh" {
			shell = append(shell, strings.Split(block[2], "\n")...)
		}
	}
	for _, line := range shell {
		if line = strings.TrimSpace(line); endless.MatchString(line) && !strings.Contains(line, "--timeout") {
			lines = append(lines, line)
		}
	}
	return lines
}

// splitTables returns the rows of tables in a page that follow a blank line, but begin no table.
func splitTables(text string) (rows []string) {
	lines := strings.Split(fenced.ReplaceAllString(text, ""), "\n")
	for i := 1; i < len(lines)-1; i++ {
		if lines[i-1] == "" && strings.HasPrefix(lines[i], "|") && !regexp.MustCompile(`^\|:?--`).MatchString(lines[i+1]) {
			rows = append(rows, lines[i])
		}
	}
	return rows
}

// flat returns a text without its indentation.
func flat(text string) string { return regexp.MustCompile(`(?m)^[\t ]+`).ReplaceAllString(text, "") }

var _ = Describe("the pages", Label("house"), func() {
	It("have no broken links, and their Go code is formatted", func() {
		var faults []string
		pages := 0
		for _, name := range filesBelow(".") {
			if name = strings.TrimPrefix(name, "/"); filepath.Ext(name) == ".md" {
				pages++
				faults = append(faults, broken(name, contents(name))...)
			}
		}
		Expect(pages).To(BeNumerically(">", 15))
		Expect(faults).To(BeEmpty())
		for _, text := range []string{"[x](none.md)", "[x](README.md#none)", "[x](#none)", "```go\nif {\n```\n", "```go\nx  := 1\n```\n"} {
			Expect(broken("x.md", text)).To(HaveLen(1), text)
		}
	})

	It("show the files that a user copies into a CI system", func() {
		var shown []string
		for _, block := range fenced.FindAllStringSubmatch(contents("docs/ci.md"), -1) {
			if block[1] == "yaml" {
				shown = append(shown, block[2])
			}
		}
		Expect(shown).To(Equal([]string{contents("docs/ci/github.yml"), contents("docs/ci/gitlab.yml")}))
	})

	It("have no table that a blank line splits", func() {
		for _, name := range filesBelow(".") {
			if name = strings.TrimPrefix(name, "/"); filepath.Ext(name) == ".md" {
				Expect(splitTables(contents(name))).To(BeEmpty(), name)
			}
		}
		const table = "| a |\n|---|\n| b |\n"
		Expect(splitTables(table + "\ntext\n\n" + table + "```\n\n| no table\n```\n")).To(BeEmpty())
		Expect(splitTables(table + "\n| c |\n")).To(Equal([]string{"| c |"}))
	})

	It("have no shell command that can run forever after another one has failed", func() {
		for _, name := range filesBelow(".") {
			if name = strings.TrimPrefix(name, "/"); filepath.Ext(name) == ".md" {
				Expect(endlessCommands(contents(name))).To(BeEmpty(), name)
			}
		}
		for _, line := range []string{"until ./receive 2>log; do sleep 0.2; done", "while :; do a; done", "a &", "$ a & b --flag; wait"} {
			Expect(endlessCommands("    "+line+"\n")).To(HaveLen(1), line)
			Expect(endlessCommands("```sh\n"+line+"\n```\n")).To(HaveLen(1), line)
		}
		for _, line := range []string{"a && b", "a 2>&1 | b", "a --timeout 5s &"} {
			Expect(endlessCommands("    "+line+"\n")).To(BeEmpty(), line)
		}
	})

	It("name every Example function, and show the current code of the example programs", func() {
		index := contents("docs/README.md")
		var files []string
		for _, pkg := range publicFolders() {
			files = append(files, ok(filepath.Glob(pkg+"/*_test.go"))...)
		}
		for _, file := range files {
			for _, f := range regexp.MustCompile(`(?m)^func (Example\w*)`).FindAllStringSubmatch(contents(file), -1) {
				Expect(index).To(ContainSubstring("`"+f[1]+"`"), file)
			}
		}
		examples := ""
		for _, file := range filesBelow("examples") {
			examples += flat(contents("examples" + file))
		}
		for _, name := range ok(filepath.Glob("docs/howto-*.md")) {
			Expect(index).To(ContainSubstring("(" + filepath.Base(name) + ")"))
			example := strings.TrimSuffix(strings.TrimPrefix(name, "docs/howto-"), ".md")
			sources := examples
			for _, file := range ok(filepath.Glob(example + "/example*_test.go")) { // of the package with this name
				sources += flat(contents(file))
			}
			blocks := fenced.FindAllStringSubmatch(contents(name), -1)
			Expect(blocks).NotTo(BeEmpty(), name)
			for _, block := range blocks {
				Expect(sources).To(ContainSubstring(flat(block[2])), name)
			}
		}
	})
})
