package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// awaitStuck returns when a thread of scm reads memory that does not come: it has been in
// that call for a while.
func awaitStuck(t *testing.T, pid int) {
	t.Helper()
	want := fmt.Sprintf("%d ", unix.SYS_PROCESS_VM_READV)
	for seen, end := 0, time.Now().Add(time.Minute); seen < 20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("scm does not wait for the page")
		}
		calls, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		reading := 0
		for _, path := range calls {
			if text, _ := os.ReadFile(path); strings.HasPrefix(string(text), want) {
				reading = 1
			}
		}
		seen = (seen + reading) * reading
	}
}

// A page that does not come holds up the trace, but not the end of scm.
func TestStuck(t *testing.T) {
	traceable(t)
	mem, err := missingPage()
	if err != nil {
		t.Skip(err)
	}
	_ = unix.Munmap(mem)

	trace := scmCommand(t, append([]string{"trace", "-o", os.DevNull, "--"}, tracee(t, "page")...)...)
	if err := trace.Start(); err != nil {
		t.Fatal(err)
	}
	endStuck(t, trace, "signal: terminated")

	words := tracee(t, "page")
	target := exec.Command(words[0], words[1:]...)
	if err := target.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = target.Process.Kill(), target.Wait() }()
	attached := scmCommand(t, "trace", "-o", os.DevNull, "-p", strconv.Itoa(target.Process.Pid))
	if err := attached.Start(); err != nil {
		t.Fatal(err)
	}
	endStuck(t, attached, "exit status 0")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", target.Process.Pid))
	if err != nil || !strings.Contains(string(status), "TracerPid:\t0\n") || strings.Contains(string(status), "State:\tZ") {
		t.Errorf("the program does not run on: %v\n%s", err, status)
	}
}

func endStuck(t *testing.T, scm *exec.Cmd, want string) {
	t.Helper()
	awaitStuck(t, scm.Process.Pid)
	if err := scm.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() {
		t.Error("TERM does not end scm")
		_ = scm.Process.Kill()
	})
	_ = scm.Wait()
	if late.Stop() && scm.ProcessState.String() != want {
		t.Errorf("%v, want %s", scm.ProcessState, want)
	}
}
