package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/recorder"
)

func needsCompilerAndPtrace(t *testing.T) {
	t.Helper()
	needsCompiler(t)
	if _, err := recorder.Record(exec.Command("true"), recorder.Options{}); err != nil {
		fdtest.Missing(t, "ptrace", err.Error())
	}
}

// Pair must report that it compares nothing, because a process can have only one tracer. With CI=true, it fails.
func TestTraced(t *testing.T) {
	needsCompilerAndPtrace(t)
	t.Setenv("CI", "true")
	var out bytes.Buffer
	pair := program.Command()
	pair.Stdout = &out
	_, err := recorder.Record(pair, recorder.Options{})
	var failed *recorder.ExitError
	want := nine + "cgo and pure Go: not compared: ptrace: "
	if !errors.As(err, &failed) || failed.Status.ExitStatus() != 1 || !strings.HasPrefix(out.String(), want) {
		t.Errorf("%v, and printed:\n%s\nwant exit status 1 and:\n%s", err, &out, want)
	}
}

// Only pure Go has the fault, so cgo must not become pure Go too.
func TestDifferentCalls(t *testing.T) {
	needsCompilerAndPtrace(t)
	dir, file := fdtest.ShortDir(t), program.Must(filepath.Abs("../../internal/pure/pure_linux.go"))
	text := strings.Replace(string(program.Must(os.ReadFile(file))), "c.fds[0] = fd", "c.fds[0], c.fds[1] = fd, 7", 1)
	fdtest.Must(t, os.WriteFile(dir+"/faulty.go", []byte(text), 0o666))
	fdtest.Must(t, os.WriteFile(dir+"/overlay", fmt.Appendf(nil, `{"Replace": {%q: %q}}`, file, dir+"/faulty.go"), 0o666))
	t.Setenv("GOFLAGS", os.Getenv("GOFLAGS")+" -tags=scm_purego -overlay="+dir+"/overlay")
	t.Setenv("CGO_ENABLED", "0")
	const call = `cgo against pure Go: call \d of process \d.* \(sendmsg\), at its entry: padding after cmsg_data\[0:1\] of 4: 00 against 07 .*\n`
	prints(t, 1, nine+"("+call+"){2}")
}
