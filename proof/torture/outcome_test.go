//go:build linux

package torture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fault describes what strace does to one system call of a run.
type fault struct {
	call  string // strace's name of the system call; "" means no fault
	kind  string // tracedCall.kind of the call
	nth   int    // which of the thread's calls of that name, from 1
	place int    // index of the call among those between the marks
	errno unix.Errno
	kill  bool // send SIGKILL before the call; a kill after the call is one before the next call or mark
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

// outcome is the observed result of a run.
type outcome struct {
	fault    fault
	report   *tortureReport // nil if the child was killed
	record   tortureRecord
	received traffic
	arrivals []int // for each witness, the bytes read from it: one per arrival of its file
	leaks    []string
	failure  string  // the exit status and stderr of the child
	oneCall  traffic // what one successful call sends
}

// missed reports whether the fault was injected at the wrong system call. This happens
// if the thread makes more or fewer calls before the first mark than in the recorded run.
func (o outcome) missed() bool {
	switch {
	case o.fault.call == "":
		return false
	case o.fault.kill:
		if o.report != nil || !o.record.dead {
			return true
		}
		// strace may list the call before which the process died. Such a call has no result.
		calls, place := o.record.calls, o.fault.place
		return len(calls) != place && (len(calls) != place+1 || calls[place].result != "?")
	}
	return len(o.record.calls) <= o.fault.place || !o.record.calls[o.fault.place].injected
}

// violations describes everything that went wrong in a run.
func (o outcome) violations(op operation) (found []string) {
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, leak := range o.leaks {
		add("%s", leak)
	}
	if !o.received.end {
		add("the partner's socket never reported the end of the stream")
	}
	for i, n := range o.arrivals {
		if i > 0 && n > 1 {
			add("file %d arrived %d times", i, n)
		}
	}
	if o.fault.kill {
		o.checkSent(op, o.record.succeeded("sendmsg", "sendmmsg", "write") > 0, add)
		return found
	}
	if o.report == nil {
		return append(found, "the child failed: "+o.failure)
	}
	r := o.report
	for _, wrong := range r.Wrong {
		add("%s", wrong)
	}
	o.checkError(op, add)
	o.checkOpenFDs(add)
	o.checkCloses(add)
	if r.SecondErr != "" {
		add("a second call fails: %s", r.SecondErr)
	}
	switch want := strings.Repeat(o.oneCall.bytes, r.Successes); {
	case o.oneCall.files == 0 && o.oneCall.bytes == "":
	case op.partial && r.Successes == 0:
		o.checkPrefix(add)
	case o.received.bytes != want || o.received.files != r.Successes*o.oneCall.files:
		add("%d calls succeeded, but the partner received %v", r.Successes, o.received.messages)
	}
	return found
}

// checkPrefix checks that the partner received a prefix of a message that takes several system calls to send.
func (o outcome) checkPrefix(add func(string, ...any)) {
	if !strings.HasPrefix(o.oneCall.bytes, o.received.bytes) || o.received.files > o.oneCall.files {
		add("the partner received %v, which is not a prefix of the message", o.received.messages)
	}
}

// checkSent checks that the partner received the message of a killed sender if and only if it was sent.
func (o outcome) checkSent(op operation, sent bool, add func(string, ...any)) {
	if op.sends.none() {
		return
	}
	if op.partial {
		o.checkPrefix(add)
		return
	}
	want := traffic{}
	if sent {
		want = o.oneCall
	}
	if o.received.bytes != want.bytes || o.received.files != want.files {
		add("the partner received %v from a killed sender, want %v", o.received.messages, want.messages)
	}
}

// checkError checks that the call fails with the injected errno, or succeeds where the operation's tables allow it.
func (o outcome) checkError(op operation, add func(string, ...any)) {
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
	ignored := false
	for _, key := range []string{f.kind, f.kind + " " + unix.ErrnoName(f.errno), fmt.Sprintf("%s #%d", f.kind, which)} {
		_, found := op.ignored[key]
		ignored = ignored || found
	}
	hidden, hides := op.replaced[f.kind]
	if !hides {
		hidden, hides = op.replaced[f.kind+" "+unix.ErrnoName(f.errno)]
	}
	if f.kind == "fcntl F_DUPFD_CLOEXEC" && f.errno == unix.EINVAL { // as with RLIMIT_NOFILE 0
		hidden, hides = unix.EMFILE, true
	}
	retried := slices.Contains(op.retries[f.kind], f.errno)
	switch {
	case r.Err == "" && ignored:
	case r.Err == "" && retried:
		again := slices.ContainsFunc(o.record.calls[f.place+1:], func(c tracedCall) bool { return c.traced == f.call })
		if !again {
			add("the call succeeded without retrying %s", f.call)
		}
	case r.Err == "":
		add("the call succeeded despite the injected error")
	case slices.Contains(r.Errnos, f.errno):
		if retried && f.errno == unix.EINTR {
			add("EINTR was not retried: %s", r.Err)
		}
	case retried && f.errno == unix.EAGAIN && r.Deadline:
	case hides && (hidden == 0 || slices.Contains(r.Errnos, hidden)):
	default:
		add("the error does not wrap the injected errno: %s", r.Err)
	}
}

// checkOpenFDs checks that the call opened exactly the descriptors that it returned, and
// closed exactly those that it must close.
func (o outcome) checkOpenFDs(add func(string, ...any)) {
	r := o.report
	if r.Err != "" && len(r.Returned) > 0 {
		add("descriptors were returned with an error: %v", r.Returned)
	}
	// strace injects an error by suppressing the call. After a failed close the descriptor
	// is therefore still open, although Linux would have closed it.
	stillOpen := o.failedCloseFD()
	for _, left := range r.Opened {
		text, _, _ := strings.Cut(left, " ")
		fd, _ := strconv.Atoi(text)
		if !slices.Contains(r.Returned, fd) && fd != stillOpen {
			add("left open: %s", left)
		}
	}
	for _, fd := range r.Returned {
		if !slices.ContainsFunc(r.Opened, func(s string) bool { return strings.HasPrefix(s, strconv.Itoa(fd)+" ") }) {
			add("descriptor %d was returned, but was open before", fd)
		}
	}
	for _, fd := range r.Closed {
		if !slices.Contains(r.MustClose, fd) {
			add("descriptor %d was closed, but does not belong to the call", fd)
		}
	}
	for _, fd := range r.MustClose {
		if !slices.Contains(r.Closed, fd) && fd != stillOpen && !slices.Contains(r.Returned, fd) {
			add("descriptor %d was not closed", fd)
		}
	}
}

// failedCloseFD returns the descriptor whose close strace suppressed, or -1.
func (o outcome) failedCloseFD() int {
	if o.fault.call == "close" && !o.fault.kill && o.fault.place < len(o.record.calls) {
		return o.record.calls[o.fault.place].closedFD()
	}
	return -1
}

// checkCloses checks that each close was for an open descriptor that belongs to the call.
func (o outcome) checkCloses(add func(string, ...any)) {
	for i, c := range o.record.calls {
		if c.name != "close" {
			continue
		}
		fd := c.closedFD()
		if !c.injected && c.result != "0" {
			add("closed a descriptor that was not open: %s", c.line)
		}
		if slices.Contains(o.report.Before, fd) && !slices.Contains(o.report.MustClose, fd) {
			add("closed a descriptor that does not belong to the call: %s", c.line)
		}
		if i > o.fault.place && fd == o.failedCloseFD() && fd >= 0 {
			add("closed twice: %s", c.line)
		}
	}
}
