//go:build linux

package identity

import (
	"errors"
	"os"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/must"
	machines "github.com/scm-rights/scm/proof/target"
)

// A run of difftest prints what it has compared, or what is missing.
func TestRunDifftest(t *testing.T) {
	bin := t.TempDir()
	must.OK(os.Symlink(fdtest.Program(t, "cat"), bin+"/cat"))
	t.Setenv("PATH", bin) // without the go command
	for name, c := range map[string]struct {
		prints  string
		want    int
		missing bool
	}{
		"compares":        {"    a_test.go:1: 12 calls, 0 differ, 9 calls a second\n--- PASS: TestWalk (0.00s)\nPASS", 12, false},
		"lacks something": {"    a_test.go:1: missing: kcmp\n--- SKIP: TestWalk (0.00s)\nPASS", 0, true},
		"prints nothing":  {"--- PASS: TestWalk (0.00s)\nPASS", 0, false},
		"does not end":    {"    a_test.go:1: 12 calls, 0 differ, 9 calls a second", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			program := t.TempDir() + "/difftest"
			script := "#!/bin/sh\ncat <<'END'\n=== RUN   TestWalk\n" + c.prints + "\nEND\n"
			fdtest.Must(t, os.WriteFile(program, []byte(script), 0o700))
			got := 0
			err := must.Try(func() { got = runDifftest(program, t.TempDir(), 100) })
			if got != c.want || (err == nil) != (c.want > 0) || errors.Is(err, machines.ErrMissing) != c.missing {
				t.Errorf("got %d calls, %v", got, err)
			}
		})
	}
}
