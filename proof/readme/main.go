//go:build linux

// Command readme checks the comparison with other libraries, in README.md and docs/comparison.md, against the report of
// a run. With -w, the command writes it from the report.
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

const (
	readmeFile = "README.md"
	pageFile   = "docs/comparison.md"
)

func main() {
	write := flag.Bool("w", false, "write README.md and docs/comparison.md")
	where := flag.String("as", "", "write docs/comparison.json from the report of a run with the packages of this `RELEASE` of Debian")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: readme [-w] REPORT | readme -as RELEASE REPORT")
		os.Exit(2)
	}
	err := must.Try(func() {
		must.OK(target.EnterRoot())
		if *where != "" {
			keepOthers(".", *where, flag.Arg(0))
		} else {
			run(".", flag.Arg(0), *write)
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(root, file string, write bool) {
	r := must.Get(report.Read(file))
	for _, p := range r.Peers {
		if p.NotRun != "" {
			fmt.Printf("readme: skipped: the report has no results for %s: %s\n", p.Name, p.NotRun)
			return
		}
	}
	t := compare(r)
	t.others = must.Get(readOthers(root))
	readmePath, pagePath := filepath.Join(root, readmeFile), filepath.Join(root, pageFile)
	readme := string(must.Get(os.ReadFile(readmePath)))
	filled := must.Get(t.readme(readme))
	if write {
		must.OK(os.WriteFile(readmePath, []byte(filled), 0o666))
		must.OK(os.WriteFile(pagePath, []byte(t.page()), 0o666))
		return
	}
	page, err := os.ReadFile(pagePath)
	if err == nil {
		err = t.comparePages(readme, string(page), filled)
	}
	if err != nil {
		must.Failf("%w\nto update the pages: go run -C proof ./readme -w %s", err, file)
	}
}

// comparePages compares README.md and docs/comparison.md with the generated text. It skips a row if the report is about
// different versions of the row's peers, and compares the rest of the pages only if it skips none.
func (t *comparison) comparePages(readme, page, filled string) (wrong error) {
	others := false
	for i, w := range rows {
		_, section, found := strings.Cut(page, "\n## "+w.Name+"\n")
		_, version, _ := strings.Cut(section, " Version: ")
		switch {
		case found && !strings.HasPrefix(version, t.versions[i]+".\n"):
			others = true
			version, _, _ = strings.Cut(version, "\n")
			fmt.Printf("readme: %s is not compared: the report is about version %s, the pages about %s\n", w.Name, t.versions[i], version)
		case w.Readme && !strings.Contains(readme, "\n"+t.line(i, "")):
			wrong = errors.Join(wrong, t.differentRow(readmeFile, i))
		case !strings.Contains(page, "\n"+t.line(i, mark)):
			wrong = errors.Join(wrong, t.differentRow(pageFile, i))
		case !strings.Contains(page, t.section(i)):
			section, _, _ = strings.Cut(section, "\n## ")
			_, wanted, _ := strings.Cut(t.section(i), w.Name+"\n")
			wrong = errors.Join(wrong, difference(pageFile+": "+w.Name, section, strings.TrimSuffix(wanted, "\n")))
		}
	}
	if others || wrong != nil {
		return wrong
	}
	return errors.Join(difference(readmeFile, readme, filled), difference(pageFile, page, t.page()))
}

func (t *comparison) differentRow(file string, i int) error {
	return fmt.Errorf("%s has a different row for %s; the report gives:\n%s", file, rows[i].Name, t.line(i, ""))
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

// readme returns the text of README.md with the part between the markers replaced.
func (t *comparison) readme(text string) (string, error) {
	return fillMarkers(readmeFile, text, func(marker, _ string) (string, error) {
		if marker != "comparison" {
			return "", fmt.Errorf("unknown marker %q", marker)
		}
		return t.summary(), nil
	})
}
