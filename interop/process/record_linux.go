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

// A Recorder starts a command and returns when it and all its descendants have
// ended, with how the command ended, as its Wait returns it. It calls started before
// the first instruction, and call with the lines of each call, one at a time, as it
// is made. An error without a call of started is that nothing can be recorded. The
// thread that starts the command lives as long: the command is to end with it.
type Recorder func(cmd *exec.Cmd, started func(), call func(lines []string)) error

// MostRecorded is how many lines are kept of the record of one peer.
const MostRecorded = 400

// A Record is the system calls of a peer, as lines.
type Record struct {
	With Recorder

	mu      sync.Mutex
	lines   []string
	leftOut int // lines, once there are enough
	Err     error
}

// Add appends lines, up to a limit.
func (rec *Record) Add(lines []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	n := min(len(lines), MostRecorded-len(rec.lines))
	for _, l := range lines[:n] {
		rec.lines = append(rec.lines, display.Line(l)) // names of sockets are the peer's
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

// awaitEnd waits until a program has ended, and leaves it to be reaped: until then its number
// and that of its group are nobody else's.
func (rec *Record) awaitEnd(pid int) {
	if rec == nil {
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		return
	}
	// waitid reports the stops of a traced process, whatever it is asked for.
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

// launch starts a program, under the recorder if there is one, and returns what
// waits for it.
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

// KeepToOurselves makes all descriptors of this process close-on-exec, but 0, 1 and 2: those
// that it has itself inherited are no business of a peer's. Those that it opens are from the start.
func KeepToOurselves() error {
	numbers, err := procfs.OpenFDs(procfs.Self)
	for _, n := range numbers {
		if n > 2 {
			_, _ = unix.FcntlInt(uintptr(n), unix.F_SETFD, unix.FD_CLOEXEC) // what was closed meanwhile is not inherited
		}
	}
	return err
}

// starter is a thread that lives as long as this process: a child that is to end with its
// parent ends with the thread that started it. It has no signal blocked, as whoever started
// the runner may have it.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil) // its arguments are right
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
