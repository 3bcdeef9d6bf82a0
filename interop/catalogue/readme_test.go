package catalogue_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/scenario"
)

// The pages, by what they are about.
const (
	sharedPage = "README.md"
	peerPage   = "peer/README.md"
	kernelPage = "kernel/README.md"
)

// The tables in the pages are generated from the lists in the code.
func TestReadme(t *testing.T) {
	peerText, kernelText := readPage(t, peerPage), readPage(t, kernelPage)

	const kindsHead = "\n| kind | what it is |\n|---|---|\n"
	const callsHead = "\n| call | answer | |\n|---|---|---|\n"
	acts := ""
	for _, f := range scenario.ActForms {
		acts += fmt.Sprintf("| `R> %s` | %s |\n", f.Example, f.Does)
	}
	peerText = generated(t, peerPage, peerText, "\n| line | |\n|---|---|\n", acts)
	words := func(list []string) string { return "`" + strings.Join(list, " ") + "`\n" }
	peerText = generated(t, peerPage, peerText, "#calls):\n\n", words(scenario.PeerCalls))
	var kinds []string
	for _, k := range scenario.FileKinds {
		if k.Peer {
			kinds = append(kinds, k.Name)
		}
	}
	peerText = generated(t, peerPage, peerText, "#kinds-of-file):\n\n", words(kinds))

	calls := ""
	for _, c := range kernel.CallUsages {
		calls += callRow(c.Usage, c.Gives, c.Does)
	}
	kernelText = generated(t, kernelPage, kernelText, callsHead, calls)
	kernelText = generated(t, kernelPage, kernelText, kindsHead, kindRows())
	flags := slices.DeleteFunc(slices.Clone(kernel.Words["message flags"]), func(w string) bool { return w == kernel.Inherit })
	kernelText = generated(t, kernelPage, kernelText, " is a list of these words:\n\n", words(flags))
	kernelText = generated(t, kernelPage, kernelText, " are in milliseconds.\n\n", words(kernel.OptionNames()))
	kernelText = generated(t, kernelPage, kernelText, ", and so can the call `signal`:\n\n", words(scenario.Signals))

	if *update {
		for name, text := range map[string]string{peerPage: peerText, kernelPage: kernelText} {
			fdtest.Must(t, os.WriteFile(name, []byte(text), 0o644))
		}
	}
}

// The page on findings lists every check.
func TestReadmeListsChecks(t *testing.T) {
	page := readPage(t, sharedPage)
	for _, check := range scenario.Checks {
		if !strings.Contains(page, "\n| `"+string(check)+"` |") {
			t.Errorf("%s has no row for the check %s", sharedPage, check)
		}
	}
}

// The complete examples in the pages can be parsed. The examples of existing scenarios are up to date.
func TestReadmeExamples(t *testing.T) {
	example := regexp.MustCompile(`(?m)^    # .*\n(?:(?:    .*)?\n)*`)
	for page, want := range map[string]bool{peerPage: false, kernelPage: true} {
		text := example.FindString(readPage(t, page))
		text = strings.TrimRight(strings.ReplaceAll("\n"+text, "\n    ", "\n"), "\n")[1:] + "\n"
		s, err := scenario.Parse("group/id", []byte(text))
		if err != nil {
			t.Errorf("%s: %v\n%s", page, err, text)
			continue
		}
		if s.Kernel() != want {
			t.Errorf("%s: the example is not a scenario of its folder", page)
		}
		if page == peerPage && !slices.ContainsFunc(scenarios(t), func(real *scenario.Scenario) bool { return real.Hash == s.Hash }) {
			t.Errorf("%s: the example is not a scenario of the catalogue", page)
		}
	}
}

// Each example of the runner's own lines is a valid line of a scenario.
func TestActExamples(t *testing.T) {
	const closed = "A> close fds=a\nA< ok\nB> close fds=x\nB< ok\nR> drop a\n"
	for _, f := range scenario.ActForms {
		kind, before, after := "pipe-w", "", ""
		switch f.Verb() {
		case "seek":
			kind = "file"
		case "blocked", "settled":
			before, after = "B>& recv bytes=1 fds=0\n", "B<& ok n=0 payload=- fds=-\n"
		case "eof":
			before = closed
		}
		text := "# A rule.\n# Its source.\non stream\nfiles a=" + kind + "\nA> send payload=00 fds=a\nA< ok n=1\n" +
			"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\n" + before + "R> " + f.Example + "\n" + after
		if _, err := scenario.Parse("x/x", []byte(text)); err != nil {
			t.Errorf("the example %q: %v\n%s", f.Example, err, text)
		}
	}
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	fdtest.Must(t, err)
	return string(b)
}

// kindRows returns the rows of the table of kinds of file. Neighbours with the same
// description share a row.
func kindRows() (rows string) {
	kinds := scenario.FileKinds
	for i, k := range kinds {
		if i == 0 || kinds[i-1].What != k.What {
			rows += "| "
		}
		if i+1 < len(kinds) && kinds[i+1].What == k.What {
			rows += fmt.Sprintf("`%s`, ", k.Name)
		} else {
			rows += fmt.Sprintf("`%s` | %s |\n", k.Name, k.What)
		}
	}
	return rows
}

func callRow(usage, gives, does string) string {
	row := fmt.Sprintf("| `%s` | `%s` | %s |\n", strings.ReplaceAll(usage, "|", `\|`), gives, does)
	return strings.ReplaceAll(strings.ReplaceAll(row, " ``", ""), "|  |", "| |")
}

// generated compares the rows of the table that has this head, and returns the text with
// the rows that it should have.
func generated(t *testing.T, page, text, head, rows string) string {
	t.Helper()
	before, rest, ok := strings.Cut(text, head)
	have, after, ended := strings.Cut("\n"+rest, "\n\n")
	if !ok || !ended {
		t.Fatalf("%s has no table that begins with %q", page, head)
	}
	if have != strings.TrimSuffix("\n"+rows, "\n") && !*update {
		t.Errorf("the table of %s that begins with %q is out of date; to write it: go test ./interop/catalogue -run TestReadme -update", page, strings.TrimSpace(head))
	}
	return before + head + rows + "\n" + after
}
