package peers

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// A missing linter is an error that names the tool. An unknown language or group is an error too.
func TestLintNamesMissingTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, l := range readRecords() {
		if len(l.Lint.Commands) == 0 {
			continue
		}
		var log bytes.Buffer
		err := Lint(t.Context(), t.TempDir(), []string{l.lang}, &log)
		tool, _, _ := strings.Cut(l.Lint.Needs[0], " ")
		if err == nil || !strings.Contains(log.String(), l.lang+": no "+tool+" in PATH\n") {
			t.Errorf("%s: got %v, want an error about the missing %s in\n%s", l.lang, err, tool, &log)
		}
	}
	_, err := FindMissing(t.Context(), "lnt")
	if err == nil || Lint(t.Context(), t.TempDir(), []string{"pyton"}, io.Discard) == nil {
		t.Error("no error for an unknown name")
	}
}

// A command fails if it prints something else than it should, even if its exit status is 0. Files in build are not
// checked.
func TestLint(t *testing.T) {
	dir := t.TempDir()
	l := language{lang: "toy", Lint: linters{
		Needs:    []string{"cat"},
		Commands: []lintCommand{{Files: "*.toy", Run: []string{"{cat}", "{file}"}, Prints: "{file} is good"}},
	}}
	write := func(name, text string) {
		fdtest.Must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777))
		fdtest.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
	}
	var log bytes.Buffer
	if _, _, err := findTool(t.Context(), "cat"); err != nil {
		t.Skip(err) // Windows, Plan 9 and wasm
	}
	write("build/y.toy", "")
	if err := l.lint(t.Context(), dir, &log); err == nil {
		t.Error("no error without a file")
	}
	write("a/x.toy", "a/x.toy is good\n")
	if err := l.lint(t.Context(), dir, &log); err != nil {
		t.Errorf("a file that is good: %v\n%s", err, &log)
	}
	write("b/z.toy", "warning\nb/z.toy is good\n")
	if err := l.lint(t.Context(), dir, &log); err == nil || !strings.Contains(log.String(), "cat b/z.toy: ") {
		t.Errorf("a file with a warning: got %v, want an error about b/z.toy in\n%s", err, &log)
	}
}
