package process

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A Launcher starts a command, records its system calls, and returns when the command and all its descendants have
// exited. It returns the error that cmd.Wait would return. It calls started before the command executes its first
// instruction, and calls call once for each system call, with the lines that describe it. If it returns without
// having called started, the command cannot be recorded. The thread that starts the command must not exit before the
// command does, because the kernel would then send the command its parent-death signal.
type Launcher func(cmd *exec.Cmd, started func(), call func(lines []string)) error

const (
	// MostRecorded is the maximum number of lines that a Recording keeps, not counting the lines that say what it
	// leaves out.
	MostRecorded = 400

	// mostCalls is the maximum number of calls that a Recording keeps. It leaves some lines for their memory.
	mostCalls = 200
)

// A Recording contains the system calls of a peer as lines of text. If there are too many lines, it shortens the memory
// of the calls, then leaves the memory of some calls out, and then whole calls. It keeps calls on the sockets of the
// case longer than others, such as those that a library makes when it starts.
type Recording struct {
	With Launcher
	Err  error

	mu        sync.Mutex
	calls     []recordedCall
	sockets   []string // of the case, such as "socket:[4711]"
	size      int      // the number of lines
	shortened bool     // whether long memory is shortened
	leftOut   int      // the number of calls that are left out
}

// A recordedCall contains the lines of a call: one that summarizes it, and then its memory.
type recordedCall struct {
	lines  []string
	ofCase bool // it concerns a socket of the case
	bare   bool // its memory is left out
}

// watch makes the sockets among these descriptors of the runner the sockets of the case.
func (rec *Recording) watch(pool []int) {
	if rec == nil {
		return
	}
	for _, fd := range pool {
		if name, err := procfs.ReadLink(procfs.Self, fd); err == nil && strings.HasPrefix(name, "socket:") {
			rec.sockets = append(rec.sockets, name)
		}
	}
}

// Add appends the lines of a call.
func (rec *Recording) Add(lines []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	c := recordedCall{}
	for _, l := range lines {
		c.lines = append(c.lines, display.Line(l)) // it may contain names of sockets, which the peer chooses
	}
	c.ofCase = slices.ContainsFunc(rec.sockets, func(name string) bool { return strings.Contains(c.lines[0], name) })
	if rec.shortened {
		c.lines = shortenCall(c.lines)
	}
	rec.calls = append(rec.calls, c)
	rec.size += len(c.lines)
	rec.shrink()
}

// shrink leaves out what exceeds the limits.
func (rec *Recording) shrink() {
	if len(rec.calls) > mostCalls {
		i := rec.last(func(recordedCall) bool { return true })
		rec.size -= len(rec.calls[i].lines)
		rec.calls = slices.Delete(rec.calls, i, i+1)
		rec.leftOut++
	}
	if rec.size > MostRecorded && !rec.shortened {
		rec.shortened = true
		rec.size = 0
		for i, c := range rec.calls {
			rec.calls[i].lines = shortenCall(c.lines)
			rec.size += len(rec.calls[i].lines)
		}
	}
	for rec.size > MostRecorded {
		i := rec.last(func(c recordedCall) bool { return len(c.lines) > 1 })
		rec.size -= len(rec.calls[i].lines) - 1
		rec.calls[i].lines = rec.calls[i].lines[:1]
		rec.calls[i].bare = true
	}
}

// last returns the index of the last call that satisfies the condition. It prefers calls that do not concern the case.
func (rec *Recording) last(condition func(recordedCall) bool) int {
	of := -1
	for i, c := range slices.Backward(rec.calls) {
		if !condition(c) {
			continue
		}
		if !c.ofCase {
			return i
		}
		of = max(of, i)
	}
	return of
}

// Take returns the lines so far.
func (rec *Recording) Take() (lines []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	bare := 0
	for _, c := range rec.calls {
		lines = append(lines, c.lines...)
		if c.bare {
			bare++
		}
	}
	if bare > 0 {
		lines = append(lines, fmt.Sprintf("… without the memory of %d of these calls", bare))
	}
	if rec.leftOut > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more calls", rec.leftOut))
	}
	return lines
}

// awaitEnd waits until a program has exited, but does not reap it. Until the program is reaped, its process ID and
// its process group ID cannot be reused.
func (rec *Recording) awaitEnd(pid int) {
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
func (rec *Recording) launch(cmd *exec.Cmd) (wait func() error, err error) {
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
			// a descriptor that was closed since is not inherited
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
		}
	}
	return err
}

// starter returns a channel of functions that a single thread runs to start peers.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go serveStarter(work)
	return work
})

// serveStarter is the thread of starter. It exists as long as this process, because the kernel sends the parent-death
// signal when the thread that started the child exits. It unblocks all signals, because the runner may have been
// started with some signals blocked.
func serveStarter(work <-chan func()) {
	runtime.LockOSThread()
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil) // it cannot fail with these arguments
	for f := range work {
		f()
	}
}

func onStarter(f func() error) error {
	done := make(chan error, 1)
	starter() <- func() { done <- f() }
	return <-done
}
