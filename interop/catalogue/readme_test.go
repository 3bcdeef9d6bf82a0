package catalogue_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/scenario"
)

// What README.md tells is what the runner reads.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(b)

	_, example, _ := strings.Cut(readme, "\n    # ")
	example, _, _ = strings.Cut("# "+example, "\n\nThe name")
	s, err := scenario.Parse("basics/pass-one-fd", []byte(strings.ReplaceAll(example, "\n    ", "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, real := range scenarios(t) {
		if real.Name == s.Name && real.Hash != s.Hash {
			t.Errorf("the example is not %s", s.Name)
		}
	}

	for _, check := range scenario.Checks {
		if !strings.Contains(readme, "\n| `"+string(check)+"` |") {
			t.Errorf("it does not tell the check %s", check)
		}
	}

	var kinds, acts, calls strings.Builder
	for i, k := range scenario.FileKinds {
		// Neighbours of which the same is said share a row.
		if more := scenario.FileKinds[i+1:]; len(more) > 0 && more[0].What == k.What {
			fmt.Fprintf(&kinds, "`%s`, ", k.Name)
		} else {
			fmt.Fprintf(&kinds, "`%s` | %s |\n| ", k.Name, k.What)
		}
	}
	for _, f := range scenario.ActForms {
		fmt.Fprintf(&acts, "| `R> %s` | %s |\n", f.Example, f.Does)
	}
	for _, c := range kernel.CallUsages {
		row := fmt.Sprintf("| `%s` | `%s` | %s |\n", strings.ReplaceAll(c.Usage, "|", `\|`), c.Gives, c.Does)
		calls.WriteString(strings.ReplaceAll(strings.ReplaceAll(row, " ``", ""), "|  |", "| |"))
	}
	readme = generated(t, readme, "\n| kind | what it is |\n|---|---|\n", "| "+strings.TrimSuffix(kinds.String(), "| "))
	readme = generated(t, readme, "\n| line | |\n|---|---|\n", acts.String())
	readme = generated(t, readme, "\n| call | answer | |\n|---|---|---|\n", calls.String())
	if *update {
		if err := os.WriteFile("README.md", []byte(readme), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Each example of the runner's own lines is a line of a scenario.
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
		text := "# A rule.\n# Its source.\non stream\nplay kernel\nfiles a=" + kind + "\nA> send payload=00 fds=a\nA< ok n=1\n" +
			"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\n" + before + "R> " + f.Example + "\n" + after
		if _, err := scenario.Parse("x/x", []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// generated compares the rows of the table that has this head, and returns the text with
// the rows that are wanted.
func generated(t *testing.T, text, head, rows string) string {
	t.Helper()
	before, rest, ok := strings.Cut(text, head)
	have, after, ended := strings.Cut(rest, "\n\n")
	if !ok || !ended {
		t.Fatalf("README.md has no table that begins with %q", head)
	}
	if have+"\n" != rows && !*update {
		t.Errorf("the table that begins with %q is not what the code says: go test ./interop/catalogue -run TestReadme -update writes it", head)
	}
	return before + head + rows + "\n" + after
}
