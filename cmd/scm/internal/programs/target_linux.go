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

// idleWait is how long a target waits for its server to go to sleep after a connection. No verdict depends on it,
// because the kernel delivers messages after the end of a connection too.
const idleWait = 250 * time.Millisecond

// A target starts a server and stops it, perhaps several times, and asks it whether it accepts connections.
type target struct {
	PokeOptions
	ctx       context.Context
	address   string        // or "" if Address is a pattern and no server has started
	waitLimit time.Duration // how long the waits for the server to read or to go to sleep may still take

	server   *Server // or nil if none is running
	listener *os.File
	created  bool // the server has created the socket file
	accepts  bool // the server accepts connections at once, and the kernel reports that
	blind    bool // it cannot be known whether the server accepts connections
}

// find finds the address of the server, and reports whether it is known. A path may contain the PID of the server, and
// the pattern a * instead.
func (t *target) find() bool {
	if !strings.Contains(t.Address, "*") {
		t.address = t.Address
	} else if t.server != nil {
		for _, address := range t.server.Listens() {
			if match, _ := filepath.Match(t.Address, address); match {
				t.address = address
			}
		}
	}
	return t.address != ""
}

// ensure starts the server unless it is running, and waits until it listens.
func (t *target) ensure() (err error) {
	switch {
	case t.server != nil:
		return nil
	case t.PID != 0:
		t.server, err = Attach(t.PID)
	default:
		err = t.start()
	}
	if err == nil {
		_, err = t.server.Holdings() // which fails if the kernel does not let scm look
	}
	if err == nil && !t.find() {
		err = t.explain(fmt.Errorf("process %d does not listen at %s", t.PID, t.Address))
	}
	if err == nil && t.PID != 0 && !t.server.serves(t.address) {
		err = t.identify()
	}
	return err
}

// identify returns an error if another process than the one to test called listen(2), as far as the kernel shows. It
// is for a socket whose name is not the address, because its file was renamed.
func (t *target) identify() error {
	c, err := t.dial()
	if err != nil {
		return t.explain(err)
	}
	defer unix.Close(c)
	cred, err := unix.GetsockoptUcred(c, unix.SOL_SOCKET, unix.SO_PEERCRED)
	pids, _ := t.server.Processes()
	if err != nil || !slices.Contains(pids, int(cred.Pid)) {
		return t.explain(fmt.Errorf("process %d does not listen at %s, as far as the kernel shows", t.PID, t.address))
	}
	return nil
}

func (t *target) start() (err error) {
	if t.find() {
		err = t.clear()
	}
	if err == nil && t.Activate {
		err = t.listen()
	}
	if err == nil {
		t.server, err = Start(t.Args, t.Address, t.listener)
	}
	if err != nil {
		return err
	}
	connect := time.Now().Add(time.Second)
	ready := t.await(t.Timeout, t.Timeout, func() bool { return t.find() && listens(t.address, connect) })
	switch {
	case ready:
		t.created = true
		return nil
	case t.server.Ended() != nil:
		err = fmt.Errorf("the server has ended: %w", t.server.Ended())
	case t.ctx.Err() != nil:
		err = context.Cause(t.ctx)
	default:
		err = fmt.Errorf("after %s, no process listens at %s", t.Timeout, t.Address)
	}
	return t.explain(err)
}

// explain adds to an error where the server listens, and the server's output.
func (t *target) explain(err error) error {
	if listens := t.server.Listens(); len(listens) > 0 {
		err = fmt.Errorf("%w; the server listens at %s", err, strings.Join(listens, ", "))
	}
	return addOutput(err, t.server.Output())
}

// addOutput adds the server's output to an error.
func addOutput(err error, output string) error {
	if output == "" {
		return err
	}
	return fmt.Errorf("%w; its output:\n%s", err, output)
}

