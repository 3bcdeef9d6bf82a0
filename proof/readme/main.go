//go:build linux

// Command readme checks the comparison with other libraries, docs/comparison.md, against the report of a run. With -w,
// the command writes it from the report.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

const pageFile = "docs/comparison.md"

func main() {
	write := flag.Bool("w", false, "write docs/comparison.md")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: readme [-w] REPORT")
		os.Exit(2)
	}
	must.Main("readme", func() {
		must.OK(target.EnterRoot())
		run(".", flag.Arg(0), *write)
	})
}

func run(root, file string, write bool) {
	r := must.Get(report.Read(file))
	for _, p := range r.Peers {
		if p.NotRun == "" {
			continue
		}
		if write || os.Getenv("CI") == "true" && os.Getenv("PEERS") != "" {
			must.Failf("the report has no results for %s: %s", p.Name, p.NotRun)
		}
		fmt.Printf("readme: skipped: the report has no results for %s: %s\n", p.Name, p.NotRun)
		return
	}
	t := compare(r)
	path := filepath.Join(root, pageFile)
	if write {
		must.OK(os.WriteFile(path, []byte(t.page()), 0o666))
		return
	}
	page, err := os.ReadFile(path)
	if err == nil {
		err = t.comparePage(string(page))
	}
	if err != nil {
		must.Failf("%w\nto update the page: go run -C proof ./readme -w %s", err, file)
	}
}

// comparePage compares docs/comparison.md with the generated text. It skips a row if the report is about different
// versions of other libraries, and compares the rest of the page only if it skips none.
func (t *comparison) comparePage(page string) (wrong error) {
	others := false
	for i, w := range rows {
		_, section, found := strings.Cut(page, "\n"+sectionOf(i))
		section, _, _ = strings.Cut(section, "\n")
		wanted := strings.TrimPrefix(strings.TrimSuffix(t.section(i), "\n"), sectionOf(i))
		version, _, _ := strings.Cut(section, "(`")
		version = strings.TrimSpace(version)
		switch {
		case found && !w.ours() && version != t.versions[i]:
			others = true
			fmt.Printf("readme: %s is not compared: the report is about version %s, the page about %s\n", w.Name, t.versions[i], version)
		case !strings.Contains(page, "\n"+t.line(i)):
			wrong = errors.Join(wrong, fmt.Errorf("%s has a different row for %s; the report gives:\n%s", pageFile, w.Name, t.line(i)))
		case !found || section != wanted:
			wrong = errors.Join(wrong, difference(pageFile+": "+w.Name, section, wanted))
		}
	}
	if others || wrong != nil {
		return wrong
	}
	return difference(pageFile, page, t.page())
}

// difference returns an error with the first line of a text that differs from the wanted one, or nil.
func difference(name, text, wanted string) error {
	if text == wanted {
		return nil
	}
	at := 0
	for at < min(len(text), len(wanted)) && text[at] == wanted[at] {
		at++
	}
	const most = 120 // bytes before and after the difference, because a row of the table can have a thousand
	line := func(text string) string {
		start := max(strings.LastIndexByte(text[:at], '\n')+1, at-most)
		end := at + strings.IndexByte(text[at:]+"\n", '\n')
		return text[start:min(end, at+most)]
	}
	return fmt.Errorf("%s differs from the report: it has %q, the report gives %q", name, line(text), line(wanted))
}
