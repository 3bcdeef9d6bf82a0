package fdtest_test

import (
	"io"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/reexec"
)

// leaderEnds is a child whose main thread ends at once. Its other threads run until standard input ends.
const leaderEnds = "leader ends"

func init() {
	if reexec.Name() == leaderEnds {
		runtime.LockOSThread() // init runs on the main thread
	}
	reexec.Register(leaderEnds, func([]string) {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
		_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	})
}

func TestMain(m *testing.M) {
	reexec.Main()
	os.Exit(m.Run())
}

// A process has not ended while a thread other than its main thread runs.
func TestEnded(t *testing.T) {
	if fdtest.Emulator() != "" {
		t.Skip("the threads of a process that qemu-user runs are the emulator's")
	}
	cmd := reexec.Command(leaderEnds)
	stdin, err := cmd.StdinPipe()
	fdtest.Must(t, err)
	fdtest.Must(t, cmd.Start())
	pid := cmd.Process.Pid
	fdtest.Eventually(t, "the main thread has ended", func() bool {
		status, err := procfs.ReadStatus(pid)
		fdtest.Must(t, err)
		return status.HasEnded()
	})
	if fdtest.Ended(pid) {
		t.Error("Ended is true while a thread waits for standard input")
	}
	fdtest.Must(t, stdin.Close())
	fdtest.WaitEnded(t, pid) // as a zombie: this process has not waited for it
	fdtest.Must(t, cmd.Wait())
	if !fdtest.Ended(pid) {
		t.Error("Ended is false after Wait")
	}
}
