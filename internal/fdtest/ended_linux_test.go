package fdtest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leaderEnds makes the test binary a process whose main thread ends at once. Its other threads run
// until standard input ends.
const leaderEnds = "SCM_TEST_LEADER_ENDS"

func init() {
	if os.Getenv(leaderEnds) == "" {
		return
	}
	runtime.LockOSThread() // init runs on the main thread
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

// A process has not ended while a thread other than its main thread runs.
func TestEnded(t *testing.T) {
	if Emulator() != "" {
		t.Skip("the threads of a process that qemu-user runs are the emulator's")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leaderEnds+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the main thread has not ended within a minute")
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(stat), ") Z ") {
			break
		}
	}
	if Ended(pid) {
		t.Error("Ended is true while a thread waits for standard input")
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	WaitEnded(t, pid) // as a zombie: this process has not waited for it
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !Ended(pid) {
		t.Error("Ended is false after Wait")
	}
}