// clear removes the socket file that a server before has left. If another process listens there, it returns an error.
func (t *target) clear() error {
	c, _, err := Dial(t.address, 0, t.Timeout)
	switch {
	case err == nil:
		unix.Close(c)
		fallthrough
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("a process that scm did not start listens at %s", t.address)
	case !IsAbsent(err):
		return err
	case !t.created || strings.HasPrefix(t.address, "@"):
		return nil
	}
	if err := os.Remove(t.address); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// listen creates the socket that the server gets as from systemd. Each server gets a new one, so that no connection to
// the one before is left in its backlog.
func (t *target) listen() error {
	if t.Type == 0 {
		t.Type = unix.SOCK_STREAM
	}
	fd, err := Listen(t.Type, t.address)
	if err == nil {
		t.created, t.listener = true, os.NewFile(uintptr(fd), t.address)
	}
	return err
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
	if t.PID == 0 && t.address != "" {
		_ = t.clear() // the next server, or the next run, may find the file otherwise
	}
	t.address = ""
}

// dial connects to the server. The error is one of Dial.
func (t *target) dial() (int, error) {
	fd, typ, err := Dial(t.address, t.Type, t.Timeout)
	if err == nil {
		t.Type = typ
		return fd, nil
	}
	types := listenerTypes(t.address)
	if len(types) > 0 && t.Type != 0 && !slices.Contains(types, t.Type) {
		err = fmt.Errorf("%w: the socket has another --type: %s", err, typeName(types[0]))
	}
	return fd, err
}

// hangUp ends a connection as a client does that reads all answers. A server may not expect that its client closes the
// connection before that.
func (t *target) hangUp(c int) {
	_ = unix.Shutdown(c, unix.SHUT_WR)
	t.rest()
	unix.Close(c)
	t.rest()
}

// await calls done until it returns true, the server ends, or the context is done, and reports whether done has. It
// waits for at most the first time, or for what is left of waitLimit, but at least for the second one.
func (t *target) await(most, least time.Duration, done func() bool) bool {
	began := time.Now()
	limit := max(min(most, t.waitLimit), least)
	if least < most {
		defer func() { t.waitLimit -= time.Since(began) }()
	}
	for ; ; time.Sleep(2 * time.Millisecond) {
		last := time.Since(began) > limit || t.server.Ended() != nil || t.ctx.Err() != nil
		if ok := done(); ok || last {
			return ok
		}
	}
}

// rest waits until the server is asleep, but not for long if it is busy.
func (t *target) rest() { t.await(idleWait, idleWait/5, t.server.Idle) }

// ended returns how the server has ended, or nil. The error is that of a connection, or nil.
func (t *target) ended(err error) error {
	if IsAbsent(err) { // it may be ending
		t.await(t.Timeout, t.Timeout, t.server.Idle)
	}
	return t.server.Ended()
}

// probe connects and says nothing. It returns an error if the server does not accept the connection in time, and a
// fault if another process does.
func (t *target) probe() (err, fault error) {
	c, err := t.dial()
	if err != nil {
		return err, nil
	}
	defer t.hangUp(c)
	if t.Type == unix.SOCK_DGRAM {
		return nil, nil
	}
	deadline := time.Now().Add(t.Timeout)
	for ; !t.blind && t.server.Ended() == nil; time.Sleep(2 * time.Millisecond) {
		accepted, known := Accepted(t.address)
		late := time.Now().After(deadline)
		switch {
		case accepted && !t.accepts && !t.server.serves(t.address):
			t.await(t.Timeout, t.Timeout, t.server.Idle) // it may be ending
			if t.server.Ended() != nil {
				return nil, nil
			}
			return nil, fmt.Errorf("what accepts connections at %s is not process %d or a child of it", t.address, t.server.pid)
		case accepted:
			t.accepts = true
			t.rest()
			return nil, nil
		case !known, late && !t.accepts:
			t.blind = true
		case late:
			return unix.ETIMEDOUT, nil
		}
	}
	return nil, nil
}
