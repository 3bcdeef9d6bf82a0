package catalogue_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

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

	// The runner's own lines, one after the other, with what they need.
	text := "# A rule.\n# Its source.\non stream\nfiles a=pipe-w\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a:x\n"
	lines := regexp.MustCompile("(?m)^\\| `(R> .*?)` \\|").FindAllStringSubmatch(readme, -1)
	for _, l := range lines {
		if l[1] != "R> VERB …" {
			text += l[1] + "\n"
		}
	}
	if _, err := scenario.Parse("x/x", []byte(text)); err != nil || len(lines) != 13 {
		t.Errorf("%d lines: %v\n%s", len(lines), err, text)
	}
}
