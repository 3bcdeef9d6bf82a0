//go:build linux

// Command readme compares what README.md takes from a run, the matrix and the table of
// other libraries, with the report of one, or with -w puts the report's there. It writes
// docs/comparison.md, which names the scenarios that decide each cell of the table, and
// hellos.json, what the peers say of themselves. Without a report, -w writes what needs
// none: the table and docs/comparison.md, from interop/catalogue/expected.txt and hellos.json.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/report"
)

const (
	readmeFile = "README.md"
	pageFile   = "docs/comparison.md"
	hellosFile = "tools/readme/hellos.json"
)

// block is a part of README.md that is generated.
type block struct{ begin, end string }

var (
	matrixBlock     = block{"<!-- matrix stream -->\n", "<!-- end -->\n"}
	comparisonBlock = block{"<!-- comparison -->\n", "<!-- end -->\n"}
)

// split takes the block out of a text.
func (b block) split(text string) (head, body, tail string, err error) {
	head, rest, ok := strings.Cut(text, b.begin)
	body, tail, ok2 := strings.Cut(rest, b.end)
	if !ok || !ok2 {
		return "", "", "", fmt.Errorf("README.md has no %s", strings.TrimSpace(b.begin))
	}
	return head + b.begin, body, b.end + tail, nil
}

func main() {
	write := flag.Bool("w", false, "write to README.md, docs/comparison.md and hellos.json")
	flag.Parse()
	if err := run(".", flag.Arg(0), *write); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(root, file string, write bool) error {
	if write && file == "" {
		return updateTable(root)
	}
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
	text, err := os.ReadFile(filepath.Join(root, readmeFile))
	if err != nil {
		return err
	}
	if write {
		return update(root, string(text), r)
	}
	hint := fmt.Sprintf(": go run ./tools/readme -w %s", file)
	matrix, err := matrixOf(r)
	if err != nil {
		return err
	}
	_, body, _, err := matrixBlock.split(string(text))
	if err != nil {
		return err
	}
	t, err := compare(r)
	if err != nil {
		return err
	}
	hellos, err := readHellos(root)
	if err != nil {
		return err
	}
	var wrong error
	if body != matrix {
		if others := otherVersions(hellos, hellosOf(r)); others != "" {
			fmt.Printf("readme: the matrix is not compared, it is about other versions: %s\n", others)
		} else {
			wrong = fmt.Errorf("README.md has another matrix than %s%s", file, hint)
		}
	}
	_, body, _, err = comparisonBlock.split(string(text))
	if err != nil {
		return err
	}
	for _, d := range t.differences(body, hellos) {
		if d.version != "" {
			fmt.Printf("readme: %s is not compared: %s\n", d.row, d.version)
			continue
		}
		wrong = errors.Join(wrong, fmt.Errorf("README.md has another row of %s than %s%s\n%s", d.row, file, hint, d.line))
	}
	return wrong
}

// update writes what a report says.
func update(root, text string, r *report.Report) error {
	matrix, err := matrixOf(r)
	if err != nil {
		return err
	}
	t, err := compare(r)
	if err != nil {
		return err
	}
	hellos := hellosOf(r)
	e, err := expected(hellos)
	if err != nil {
		return err
	}
	if t.table() != e.table() {
		return fmt.Errorf("the report and interop/catalogue/expected.txt do not say the same:\n%s\n%s", t.table(), e.table())
	}
	if text, err = replace(text, matrixBlock, matrix); err != nil {
		return err
	}
	list, err := json.MarshalIndent(hellos, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, hellosFile), append(list, '\n'), 0o666); err != nil {
		return err
	}
	return writeTable(root, text, e)
}

// updateTable writes what expected.txt says of the peers of hellos.json.
func updateTable(root string) error {
	text, err := os.ReadFile(filepath.Join(root, readmeFile))
	if err != nil {
		return err
	}
	hellos, err := readHellos(root)
	if err != nil {
		return err
	}
	e, err := expected(hellos)
	if err != nil {
		return err
	}
	return writeTable(root, string(text), e)
}

// writeTable writes README.md, with the table in it, and docs/comparison.md.
func writeTable(root, text string, t *comparison) error {
	text, err := replace(text, comparisonBlock, t.table()+"\n"+legend())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, readmeFile), []byte(text), 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, pageFile), []byte(t.page()), 0o666)
}

// replace gives a block of a text another body.
func replace(text string, b block, body string) (string, error) {
	head, _, tail, err := b.split(text)
	return head + body + tail, err
}

func matrixOf(r *report.Report) (string, error) {
	var matrix bytes.Buffer
	if err := r.Matrix(&matrix, "stream"); err != nil {
		return "", err
	}
	return "```\n" + trimLines(matrix.String()) + "```\n", nil
}

// hellosOf are what the peers of a run say of themselves.
func hellosOf(r *report.Report) map[string]contract.Hello {
	hellos := map[string]contract.Hello{}
	for _, p := range r.Peers {
		hellos[p.Name] = p.Hello
	}
	return hellos
}

// otherVersions names the peers that have another version in a run than in README.md.
func otherVersions(was, here map[string]contract.Hello) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(here)) {
		if v := was[name].Version; v != here[name].Version {
			list = append(list, fmt.Sprintf("%s %s, and not %s", name, here[name].Version, v))
		}
	}
	return strings.Join(list, "; ")
}

func readHellos(root string) (hellos map[string]contract.Hello, err error) {
	text, err := os.ReadFile(filepath.Join(root, hellosFile))
	if err != nil {
		return nil, err
	}
	return hellos, json.Unmarshal(text, &hellos)
}

// trimLines takes the blanks from the ends of lines.
func trimLines(text string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return b.String()
}
