//go:build unix

package fdtest

import (
	"fmt"
	"os"
	"testing"
)

// A caller is a test that keeps how it ended.
type caller struct {
	testing.TB
	ended string
}

func (*caller) Helper()             {}
func (*caller) Name() string        { return "a test of a test" }
func (c *caller) Skip(args ...any)  { c.end("skipped: ", args) }
func (c *caller) Fatal(args ...any) { c.end("failed: ", args) }

// end keeps the first end, because unlike in a real test, the function that was called goes on.
func (c *caller) end(how string, args []any) {
	if c.ended == "" {
		c.ended = how + fmt.Sprint(args...)
	}
}

// A test that needs a program which is not in PATH is skipped. With CI=true it fails.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	Must(t, os.WriteFile(dir+"/tea", nil, 0o700))
	for _, c := range []struct{ ci, name, path, ended string }{
		{"", "tea", dir + "/tea", ""},
		{"", "milk", "", "skipped: missing: milk: no milk in PATH"},
		{"true", "tea", dir + "/tea", ""},
		{"true", "milk", "", "failed: missing: milk: no milk in PATH, and CI=true"},
	} {
		t.Setenv("CI", c.ci)
		by := &caller{TB: t}
		path := Program(by, c.name)
		if path != c.path || by.ended != c.ended {
			t.Errorf("CI=%s: %s: got %q, %q", c.ci, c.name, path, by.ended)
		}
	}
}
