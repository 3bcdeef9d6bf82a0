package programs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// readWait is how long Poke waits for the server to read a message before it closes the connection, and idleWait how long it
// waits for the server to go to sleep afterwards. No verdict depends on them, because the kernel delivers messages after
// the end of a connection too.
const (
	readWait = time.Second
	idleWait = 250 * time.Millisecond
)

// A failure is what happened to a server after a unit.
type failure struct {
	unit  *unit
	ended error // or nil if the server is running and no longer accepts connections
}

func (f *failure) String() string {
	if f.ended != nil {
		return f.ended.Error()
	}
	return "no longer accepts connections"
}

// send sends a unit, with its descriptors or without them, and returns what happened to the server.
func (p *poker) send(u *unit, withFDs bool) (*failure, error) {
	c, err := p.dial()
	if err != nil {
		f := p.failed(err)
		if f.unit == nil {
			return nil, p.serverError(err)
		}
		return f, nil
	}
	p.last = u
	err = p.talk(c, u, withFDs)
	p.hangUp(c)
	f := p.probe()
	switch {
	case err != nil:
		u.trial.why = err.Error()
	case withFDs && f == nil:
		u.trial.passed = true
	}
	return f, nil
}

// dial connects to the server. The error is one of Dial.
func (p *poker) dial() (int, error) {
	fd, typ, err := Dial(p.Address, p.Type, p.Timeout)
	if err == nil {
		p.Type = typ
	} else if types := listenerTypes(p.Address); len(types) > 0 && p.Type != 0 && !slices.Contains(types, p.Type) {
		err = fmt.Errorf("%w: the socket has another --type: %s", err, typeName(types[0]))
	}
	return fd, err
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
	for i := range t.repeat {
		var fds []int
		if withFDs && i == t.repeat-1 {
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

// hangUp ends a connection as a client does that reads all answers. A server may not expect that its client closes the
// connection before that.
func (p *poker) hangUp(c int) {
	_ = unix.Shutdown(c, unix.SHUT_WR)
	p.rest()
	unix.Close(c)
	p.rest()
}

// rest waits until the server is asleep or has ended, but not for long if it is busy.
func (p *poker) rest() { p.restFor(idleWait) }

func (p *poker) restFor(limit time.Duration) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && p.server.Ended() == nil && !p.server.Idle(); {
		time.Sleep(2 * time.Millisecond)
	}
}

// probe connects and says nothing. It returns how the server has failed.
func (p *poker) probe() *failure {
	c, err := p.dial()
	if err != nil {
		return p.failed(err)
	}
	defer p.hangUp(c)
	if p.Type == unix.SOCK_DGRAM {
		return p.failed(nil)
	}
	for deadline := time.Now().Add(p.Timeout); !p.blind; {
		accepted, ok := Accepted(c)
		switch {
		case p.server.Ended() != nil:
			return p.failed(nil)
		case accepted:
			if !p.accepts && !p.server.accepts(c, p.Timeout) {
				p.foreign = fmt.Errorf("what accepts connections at %s is not process %d or a child of it", p.Address, p.server.PID())
			}
			p.accepts = true
			p.rest()
			return p.failed(nil)
		case !ok, time.Now().After(deadline) && !p.accepts:
			p.blind = true
		case time.Now().After(deadline):
			return p.failed(unix.ETIMEDOUT)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return p.failed(nil)
}

// failed returns how the server has failed since the last unit, or nil if it has not. The error is that of a connection, or
// nil.
func (p *poker) failed(err error) *failure {
	ended := p.server.Ended()
	if ended == nil && IsAbsent(err) { // it may be ending
		p.restFor(p.Timeout)
		ended = p.server.Ended()
	}
	if ended == nil && err == nil {
		return nil
	}
	return &failure{p.last, ended}
}

// predicate says what the server does.
func (f *failure) predicate() string {
	switch {
	case f.ended == nil:
		return f.String()
	case strings.HasPrefix(f.String(), "killed"):
		return "is " + f.String()
	}
	return "ends (" + f.String() + ")"
}

// ensure starts the server unless it is running, and waits until it listens.
func (p *poker) ensure() error {
	if p.server != nil {
		return nil
	}
	if p.PID != 0 {
		server, err := Attach(p.PID)
		if err != nil {
			return err
		}
		p.server = server
		_, err = server.Held() // which fails if the kernel does not let scm look
		return err
	}
	if err := p.clear(); err != nil {
		return err
	}
	c := Command{Args: p.Args, Socket: p.Address}
	if p.Activate {
		if err := p.listen(); err != nil {
			return err
		}
		c.Listen = p.listener
	}
	server, err := Start(c)
	if err != nil {
		return err
	}
	p.server = server
	ctx, cancel := context.WithTimeoutCause(p.ctx, p.Timeout, fmt.Errorf("after %s, no process listens at %s", p.Timeout, p.Address))
	defer cancel()
	if err := server.WaitListening(ctx, p.Address); err != nil {
		return p.serverError(err)
	}
	p.created = true
	_, err = server.Held()
	return err
}

// serverError adds where the server listens, and what it has printed.
func (p *poker) serverError(err error) error {
	if listens := p.server.Listens(); len(listens) > 0 {
		err = fmt.Errorf("%w; the server listens at %s", err, strings.Join(listens, ", "))
	}
	if output := p.server.Output(); output != "" {
		return fmt.Errorf("%w; it has printed:\n%s", err, output)
	}
	return err
}

// clear removes the socket file that a server before has left. If another process listens there, it returns an error.
func (p *poker) clear() error {
	c, _, err := Dial(p.Address, 0, p.Timeout)
	if err == nil {
		unix.Close(c)
	}
	switch {
	case err == nil || errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("a process that scm did not start listens at %s", p.Address)
	case !IsAbsent(err):
		return err
	}
	if p.created && !strings.HasPrefix(p.Address, "@") {
		if err := os.Remove(p.Address); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// listen creates the socket that the server gets as from systemd. Each server gets a new one, so that no connection to the
// one before is left in its backlog.
func (p *poker) listen() error {
	if p.Type == 0 {
		p.Type = unix.SOCK_STREAM
	}
	fd, err := unix.Socket(unix.AF_UNIX, p.Type|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: p.Address}); err == nil {
		p.created = true
		if p.Type != unix.SOCK_DGRAM {
			err = unix.Listen(fd, 128)
		}
	}
	p.listener = os.NewFile(uintptr(fd), filepath.Base(p.Address))
	if err != nil {
		return fmt.Errorf("bind to %s: %w", p.Address, err)
	}
	return nil
}

// stop ends the server, and removes the socket file if the server has left it.
func (p *poker) stop() {
	if p.server == nil {
		return
	}
	p.server.Stop()
	if p.listener != nil {
		p.listener.Close()
	}
	p.server, p.listener, p.last, p.unread = nil, nil, nil, false
	if p.PID == 0 {
		_ = p.clear() // the next server, or the next run, may find the file otherwise
	}
}
