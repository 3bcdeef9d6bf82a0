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

// Why the server may not have read a message.
var (
	errUnread = errors.New("the server has not read it")
	errClosed = errors.New("the server closed the connection before it read anything")
	errFull   = errors.New("the queue of the server stays full")
	errFirst  = errors.New("the server closed the connection after the first message") // the next is lost
	errTable  = errors.New("the descriptor table of the server was full")              // it has read only the bytes
)

// A failure is what happened to a server after a unit.
type failure struct {
	unit  *unit
	ended error         // or nil if the server is running and no longer serves clients
	full  bool          // it no longer reads datagrams
	slow  bool          // to find that out takes the timeout
	after time.Duration // since the unit was sent
}

// String says what the server does.
func (f *failure) String() string {
	switch {
	case f.full:
		return "no longer reads datagrams"
	case f.ended == nil:
		return "no longer accepts connections"
	case strings.HasPrefix(f.ended.Error(), "killed"):
		return "is " + f.ended.Error()
	}
	return "ends (" + f.ended.Error() + ")"
}

// failed returns how the server has failed since the last unit, or nil if it has not. The error is that of a
// connection, or nil.
func (p *poker) failed(err error) *failure {
	ended := p.ended(err)
	if ended == nil && err == nil {
		return nil
	}
	if ended != nil && p.ender != p.server {
		p.ender, p.ends = p.server, append(p.ends, ended.Error())
	}
	slow := ended == nil && (errors.Is(err, unix.ETIMEDOUT) || errors.Is(err, unix.EAGAIN))
	return &failure{unit: p.last, ended: ended, slow: slow, after: time.Since(p.began)}
}

// send sends a unit, with its descriptors or without them, and returns what happened to the server. A server that
// closes a connection may have read the beginning of a message, with its descriptors. So if it has not read the whole
// message, send tries again with the first byte alone.
func (p *poker) send(u *unit, withFDs bool) (*failure, error) {
	var fds []int
	switch t := u.trial; {
	case withFDs && t.path:
		fds = slices.Repeat([]int{t.marker.path}, t.fds)
	case withFDs:
		fds = slices.Repeat([]int{t.marker.fd}, t.fds)
	}
	for alone := u.alone; ; alone = true {
		var before []socket
		if withFDs {
			before = p.server.sockets()
		}
		c, err := p.dial()
		if err != nil {
			f := p.failed(err)
			if f.unit == nil {
				return nil, p.explain(err)
			}
			return f, nil
		}
		full := withFDs && p.isFull(before)
		p.last, p.began = u, time.Now()
		result := p.sendUnit(c, u, fds, alone)
		p.hangUp(c)
		if result == nil && full {
			result = errTable
		}
		u.why = ""
		if result != nil {
			u.why = result.Error()
		}
		if !alone && p.splits(u) && (result == errClosed || result == errUnread && p.reads) {
			continue
		}
		if result == errFull && p.server.Ended() == nil {
			return p.full(u), nil
		}
		err, fault := p.probe()
		if fault != nil {
			return nil, fault
		}
		return p.failed(err), nil
	}
}

// splits reports whether the first byte of a message can be sent alone, and was not.
func (p *poker) splits(u *unit) bool {
	return p.Type == unix.SOCK_STREAM && len(u.payload) > 1 && !u.alone
}

// full says what it means that the queue of the server has been full for the timeout. Only a server whose threads are
// all asleep no longer reads.
func (p *poker) full(u *unit) *failure {
	switch {
	case !p.await(p.Timeout, p.Timeout, p.server.Idle):
		u.why += ", but it is busy"
	case p.PID != 0:
		u.why += ", and perhaps because of the bytes alone: scm cannot start the server again to find out"
	default:
		return &failure{unit: u, full: true, slow: true}
	}
	return nil
}

// sendUnit sends the messages of a unit, and returns nil if the server has read the one with the descriptors. If alone
// is set, it first sends only a byte of this.
func (p *poker) sendUnit(c int, u *unit, fds []int, alone bool) error {
	if len(p.First) > 0 {
		if err := p.say(c, u, p.First, nil); err != nil && err != errUnread {
			return fmt.Errorf("the bytes of --first: %w", err)
		}
	}
	read := false
	for range u.trial.before {
		err := p.say(c, u, u.payload, nil)
		if err != nil && err != errUnread {
			return err
		}
		read = err == nil
		p.reads = p.reads || read
	}
	n := len(u.payload)
	if alone {
		n = 1
	}
	err := p.say(c, u, u.payload[:n], fds)
	switch {
	case err == errClosed && read:
		return errFirst
	case err == nil && alone:
		_ = p.say(c, u, u.payload[n:], nil) // the server has the descriptors
	}
	p.reads = p.reads || err == nil
	return err
}

// say sends a message, and waits until the server has read it.
func (p *poker) say(c int, u *unit, data []byte, fds []int) (err error) {
	flags := unix.MSG_NOSIGNAL
	if p.Type == unix.SOCK_DGRAM {
		flags |= unix.MSG_DONTWAIT
	}
	began := time.Now()
	p.await(2*p.Timeout, 2*p.Timeout, func() bool {
		_, err = raw.Send(c, [][]byte{data}, fds, flags)
		return err != unix.EAGAIN || p.Type != unix.SOCK_DGRAM
	})
	if len(fds) > 0 && err == unix.EPERM {
		u.trial.rejected = true
		return p.say(c, u, data, nil)
	}
	if time.Since(began) > p.Timeout/10 && p.Type == unix.SOCK_DGRAM {
		p.enough = "not tried, because the server reads too slowly"
	}
	switch err {
	case nil:
		u.trial.sent += len(fds)
		return p.awaitRead(c)
	case unix.EPIPE, unix.ECONNRESET:
		return errClosed
	case unix.EAGAIN:
		if p.Type == unix.SOCK_DGRAM {
			return errFull
		}
	}
	return fmt.Errorf("sendmsg: %w", err)
}

// awaitRead waits until the server has read all messages of a connection, and reads what it has answered.
func (p *poker) awaitRead(c int) error {
	answer, result := make([]byte, 1<<16), errUnread
	done := func() bool {
		n, err := Unread(c)
		if n == 0 && err == nil {
			result = nil
		}
		for got := 1; got > 0; { // without a control buffer, the kernel closes the descriptors of an answer
			got, _, err = unix.Recvfrom(c, answer, unix.MSG_DONTWAIT)
		}
		if err == unix.ECONNRESET { // the server has closed the connection, and not read all of it
			result = errClosed
		}
		return result != errUnread
	}
	if !p.await(p.waitLimit, idleWait, done) { // a server that is busy may be about to read
		p.await(time.Second, time.Second, func() bool { return done() || p.server.Idle() })
	}
	p.unread = p.unread || result == errUnread
	return result
}
