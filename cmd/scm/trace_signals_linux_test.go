package main

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
)

func TestTraceSignals(t *testing.T) {
	traceable(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1} {
		cmd := scmCommand(append([]string{"trace", "--"}, tracee("handle")...)...)
		lines := startReady(t, cmd)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatalf("%v: %v", sig, err)
		}
		if line, _ := lines.ReadString('\n'); line != sig.String()+"\n" {
			t.Errorf("%v: the command got %q", sig, line)
		}
		_ = cmd.Wait() // the exit status is looked at
		if code := cmd.ProcessState.ExitCode(); code != 3 {
			t.Errorf("%v: exit status %d, want 3", sig, code)
		}
	}
}

// When scm is killed, no process keeps running, so that their standard output ends.
func TestTraceKilled(t *testing.T) {
	traceable(t)
	for _, flags := range [][]string{{"trace", "--"}, {"trace", "--no-filter", "--"}} {
		cmd := scmCommand(append(flags, tracee("wait")...)...)
		lines := startReady(t, cmd)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatalf("%q: %v", flags, err)
		}
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("%q: after the kill: read %q, %v; want the end of the output", flags, rest, err)
		}
		_ = cmd.Wait() // it was killed
	}
}

// After the command has ended, a signal ends scm and the remaining processes.
func TestTraceLeftOver(t *testing.T) {
	traceable(t)
	cmd := scmCommand("trace", "--", "sh", "-c", strings.Join(tracee("wait"), " ")+" &")
	lines := startReady(t, cmd)
	ended := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, lines)
		ended <- err
	}()
	// The first ones may find the shell.
	for done := false; !done; {
		fdtest.Must(t, cmd.Process.Signal(syscall.SIGTERM))
		select {
		case err := <-ended:
			done = true
			if err != nil {
				t.Errorf("read the output of the remaining process: %v", err)
			}
		default:
			time.Sleep(10 * time.Millisecond) // without a pause, the signals would keep interrupting the end of scm
		}
	}
	_ = cmd.Wait() // how it ended is looked at
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("scm ended with %v", cmd.ProcessState)
	}
}
