package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Who leaves the group of a peer, and ignores what would end it, has ended before anything
// is printed behind the run: the reader of standard output may have ended, or read no more.
func TestOrphansOfAnUnreadRun(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skipf("setsid: %v", err)
	}
	dir := t.TempDir()
	file, report := filepath.Join(dir, "pid"), filepath.Join(dir, "r.json")
	// It ends by itself after a while, in case the run does not end it.
	leaves := write(t, fmt.Sprintf(`rm -f %[1]s
setsid sh -c 'trap "" INT TERM HUP; echo $$ > %[1]s.new; mv %[1]s.new %[1]s; exec sleep 300' <&- >&- 2>&- &
until [ -e %[1]s ]; do sleep 0.01; done
exec %[2]s
`, file, program(t, "faulty")))
	peer := []string{"--builtin=false", "--peer", "x=sh " + leaves}
	const name = "basics/no-fd-message-has-no-cmsg/stream/x/runner"
	if r := command(t, append([]string{"interop", "run", "--run", name, "--report", report}, peer...)...); r.code != 0 {
		t.Fatalf("got %+v", r)
	}
	for _, c := range []struct {
		args   []string
		prints bool // while a peer may run
		signal int  // that ends it where nobody reads
	}{
		{append([]string{"interop", "run", "--run", name}, peer...), false, int(unix.SIGTERM)},
		{[]string{"interop", "replay", report + "#1"}, false, int(unix.SIGTERM)},
		{append([]string{"interop", "smoke"}, peer...), true, 0},
	} {
		t.Run(c.args[1]+", the reader has ended", func(t *testing.T) {
			r, w := pipe(t)
			_ = r.Close()
			cmd := exec.Command(program(t, "scm"), c.args...)
			cmd.Stdout = w
			_ = os.Remove(file)
			_ = cmd.Run() // it cannot be well
			if pid := waitFor(t, file); running(pid) {
				t.Errorf("%s is left: scm: %v", pid, cmd.ProcessState)
			}
		})
		t.Run(c.args[1]+", nobody reads", func(t *testing.T) {
			_, w := pipe(t)
			fill(t, w)
			cmd := exec.Command(program(t, "scm"), c.args...)
			cmd.Stdout = w
			_ = os.Remove(file)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			defer func() { _ = cmd.Process.Kill() }()
			late := time.After(time.Minute)
			for !writesOutput(t, cmd.Process.Pid) {
				select {
				case err := <-ended:
					t.Fatalf("it has ended: %v", err)
				case <-late:
					t.Fatal("it does not wait in a write")
				case <-time.After(time.Millisecond):
				}
			}
			pid := waitFor(t, file)
			if running(pid) && !c.prints {
				t.Errorf("%s is left while scm prints", pid)
			}
			if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("it goes on after a signal")
			}
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if running(pid) || c.signal == 0 && status.ExitStatus() != 143 || c.signal != 0 && int(status.Signal()) != c.signal {
				t.Errorf("%s is left: %t; scm: %v", pid, running(pid), cmd.ProcessState)
			}
		})
	}
}

// pipe is a pipe that both ends of are closed at the end of the test.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// fill leaves no room in a pipe.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	fd := int(w.Fd()) // it blocks from here on
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	var err error
	for size := 4096; size > 0; {
		if _, err = unix.Write(fd, make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

// writesOutput reports whether a thread of the process waits in a write to standard output.
func writesOutput(t *testing.T, pid int) bool {
	t.Helper()
	if _, err := os.ReadFile("/proc/thread-self/syscall"); err != nil {
		t.Skipf("/proc does not show the system call in which a thread waits: %v", err)
	}
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid)); errors.Is(err, os.ErrPermission) {
		t.Skipf("/proc does not show the system call in which a child waits: %v", err)
	}
	names, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/syscall")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), fmt.Sprintf("%d 0x1 ", unix.SYS_WRITE)) {
			return true
		}
	}
	return false
}
