package process

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"sync"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A Recorder starts a command, records its system calls, and returns when the command and all its descendants have
// exited. It returns the error that cmd.Wait would return. It calls started before the command executes its first
// instruction, and calls call once for each system call, with the lines that describe it. If it returns without
// having called started, the command cannot be recorded. The thread that starts the command must not exit before the
// command does, because the kernel would then send the command its parent-death signal.
type Recorder func(cmd *exec.Cmd, started func(), call func(lines []string)) error

// MostRecorded is the maximum number of lines that a Record keeps.
const MostRecorded = 400

// A Record contains the system calls of a peer as lines of text.
type Record struct {
	With Recorder

	mu      sync.Mutex
	lines   []string
	leftOut int // the number of lines beyond MostRecorded
	Err     error
}

// Add appends lines, up to a total of MostRecorded.
func (rec *Record) Add(lines []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	n := min(len(lines), MostRecorded-len(rec.lines))
	for _, l := range lines[:n] {
		rec.lines = append(rec.lines, display.Line(l)) // it may contain names of sockets, which the peer chooses
	}
	rec.leftOut += len(lines) - n
}

// Take returns the lines so far.
func (rec *Record) Take() []string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	lines := slices.Clone(rec.lines)
	if rec.leftOut > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more lines", rec.leftOut))
	}
	return lines
}

// awaitEnd waits until a program has exited, but does not reap it. Until the program is reaped, its process ID and
// its process group ID cannot be reused.
func (rec *Record) awaitEnd(pid int) {
	if rec == nil {
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		return
	}
	// For a traced process, waitid also reports stops, regardless of its options.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // its recorder has reaped it
	}
	defer unix.Close(fd)
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
			return
		}
	}
}

// launch starts a program, under the recorder unless rec is nil. It returns a function that waits for the program.
func (rec *Record) launch(cmd *exec.Cmd) (wait func() error, err error) {
	witness.Forking.Lock()
	defer witness.Forking.Unlock()
	if rec == nil {
		return cmd.Wait, onStarter(cmd.Start)
	}
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- rec.With(cmd, func() { close(started) }, rec.Add) }()
	select {
	case <-started:
	case err := <-ended:
		select {
		case <-started: // and it has ended since
			ended <- err
		default:
			if err == nil {
				err = errGone
			}
			rec.Err = err
			return nil, err
		}
	}
	return func() error { return <-ended }, nil
}

// CloseInheritedOnExec sets close-on-exec on all descriptors of this process except 0, 1 and 2. Peers then do not
// inherit descriptors that the runner itself has inherited. The runner opens all of its own descriptors with
// close-on-exec.
func CloseInheritedOnExec() error {
	fds, err := procfs.OpenFDs(procfs.Self)
	for _, fd := range fds {
		if fd > 2 {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC) // a descriptor that was closed since is not inherited
		}
	}
	return err
}

// starter returns a channel of functions that a single thread runs to start peers. The thread exists as long as this
// process, because the kernel sends the parent-death signal when the thread that started the child exits. The thread
// unblocks all signals, because the runner may have been started with some signals blocked.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil) // it cannot fail with these arguments
		for f := range work {
			f()
		}
	}()
	return work
})

func onStarter(f func() error) error {
	done := make(chan error, 1)
	starter() <- func() { done <- f() }
	return <-done
}
