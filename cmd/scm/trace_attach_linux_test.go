package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
)

func TestTraceProcess(t *testing.T) {
	traceable(t)
	target := reexec.Command("lines")
	target.Env = append(target.Env, "GODEBUG=asyncpreemptoff=1")
	target.Stderr = os.Stderr
	in, expect := startLines(t, target)

	trace := scmCommand("trace", "-p", strconv.Itoa(target.Process.Pid))
	traced, err := trace.StderrPipe()
	fdtest.Must(t, err)
	fdtest.Must(t, trace.Start())
	seen := make(chan string, 1000)
	go func() {
		defer close(seen)
		for text := bufio.NewScanner(traced); text.Scan(); {
			seen <- text.Text()
		}
	}()
	for n := 0; len(seen) == 0; n++ {
		if _, err := fmt.Fprintln(in, "line", n); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		expect("done")
	}
	if _, err := fmt.Fprintln(in, "leak"); err != nil {
		t.Fatal(err)
	}
	expect("done")
	fdtest.Must(t, trace.Process.Signal(syscall.SIGINT))
	var lines []string
	for line := range seen {
		lines = append(lines, line)
	}
	// Open descriptors are listed, but not as if the process had exited, because it keeps running.
	want := "…msg(…\n" + strconv.Itoa(target.Process.Pid) + " running: open …, descriptor 2 of 2 from recvmsg(…"
	text := strings.Join(lines, "\n")
	if err := trace.Wait(); err != nil || !like(text, want) || strings.Count(text, "open") != 1 || strings.Contains(text, "exit") {
		t.Errorf("the trace has ended with %v, and contains\n%s\nwant exit status 0 and %s", err, text, want)
	}
	if _, err := fmt.Fprintln(in, "after"); err != nil {
		t.Fatal(err)
	}
	expect("done")
	if err := errors.Join(in.Close(), target.Wait()); err != nil {
		t.Errorf("the traced process did not end well: %v", err)
	}
}

// A process that traces its own child can be traced. The child keeps its tracer, and is reported.
func TestTraceTracer(t *testing.T) {
	traceable(t)
	file := filepath.Join(t.TempDir(), "trace")
	target := scmCommand(append([]string{"trace", "-o", file, "--"}, tracee("lines")...)...)
	in, expect := startLines(t, target)
	trace := scmCommand("trace", "-p", strconv.Itoa(target.Process.Pid))
	told, err := trace.StderrPipe()
	fdtest.Must(t, err)
	fdtest.Must(t, trace.Start())
	text := bufio.NewReader(told)
	line, err := text.ReadString('\n')
	if !like(line, "…is not in the trace: ptrace: …already traces it…") {
		t.Errorf("got %q, %v; want a line about the child, which already has a tracer", line, err)
	}
	if _, err := fmt.Fprintln(in, "during"); err != nil {
		t.Fatal(err)
	}
	expect("done")
	fdtest.Must(t, trace.Process.Signal(syscall.SIGINT))
	if rest, err := io.ReadAll(text); err != nil || len(rest) > 0 {
		t.Errorf("after that line, the trace has %q, %v; want nothing", rest, err)
	}
	if err := errors.Join(trace.Wait(), in.Close(), target.Wait()); err != nil {
		t.Errorf("the traced process did not end well: %v", err)
	}
	if text := contents(t, file); strings.Count(text, "during") != 2 {
		t.Errorf("want two calls with the text during in the trace of the child\n%s", text)
	}
}
