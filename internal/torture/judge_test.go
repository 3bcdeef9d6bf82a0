//go:build linux

package torture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fault is what is done to one system call of a run.
type fault struct {
	call  string // "" is no fault
	kind  string // of the call
	nth   int    // of the thread's calls of that name
	place int    // among the calls between the marks
	errno unix.Errno
	kill  bool // SIGKILL before the call; after it is before the next one, or before the mark
}

func (f fault) String() string {
	switch {
	case f.call == "":
		return "no fault"
	case f.kill:
		return fmt.Sprintf("SIGKILL before call %d (%s)", f.place+1, f.kind)
	}
	return fmt.Sprintf("%s at call %d (%s)", unix.ErrnoName(f.errno), f.place+1, f.kind)
}

// outcome is all that is known of a run.
type outcome struct {
	fault    fault
	report   *tortureReport // nil of a child that was killed
	record   tortureRecord
	seen     seen
	arrivals []int // bytes that came by each witness
	leaks    []string
	failure  string // of the child, as a process
	one      seen   // what one call sends
}

// missed tells that the fault did not hit what it was to hit: the thread made
// another number of calls before the first mark.
func (o outcome) missed() bool {
	switch {
	case o.fault.call == "":
		return false
	case o.fault.kill:
		if o.report != nil || !o.record.dead {
			return true
		}
		// The call that was to come is told, with no result, or the mark is not reached.
		return len(o.record.calls) != o.fault.place && len(o.record.calls) != o.fault.place+1
	}
	return len(o.record.calls) <= o.fault.place || !o.record.calls[o.fault.place].injected
}

// violations are what should not have happened, in words.
func (o outcome) violations(op operation) (found []string) {
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, leak := range o.leaks {
		add("%s", leak)
	}
	if !o.seen.end {
		add("the partner never saw the end")
	}
	for i, n := range o.arrivals {
		if i > 0 && n > 1 {
			add("file %d arrived %d times", i, n)
		}
	}
	if o.fault.kill {
		o.judgeSent(op, o.record.did("sendmsg", "sendmmsg") > 0, add)
		return found
	}
	if o.report == nil {
		return append(found, "the child failed: "+o.failure)
	}
	r := o.report
	for _, wrong := range r.Wrong {
		add("%s", wrong)
	}
	o.judgeError(op, add)
	o.judgeNumbers(add)
	o.judgeCloses(add)
	if r.Again != "" {
		add("the call cannot be made afterwards: %s", r.Again)
	}
	switch want := strings.Repeat(o.one.bytes, r.Successes); {
	case o.one.files == 0 && o.one.bytes == "":
	case op.inParts && r.Successes == 0:
		o.judgeBeginning(add)
	case o.seen.bytes != want || o.seen.files != r.Successes*o.one.files:
		add("%d calls succeeded, and the partner received %v", r.Successes, o.seen.messages)
	}
	return found
}

// judgeBeginning holds what came of a message that is sent in parts to the whole.
func (o outcome) judgeBeginning(add func(string, ...any)) {
	if !strings.HasPrefix(o.one.bytes, o.seen.bytes) || o.seen.files > o.one.files {
		add("the partner received %v, which is no beginning of the message", o.seen.messages)
	}
}

// judgeSent holds what a killed sender left behind to what it had sent.
func (o outcome) judgeSent(op operation, sent bool, add func(string, ...any)) {
	if op.sends.messages() == 0 {
		return
	}
	if op.inParts {
		o.judgeBeginning(add)
		return
	}
	want := seen{}
	if sent {
		want = o.one
	}
	if o.seen.bytes != want.bytes || o.seen.files != want.files {
		add("the partner received %v of a sender that was killed, want %v", o.seen.messages, want.messages)
	}
}

// judgeError: the call fails with the errno, or succeeds as the documentation says.
func (o outcome) judgeError(op operation, add func(string, ...any)) {
	f, r := o.fault, o.report
	if f.call == "" {
		if r.Err != "" {
			add("the call failed: %s", r.Err)
		}
		return
	}
	which := 0
	for _, c := range o.record.calls[:min(f.place+1, len(o.record.calls))] {
		if c.kind() == f.kind {
			which++
		}
	}
	shrugged := false
	for _, key := range []string{f.kind, f.kind + " " + unix.ErrnoName(f.errno), fmt.Sprintf("%s #%d", f.kind, which)} {
		_, found := op.shrugs[key]
		shrugged = shrugged || found
	}
	hidden, hides := op.hides[f.kind]
	if !hides {
		hidden, hides = op.hides[f.kind+" "+unix.ErrnoName(f.errno)]
	}
	retried := slices.Contains(op.retries[f.kind], f.errno)
	switch {
	case r.Err == "" && shrugged:
	case r.Err == "" && retried:
		again := slices.ContainsFunc(o.record.calls[f.place+1:], func(c tracedCall) bool { return c.traced == f.call })
		if !again {
			add("the call succeeded, and did not repeat %s", f.call)
		}
	case r.Err == "":
		add("the call succeeded")
	case slices.Contains(r.Errnos, f.errno):
		if retried && f.errno == unix.EINTR {
			add("EINTR was not retried: %s", r.Err)
		}
	case retried && f.errno == unix.EAGAIN && r.Deadline:
	case hides && (hidden == 0 || slices.Contains(r.Errnos, hidden)):
	default:
		add("the error does not wrap it: %s", r.Err)
	}
}

// judgeNumbers: what is open that was not is what was returned, and what is closed
// that was open is what the call was to close.
func (o outcome) judgeNumbers(add func(string, ...any)) {
	r := o.report
	if r.Err != "" && len(r.Returned) > 0 {
		add("numbers were returned with an error: %v", r.Returned)
	}
	// strace makes an error of a call by not making it: what close was called for is
	// open yet, which it would not be on Linux.
	spared := o.spared()
	for _, left := range r.Left {
		text, _, _ := strings.Cut(left, " ")
		fd, _ := strconv.Atoi(text)
		if !slices.Contains(r.Returned, fd) && fd != spared {
			add("left open: %s", left)
		}
	}
	for _, fd := range r.Returned {
		if !slices.ContainsFunc(r.Left, func(s string) bool { return strings.HasPrefix(s, strconv.Itoa(fd)+" ") }) {
			add("%d was returned and is not a new number", fd)
		}
	}
	for _, fd := range r.Gone {
		if !slices.Contains(r.Taken, fd) {
			add("%d was closed, and was not the call's", fd)
		}
	}
	for _, fd := range r.Taken {
		if !slices.Contains(r.Gone, fd) && fd != spared && !slices.Contains(r.Returned, fd) {
			add("%d was not closed", fd)
		}
	}
}

// spared is the number for which close was called and not made.
func (o outcome) spared() int {
	if o.fault.call == "close" && !o.fault.kill && o.fault.place < len(o.record.calls) {
		return o.record.calls[o.fault.place].first()
	}
	return -1
}

// judgeCloses: each close is of a number of the call's own, and one that is open.
func (o outcome) judgeCloses(add func(string, ...any)) {
	for i, c := range o.record.calls {
		if c.name != "close" {
			continue
		}
		fd := c.first()
		if !c.injected && c.result != "0" {
			add("closed what was not open: %s", c.line)
		}
		if slices.Contains(o.report.Before, fd) && !slices.Contains(o.report.Taken, fd) {
			add("closed what was not the call's: %s", c.line)
		}
		if i > o.fault.place && fd == o.spared() && fd >= 0 {
			add("closed twice: %s", c.line)
		}
	}
}
