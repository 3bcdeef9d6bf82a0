package catalogue_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
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

	// The kinds of files, as they are told when there is none of that name.
	_, err = scenario.Parse("x/x", []byte("# A rule.\n# Its source.\nfiles a=door\n"))
	_, kinds, ok := strings.Cut(err.Error(), "kinds are ")
	if !ok {
		t.Fatal(err)
	}
	for kind := range strings.FieldsSeq(kinds) {
		if !regexp.MustCompile("(?m)^\\| .*`" + kind + "`.* \\|").MatchString(readme) {
			t.Errorf("it does not tell the kind %s", kind)
		}
	}
	for _, check := range scenario.Checks {
		if !strings.Contains(readme, "\n| `"+string(check)+"` |") {
			t.Errorf("it does not tell the check %s", check)
		}
	}

	// The runner's own lines. In this order they make one scenario, with what they need.
	var rows strings.Builder
	text := "# A rule.\n# Its source.\non stream\nfiles a=pipe-w\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\n"
	for _, f := range scenario.ActForms {
		fmt.Fprintf(&rows, "| `R> %s` | %s |\n", f.Example, f.Does)
		text += "R> " + f.Example + "\n"
	}
	readme = generated(t, readme, "\n| line | |\n|---|---|\n", rows.String())
	if _, err := scenario.Parse("x/x", []byte(text)); err != nil {
		t.Errorf("%v\n%s", err, text)
	}

	// The calls of the reference.
	rows.Reset()
	for _, c := range contract.CallUsages {
		gives, does := "", ""
		if c.Gives != "" {
			gives = "`" + c.Gives + "` "
		}
		if c.Does != "" {
			does = c.Does + " "
		}
		fmt.Fprintf(&rows, "| `%s` | %s| %s|\n", strings.ReplaceAll(c.Usage, "|", `\|`), gives, does)
	}
	readme = generated(t, readme, "\n| call | answer | |\n|---|---|---|\n", rows.String())

	if *update {
		if err := os.WriteFile("README.md", []byte(readme), 0o644); err != nil {
			t.Fatal(err)
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
