//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestPair(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		fdtest.Missing(t, err.Error())
	}
	const contents = ": the contents of a file\n"
	want := "from C to C and back" + contents + "from C to Go and back" + contents + "from Go to C and back" + contents + "from Go to Go and back" + contents
	var errs bytes.Buffer
	cmd := program.Command()
	cmd.Stderr = &errs
	// It builds four programs first, so only the limit of go test applies to it.
	if out, err := cmd.Output(); err != nil || errs.Len() > 0 || string(out) != want {
		t.Errorf("printed %q and the errors %q, and ended with %v; want %q", out, errs.String(), err, want)
	}
}

// README.md shows the parent in C and the child in Go.
func TestREADME(t *testing.T) {
	readme := program.Must(os.ReadFile("../../README.md"))
	top := bytes.Join(bytes.SplitAfterN(readme, []byte("\n"), 46)[:45], nil)
	for _, name := range []string{"c/parent.c", "child/main.go"} {
		source := program.Must(os.ReadFile(name))
		if lines := bytes.Count(source, []byte("\n")); lines > 20 || !bytes.Contains(top, source) {
			t.Errorf("the first 45 lines of README.md do not contain %s, which has %d lines", name, lines)
		}
	}
}
