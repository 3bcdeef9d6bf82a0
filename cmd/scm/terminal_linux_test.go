package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/report"
	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: what a person has before them, and what a program
// is given.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	control := func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}
	if e := raw.Control(control); e != nil || err != nil {
		t.Fatal(e, err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program
}

// The terminal that a run was started from goes away in the middle of it: the run ends
// as after any signal, and the report has all cases that were played.
func TestClosedTerminal(t *testing.T) {
	file, json := filepath.Join(t.TempDir(), "pid"), filepath.Join(t.TempDir(), "report.json")
	cmd := exec.Command(program(t, "scm"), "interop", "run", "--builtin=false", "--peer", slowPeer(file, program(t, "faulty")), "--timeout", "1h", "--jobs", "1",
		"--report", json, "--run", "basics/no-fd-message-has-no-cmsg/stream/runner/runner", "--run", "basics/pass-one-fd/stream/runner/slow")
	person, there := terminal(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = there, there, there, t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := waitFor(t, file)
	_ = there.Close()
	if err := person.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit status is looked at
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGHUP) {
		t.Errorf("exit status %d", code)
	}
	if running(pid) {
		t.Errorf("%s is left running", pid)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("scm-interop-%d-*", cmd.Process.Pid)))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	r, err := report.Read(json)
	if err != nil {
		t.Fatal(err)
	}
	if r.Cut != "hangup" || r.Totals.Pass != 1 || len(r.Cases) != 1 {
		t.Errorf("got %q, %+v", r.Cut, r.Totals)
	}
}

// Whoever reads the progress goes away: that ends nothing, and the exit status is that
// of the run.
func TestClosedPipe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	json := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.Command(program(t, "scm"), "interop", "run", "--report", json, "--run", "basics",
		"--peer", "fake=sh -c 'echo $$ > "+file+"; exec "+program(t, "faulty")+"'")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr, cmd.Dir = w, t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, file)
	_, _ = r.Close(), w.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got, err := report.Read(json); err != nil || len(got.Cases) < between || got.Cut != "" {
		t.Errorf("got %v", err)
	}
}

// A partner passes the terminal, in the background of which recv runs: that ends it, and
// does not stop it.
func TestReceivedTerminal(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "sock")
	scm := program(t, "scm")
	cmd := exec.Command("sh", "-c", `set -m; "$0" recv --cat --timeout 1m "$1" & wait $!; echo ended $? >&3`, scm, sock)
	person, there := terminal(t)
	defer func() { _, _ = person.Close(), there.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.ExtraFiles = there, there, there, t.TempDir(), []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	send := exec.Command(scm, "send", "--timeout", "1m", sock, "--fd", "3")
	send.ExtraFiles = []*os.File{there}
	if r := finish(t, send); r.code != 0 {
		t.Errorf("send: %+v", r)
	}
	if err := read.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	told, err := bufio.NewReader(read).ReadString('\n')
	if told != "ended 1\n" {
		t.Errorf("got %q, %v", told, err)
	}
	_ = read.Close()
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // the terminal's end ends what it has started
}
