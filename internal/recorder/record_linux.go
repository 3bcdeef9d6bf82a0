package recorder

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An ExitError is that the command ended in another way than with status 0.
type ExitError struct{ Status unix.WaitStatus }

func (e *ExitError) Error() string {
	if e.Status.Signaled() {
		return "signal: " + e.Status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", e.Status.ExitStatus())
}

// Code is what a shell makes of it: the exit status, or 128 and the signal's
// number.
func (e *ExitError) Code() int {
	if e.Status.Signaled() {
		return 128 + int(e.Status.Signal())
	}
	return e.Status.ExitStatus()
}

// Record starts the command and returns, when all of its processes have ended,
// the calls that they made, in the order of their entries. The error is an
// *ExitError if the command, the first of the processes, has failed; the calls
// are there all the same. Another error is that it could not be recorded: then
// it does not run any more.
//
// The command is not started or waited for by the caller, and its ProcessState
// stays nil.
func Record(cmd *exec.Cmd, o Options) ([]Call, error) {
	if err := platform(); err != nil {
		return nil, err
	}
	t := newTracer(o)
	var err error
	defer silence()()
	onThread(func() {
		if err = t.start(cmd); err != nil {
			return
		}
		err = t.loop()
		t.killAll()
		// It was waited for by ptrace; this is for what copies its output.
		_ = cmd.Wait()
	})
	sortCalls(t.calls)
	if err == nil && t.status != 0 {
		err = &ExitError{t.status}
	}
	return t.calls, err
}

func sortCalls(calls []Call) {
	slices.SortFunc(calls, func(a, b Call) int { return a.seq - b.seq })
}

// onThread runs f on a thread that ends with it: the kernel then lets go what
// the thread still traces. It is not the first thread of the process, which Go
// does not end, and none that has started a child, of whose end f would hear.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() || hasChildren() {
			// While this one is held, another goroutine gets another thread.
			onThread(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

// hasChildren reports whether the thread has any to wait for.
func hasChildren() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL|unix.WNOTHREAD, nil)
	return err != unix.ECHILD
}

// killAll ends what is left after an error. The filter of a started program
// would refuse its calls if it were let go.
func (t *tracer) killAll() {
	if len(t.threads) == 0 {
		return
	}
	for tid := range t.threads {
		_ = unix.Kill(tid, unix.SIGKILL)
	}
	for {
		tid, status, err := waitStop(-1)
		if err != nil {
			return
		}
		if !status.Stopped() {
			continue
		}
		_ = unix.Kill(tid, unix.SIGKILL)
	}
}

// platform reports whether anything can be recorded here.
func platform() error {
	if !supported {
		return fmt.Errorf("the recorder knows amd64, 386 and arm64, not %s", runtime.GOARCH)
	}
	if !ownProc() {
		return errors.New("/proc is that of another PID namespace, where a process of this one has another number: mount this one's (mount -t proc proc /proc, or unshare --mount-proc)")
	}
	return nil
}

// ownProc reports whether /proc, if there is one, has the processes of this PID namespace by
// their numbers.
func ownProc() bool {
	self, err := os.Readlink("/proc/self")
	if err != nil {
		var st unix.Statfs_t
		return unix.Statfs("/proc", &st) != nil || st.Type != unix.PROC_SUPER_MAGIC
	}
	// The number in each namespace from that of /proc on.
	numbers := strings.Fields(status("self")["NSpid"])
	return self == strconv.Itoa(unix.Getpid()) && len(numbers) <= 1
}
