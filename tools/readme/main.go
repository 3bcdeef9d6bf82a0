//go:build linux

// Command readme compares what README.md and docs/comparison.md take from a run, the matrix and the table of
// other libraries, with the report of one, or with -w writes what the report says.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/scm-rights/scm/interop/report"
)

const (
	readmeFile = "README.md"
	pageFile   = "docs/comparison.md"
)

func main() {
	write := flag.Bool("w", false, "write README.md and docs/comparison.md")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: readme [-w] REPORT")
		os.Exit(2)
	}
	if err := run(".", flag.Arg(0), *write); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(root, file string, write bool) error {
	r, err := report.Read(file)
	if err != nil {
		return err
	}
	for _, p := range r.Peers {
		if p.NotRun != "" {
			fmt.Printf("readme: nothing is compared, %s is not there: %s\n", p.Name, p.NotRun)
			return nil
		}
	}
	t := compare(r)
	readmePath, pagePath := filepath.Join(root, readmeFile), filepath.Join(root, pageFile)
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		return err
	}
	wanted, err := t.readme(string(readme))
	if err != nil {
		return err
	}
	if write {
		err := os.WriteFile(readmePath, []byte(wanted), 0o666)
		return errors.Join(err, os.WriteFile(pagePath, []byte(t.page()), 0o666))
	}
	page, err := os.ReadFile(pagePath)
	if err == nil {
		err = t.check(string(readme), wanted, string(page))
	}
	if err != nil {
		err = fmt.Errorf("%w\ngo run ./tools/readme -w %s writes what the report says", err, file)
	}
	return err
}

// check compares both pages with what they should be. A row about another version of its peers may differ:
// the rest is then compared row by row.
func (t *comparison) check(readme, wanted, page string) (wrong error) {
	others := false
	for i, w := range rows {
		_, section, found := strings.Cut(page, "\n## "+w.name+"\n")
		_, version, _ := strings.Cut(section, " Version: ")
		switch {
		case found && !strings.HasPrefix(version, t.versions[i]+".\n"):
			others = true
			version, _, _ = strings.Cut(version, "\n")
			fmt.Printf("readme: %s is not compared: it is %s here, and the pages are about %s\n", w.name, t.versions[i], version)
		case !strings.Contains(readme, "\n"+t.line(i)) || !strings.Contains(page, t.section(i)):
			wrong = errors.Join(wrong, fmt.Errorf("%s or %s has another row of %s:\n%s", readmeFile, pageFile, w.name, t.line(i)))
		}
	}
	switch {
	case wrong != nil:
	case others:
		fmt.Println("readme: the matrix is not compared")
	case readme != wanted:
		wrong = fmt.Errorf("%s has another matrix or table than the report", readmeFile)
	case page != t.page():
		wrong = fmt.Errorf("%s is not what the report says", pageFile)
	}
	return wrong
}

// readme puts the matrix and the table into the text of README.md.
func (t *comparison) readme(text string) (string, error) {
	for _, block := range []struct{ begin, body string }{
		{"<!-- matrix stream -->\n", t.matrix},
		{"<!-- comparison -->\n", t.table()},
	} {
		const end = "<!-- end -->\n"
		head, rest, ok := strings.Cut(text, block.begin)
		_, tail, ended := strings.Cut(rest, end)
		if !ok || !ended {
			return "", fmt.Errorf("%s has no %s", readmeFile, strings.TrimSpace(block.begin))
		}
		text = head + block.begin + block.body + end + tail
	}
	return text, nil
}
