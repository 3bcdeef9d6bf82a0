package process

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"

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

// awaitEnd waits until the program has ended. Once it has, its recorder reaps it.
func (rec *Record) awaitEnd(pid int) {
	if rec == nil {
		waitExited(pid)
		return
	}
	// waitid reports the stops of a traced process, whatever it is asked for.
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it is reaped
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
	if rec == nil {
		return cmd.Wait, onOneThread(cmd.Start)
	}
	witness.Forking.Lock()
	defer witness.Forking.Unlock()
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
	return func() error {
		select {
		case err := <-ended:
			return err
		case <-time.After(DefaultTimeout): // somebody it started has left its group
			return errors.New("what it started does not end")
		}
	}, nil
}
