package interop

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/display"
	"golang.org/x/sys/unix"
)

// A Recorder starts a command and returns when all processes that came of it have
// ended, with how the command ended, as its Wait tells it. It calls started before
// the first instruction, and call with the lines of each call, one at a time, as it
// is made. An error without a call of started is that nothing can be recorded. The
// thread that starts the command lives as long: the command is to end with it.
type Recorder func(cmd *exec.Cmd, started func(), call func(lines []string)) error

// mostRecorded is how many lines are kept of the record of one peer.
const mostRecorded = 400

// A record is what a peer said to the kernel.
type record struct {
	with Recorder

	mu      sync.Mutex
	lines   []string
	leftOut int // lines, once there are enough
	err     error
}

func (rec *record) add(lines []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	n := min(len(lines), mostRecorded-len(rec.lines))
	for _, l := range lines[:n] {
		rec.lines = append(rec.lines, display.Line(l)) // names of sockets are the peer's
	}
	rec.leftOut += len(lines) - n
}

// take is the record so far.
func (rec *record) take() []string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	lines := slices.Clone(rec.lines)
	if rec.leftOut > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more lines", rec.leftOut))
	}
	return lines
}

// awaitEnd waits until the program has ended. Once it has, its recorder reaps it.
func (rec *record) awaitEnd(pid int) {
	if rec == nil {
		waitExited(pid)
		return
	}
	// waitid tells of the stops of who is traced, whatever it is asked for.
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
func (rec *record) launch(cmd *exec.Cmd) (wait func() error, err error) {
	if rec == nil {
		return cmd.Wait, onOneThread(cmd.Start)
	}
	forking.Lock()
	defer forking.Unlock()
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- rec.with(cmd, func() { close(started) }, rec.add) }()
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
			rec.err = err
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

// record plays a case that has failed once more, under the recorder. That is no
// verdict: neither it nor what is known of who is to blame changes.
func (r *run) record(res *Result) {
	if r.options.Recorder == nil || res.AsExpected() || len(res.Findings) == 0 {
		return
	}
	rules := r.rules
	rules.records = map[Role]*record{RoleA: {with: r.options.Recorder}, RoleB: {with: r.options.Recorder}}
	var next *Result
	playAll([]Case{res.Case}, rules, func(again Result) { next = &again })
	if next == nil {
		return // the run is cut short
	}
	r.mu.Lock()
	r.blame(next)
	r.mu.Unlock()
	r.expectations.judge(next)
	res.Trace = &Trace{Why: differs(res, next), Transcript: next.Transcript, A: rules.records[RoleA].take(), B: rules.records[RoleB].take()}
	for role, rec := range rules.records {
		if rec.err != nil {
			res.Trace.Why = fmt.Sprintf("%s cannot be recorded: %v", res.Case.peer(role).Name, rec.err)
		}
	}
}

// differs tells how what came of a case under the recorder is not what came of it
// before.
func differs(was, now *Result) string {
	keys := func(r *Result) []string {
		var list []string
		for _, f := range r.Findings {
			list = append(list, f.key())
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	switch found := keys(now); {
	case now.AsExpected():
		return strings.TrimSuffix(fmt.Sprintf("it does not fail under the recorder: %s: %s", now.Verdict, now.Why), ": ")
	case !slices.Equal(keys(was), found):
		return "it fails in another way under the recorder: " + strings.Join(found, " ")
	}
	return ""
}
