//go:build linux

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/must"
)

func TestMain(m *testing.M) {
	if os.Getenv("PROVE_TEST") != "" {
		main()
	}
	os.Exit(m.Run())
}

// TestTwoRuns starts a run while another one has the lock.
func TestTwoRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	must.OK(os.Mkdir("build", 0o777))
	other := must.Get(os.Create("build/systemd.lock"))
	defer other.Close()
	must.OK(unix.Flock(int(other.Fd()), unix.LOCK_EX))
	self := must.Get(os.Executable())
	run := exec.Command(self, "systemd", "0") // there is no such version
	run.Env = append(os.Environ(), "PROVE_TEST=1")
	out := must.Get(run.StderrPipe())
	must.OK(run.Start())
	lines := bufio.NewScanner(out)
	lines.Scan()
	if got, want := lines.Text(), "systemd: waiting for another run in this directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := other.Close(); err != nil { // releases the lock
		t.Error(err)
	}
	lines.Scan()
	if got := lines.Text(); !strings.Contains(got, "has no systemd 0") {
		t.Errorf("got %q, want the run to continue", got)
	}
	_ = run.Wait() // it has failed, because there is no such version
}
