package programs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// readWait is how long Poke waits for the server to read a message before it closes the connection. No verdict depends on it,
// because the kernel delivers messages after the end of a connection too.
const readWait = time.Second

// A failure is what happened to a server after a unit.
type failure struct {
	unit  *unit
	ended error // or nil if the server is running and no longer accepts connections
}

// String says what the server does.
func (f *failure) String() string {
	switch {
	case f.ended == nil:
		return "no longer accepts connections"
	case strings.HasPrefix(f.ended.Error(), "killed"):
		return "is " + f.ended.Error()
	}
	return "ends (" + f.ended.Error() + ")"
}

// failed returns how the server has failed since the last unit, or nil if it has not. The error is that of a connection, or
// nil.
func (p *poker) failed(err error) *failure {
	ended := p.ended(err)
	if ended == nil && err == nil {
		return nil
	}
	return &failure{p.last, ended}
}

// send sends a unit, with its descriptors or without them, and returns what happened to the server.
func (p *poker) send(u *unit, withFDs bool) (*failure, error) {
	c, err := p.dial()
	if err != nil {
		f := p.failed(err)
		if f.unit == nil {
			return nil, p.explain(err)
		}
		return f, nil
	}
	p.last = u
	err = p.talk(c, u, withFDs)
	p.hangUp(c)
	probeErr, fault := p.probe()
	if fault != nil {
		return nil, fault
	}
	f := p.failed(probeErr)
	u.why = ""
	if err != nil {
		u.why = err.Error()
	}
	return f, nil
}

// talk sends the messages of a unit.
func (p *poker) talk(c int, u *unit, withFDs bool) error {
	if len(p.First) > 0 {
		if _, err := raw.Send(c, [][]byte{p.First}, nil, unix.MSG_NOSIGNAL); err != nil {
			return fmt.Errorf("send the bytes of --first: %w", err)
		}
		p.awaitRead(c)
	}
	t := u.trial
	for i := range t.before + 1 {
		var fds []int
		if withFDs && i == t.before {
			fd := t.marker.FD()
			if t.path {
				var err error
				if fd, err = t.marker.OpenPath(); err != nil {
					return err
				}
				defer unix.Close(fd)
			}
			fds = slices.Repeat([]int{fd}, t.fds)
		}
		_, err := raw.Send(c, [][]byte{u.payload}, fds, unix.MSG_NOSIGNAL)
		if len(fds) > 0 && errors.Is(err, unix.EPERM) {
			if _, e := raw.Send(c, [][]byte{u.payload}, nil, unix.MSG_NOSIGNAL); e == nil {
				t.rejected, err, fds = true, nil, nil
			}
		}
		if i > 0 && p.reads && (errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)) {
			return nil // the server has read the first message, and wants no second one
		}
		if err != nil {
			return fmt.Errorf("sendmsg: %w", err)
		}
		t.sent += len(fds)
		if p.awaitRead(c) {
			p.reads = true
		}
	}
	return nil
}

// awaitRead waits until the server has read all messages of a connection, reads what it has answered, and reports whether it
// has read them.
func (p *poker) awaitRead(c int) bool {
	answer := make([]byte, 1<<16)
	wait := readWait
	if p.unread && !p.reads { // it probably reads nothing
		wait = idleWait
	}
	deadline := time.Now().Add(wait)
	for {
		n, err := Unread(c)
		var reset error
		for got := 1; got > 0; { // without a control buffer, the kernel closes the descriptors of an answer
			got, _, reset = unix.Recvfrom(c, answer, unix.MSG_DONTWAIT)
		}
		switch {
		case reset == unix.ECONNRESET: // the server has closed the connection, and not read all of it
			return false
		case n == 0 && err == nil:
			return true
		case err != nil || p.server.Ended() != nil:
			return false
		case time.Now().After(deadline):
			p.unread = true
			return false
		}
		time.Sleep(2 * time.Millisecond)
	}
}
