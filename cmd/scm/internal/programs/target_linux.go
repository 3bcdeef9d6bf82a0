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

	"golang.org/x/sys/unix"
)

// idleWait is how long a target waits for its server to go to sleep after a connection. No verdict depends on it, because
// the kernel delivers messages after the end of a connection too.
const idleWait = 250 * time.Millisecond

// A target starts a server and stops it, perhaps several times, and asks it whether it accepts connections.
type target struct {
	ctx      context.Context
	address  string
	pid      int           // of a server that is running already, or 0
	args     []string      // the command of the server, if pid is 0
	activate bool          // pass the listening socket to the server
	typ      int           // of the socket, or 0 until it is known
	timeout  time.Duration // to start, and to accept a connection

	server   *Server // or nil if none is running
	listener *os.File
	created  bool // the server has created the socket file
	accepts  bool // the server accepts connections at once, and the kernel says so
	blind    bool // it cannot be known whether the server accepts connections
}

// ensure starts the server unless it is running, and waits until it listens.
func (t *target) ensure() (err error) {
	switch {
	case t.server != nil:
		return nil
	case t.pid != 0:
		t.server, err = Attach(t.pid)
	default:
		err = t.start()
	}
	if err == nil {
		_, err = t.server.Held() // which fails if the kernel does not let scm look
	}
	return err
}

func (t *target) start() (err error) {
	if err = t.clear(); err == nil && t.activate {
		err = t.listen()
	}
	if err != nil {
		return err
	}
	if t.server, err = Start(Command{Args: t.args, Socket: t.address, Listen: t.listener}); err != nil {
		return err
	}
	late := fmt.Errorf("after %s, no process listens at %s", t.timeout, t.address)
	ctx, cancel := context.WithTimeoutCause(t.ctx, t.timeout, late)
	defer cancel()
	if err := t.server.WaitListening(ctx, t.address); err != nil {
		return t.explain(err)
	}
	t.created = true
	return nil
}

// explain adds to an error where the server listens, and what it has printed.
func (t *target) explain(err error) error {
	if listens := t.server.Listens(); len(listens) > 0 {
		err = fmt.Errorf("%w; the server listens at %s", err, strings.Join(listens, ", "))
	}
	if output := t.server.Output(); output != "" {
		return fmt.Errorf("%w; it has printed:\n%s", err, output)
	}
	return err
}

// clear removes the socket file that a server before has left. If another process listens there, it returns an error.
func (t *target) clear() error {
	c, _, err := Dial(t.address, 0, t.timeout)
	if err == nil {
		unix.Close(c)
	}
	switch {
	case err == nil || errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("a process that scm did not start listens at %s", t.address)
	case !IsAbsent(err):
		return err
	}
	if t.created && !strings.HasPrefix(t.address, "@") {
		if err := os.Remove(t.address); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// listen creates the socket that the server gets as from systemd. Each server gets a new one, so that no connection to the
// one before is left in its backlog.
func (t *target) listen() error {
	if t.typ == 0 {
		t.typ = unix.SOCK_STREAM
	}
	fd, err := unix.Socket(unix.AF_UNIX, t.typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	t.listener = os.NewFile(uintptr(fd), filepath.Base(t.address))
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: t.address}); err == nil {
		t.created = true
		if t.typ != unix.SOCK_DGRAM {
			err = unix.Listen(fd, 128)
		}
	}
	if err != nil {
		return fmt.Errorf("bind to %s: %w", t.address, err)
	}
	return nil
}

// stop ends the server, and removes the socket file if the server has left it.
func (t *target) stop() {
	if t.server == nil {
		return
	}
	t.server.Stop()
	if t.listener != nil {
		t.listener.Close()
	}
	t.server, t.listener = nil, nil
	if t.pid == 0 {
		_ = t.clear() // the next server, or the next run, may find the file otherwise
	}
}

// dial connects to the server. The error is one of Dial.
func (t *target) dial() (int, error) {
	fd, typ, err := Dial(t.address, t.typ, t.timeout)
	if err == nil {
		t.typ = typ
	} else if types := listenerTypes(t.address); len(types) > 0 && t.typ != 0 && !slices.Contains(types, t.typ) {
		err = fmt.Errorf("%w: the socket has another --type: %s", err, typeName(types[0]))
	}
	return fd, err
}

// hangUp ends a connection as a client does that reads all answers. A server may not expect that its client closes the
// connection before that.
func (t *target) hangUp(c int) {
	_ = unix.Shutdown(c, unix.SHUT_WR)
	t.rest(idleWait)
	unix.Close(c)
	t.rest(idleWait)
}

// rest waits until the server is asleep or has ended, but not longer than the limit.
func (t *target) rest(limit time.Duration) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && t.server.Ended() == nil && !t.server.Idle(); {
		time.Sleep(2 * time.Millisecond)
	}
}

// ended returns how the server has ended, or nil. The error is that of a connection, or nil.
func (t *target) ended(err error) error {
	if IsAbsent(err) && t.server.Ended() == nil { // it may be ending
		t.rest(t.timeout)
	}
	return t.server.Ended()
}

// probe connects and says nothing. It returns an error if the server does not accept the connection in time, and a fault if
// another process does.
func (t *target) probe() (err, fault error) {
	c, err := t.dial()
	if err != nil {
		return err, nil
	}
	defer t.hangUp(c)
	if t.typ == unix.SOCK_DGRAM {
		return nil, nil
	}
	for deadline := time.Now().Add(t.timeout); !t.blind && t.server.Ended() == nil; time.Sleep(2 * time.Millisecond) {
		accepted, known := Accepted(t.address)
		late := time.Now().After(deadline)
		switch {
		case accepted && !t.accepts && !t.server.serves(t.address) && t.server.Ended() == nil:
			return nil, fmt.Errorf("what accepts connections at %s is not process %d or a child of it", t.address, t.server.PID())
		case accepted:
			t.accepts = true
			t.rest(idleWait)
			return nil, nil
		case !known, late && !t.accepts:
			t.blind = true
		case late:
			return unix.ETIMEDOUT, nil
		}
	}
	return nil, nil
}
