//go:build linux

// Command readme checks the generated parts of README.md and docs/ against the report of a run. The
// generated parts are the comparison with other libraries, the interoperability matrix, and the text between
// the markers of the pages about the faults of libraries. With -w, the command writes these parts from the report.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	table := flag.Bool("versions", false, "without a report: write the tables in docs/findings that say which versions have which faults")
	where := flag.String("as", "", "write docs/comparison.json from the report of a run with the packages of this `RELEASE` of Debian")
	flag.Parse()
	var err error
	switch {
	case *table && flag.NArg() == 0:
		err = writeVersions(".")
	case *where != "" && flag.NArg() == 1:
		err = keepOthers(".", *where, flag.Arg(0))
	case !*table && flag.NArg() == 1:
		err = run(".", flag.Arg(0), *write)
	default:
		fmt.Fprintln(os.Stderr, "usage: readme [-w] REPORT | readme -versions | readme -as RELEASE REPORT")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(root, file string, write bool) error {
	texts, err := readTexts(root)
	if err != nil {
		return err
	}
	index, err := os.ReadFile(filepath.Join(root, indexFile))
	if err != nil {
		return err
	}
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
	faults, libraries, err := findings(r, texts, string(index))
	if err == nil && write {
		err = gone(libraries)
	}
	if err != nil {
		return err
	}
	t := compare(r)
	if t.others, err = readOthers(root); err != nil {
		return err
	}
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
		err = errors.Join(t.comparePages(root, string(readme), string(page)), compareFindings(string(index), faults, libraries))
	}
	if err != nil {
		command := "go run ./tools/readme -w " + file
		if len(missing(r)) > 0 {
			command = "make interop PEERS=all && go run ./tools/readme -w build/interop/report.json" // -w needs every pair
		}
		err = fmt.Errorf("%w\nto update the pages: %s", err, command)
	}
	return err
}

// comparePages compares the pages with the generated text. It skips a row if the report is about different
// versions of the row's peers. If a row was skipped or differs, it does not compare the matrix.
func (t *comparison) comparePages(root, readme, page string) (wrong error) {
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
		fmt.Println("readme: the matrix is not compared")
		return wrong
	}
	for _, name := range slices.Sorted(maps.Keys(t.pages)) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			err = cmp.Or(changedCell(name, string(text), t.pages[name]), difference(name, string(text), t.pages[name]))
		}
		wrong = errors.Join(wrong, err)
	}
	return wrong
}

func (t *comparison) differentRow(file string, i int) error {
	return fmt.Errorf("%s has a different row for %s; the report gives:\n%s", file, rows[i].Name, t.line(i, ""))
}

// changedCell returns an error with the first cell of docs/matrix.md that differs from the report, if there is one.
func changedCell(name, text, wanted string) error {
	if name != matrixFile {
		return nil
	}
	cells, report := pageCells(text), pageCells(wanted)
	for _, p := range slices.SortedFunc(maps.Keys(report), func(a, b place) int { return strings.Compare(a.caseName("*/*"), b.caseName("*/*")) }) {
		if cells[p] != report[p] {
			return fmt.Errorf("%s differs from the report: the cell of %s is %q, the report gives %q", name, p.caseName("*/*"), cells[p], report[p])
		}
	}
	return nil
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
	const most = 120 // bytes before and after the difference, because a line of the picture has thousands
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
