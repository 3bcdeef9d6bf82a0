//go:build linux

// Command readme checks the generated parts of README.md and docs/ against the report of a run. The
// generated parts are the comparison with other libraries, the interoperability matrix and the faults found
// in libraries. With -w, the command writes these parts from the report.
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

	matrixFile  = "docs/matrix.md"
	pictureFile = "docs/matrix.svg"
)

func main() {
	write := flag.Bool("w", false, "write README.md, docs/comparison.md, docs/matrix.md, docs/matrix.svg, docs/findings.md and docs/findings")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: readme [-w] REPORT")
		os.Exit(2)
	}
	texts, err := readTexts()
	if err == nil {
		err = run(".", flag.Arg(0), *write, texts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(root, file string, write bool, texts []peerText) error {
	r, err := report.Read(file)
	if err != nil {
		return err
	}
	for _, p := range r.Peers {
		if p.NotRun != "" {
			fmt.Printf("readme: skipped: the report has no results for %s: %s\n", p.Name, p.NotRun)
			return nil
		}
	}
	faults, libraries, err := findings(r, texts)
	if err == nil && write {
		err = gone(libraries)
	}
	if err != nil {
		return err
	}
	t := compare(r)
	t.pages[pageFile] = t.page()
	whole, err := wholeMatrix(root, r, write)
	if err != nil {
		return err
	}
	t.pages[matrixFile], t.pages[pictureFile] = matrixPage(whole), picture(whole)
	readme, err := os.ReadFile(filepath.Join(root, readmeFile))
	if err == nil {
		t.pages[readmeFile], err = t.readme(string(readme))
	}
	for name, text := range t.pages {
		if write && err == nil {
			err = os.WriteFile(filepath.Join(root, name), []byte(text), 0o666)
		}
	}
	if write && err == nil {
		err = writeFindings(root, faults)
	}
	if write || err != nil {
		return err
	}
	page, err := os.ReadFile(filepath.Join(root, pageFile))
	if err == nil {
		err = errors.Join(t.comparePages(root, string(readme), string(page)), compareFindings(root, faults, libraries))
	}
	if err != nil {
		err = fmt.Errorf("%w\nto update the pages: go run ./tools/readme -w %s", err, file)
	}
	return err
}

// comparePages compares the pages with the generated text. It skips a row if the report is about different
// versions of the row's peers. If a row was skipped or differs, it does not compare the matrix.
func (t *comparison) comparePages(root, readme, page string) (wrong error) {
	others := false
	for i, w := range rows {
		_, section, found := strings.Cut(page, "\n## "+w.name+"\n")
		_, version, _ := strings.Cut(section, " Version: ")
		switch {
		case found && !strings.HasPrefix(version, t.versions[i]+".\n"):
			others = true
			version, _, _ = strings.Cut(version, "\n")
			fmt.Printf("readme: %s is not compared: the report is about version %s, the pages about %s\n", w.name, t.versions[i], version)
		case !strings.Contains(readme, "\n"+t.line(i)) || !strings.Contains(page, t.section(i)):
			wrong = errors.Join(wrong, fmt.Errorf("%s or %s has a different row for %s; the report gives:\n%s", readmeFile, pageFile, w.name, t.line(i)))
		}
	}
	if others || wrong != nil {
		fmt.Println("readme: the matrix is not compared")
		return wrong
	}
	for name, wanted := range t.pages {
		if text, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(text) != wanted {
			wrong = errors.Join(wrong, err, fmt.Errorf("%s differs from the report", name))
		}
	}
	return wrong
}

// readme returns the text of README.md with the table replaced.
func (t *comparison) readme(text string) (string, error) {
	const begin, end = "<!-- comparison -->\n", "<!-- end -->\n"
	head, rest, ok := strings.Cut(text, begin)
	_, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return "", fmt.Errorf("%s has no %s", readmeFile, strings.TrimSpace(begin))
	}
	return head + begin + t.table() + end + tail, nil
}
