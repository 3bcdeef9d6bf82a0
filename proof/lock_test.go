//go:build linux

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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
	if err := os.Mkdir("build", 0o777); err != nil {
		t.Fatal(err)
	}
	other, err := os.Create("build/systemd.lock")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Flock(int(other.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(self, "systemd", "0") // there is no such version
	run.Env = append(os.Environ(), "PROVE_TEST=1")
	out, err := run.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
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
