package scm

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// polled is a socket in the runtime's poller: what a Conn and a Listener have in
// common.
type polled struct {
	file   *os.File
	raw    syscall.RawConn
	bound  *boundFile // removed by close
	closed atomic.Bool
}

// open puts a socket that does not block into the poller. The number is then the
// file's, or closed.
func (p *polled) open(fd int, name string) (err error) {
	if err := sys.StartPoller(); err != nil {
		_ = p.bound.remove()
		sys.Close(fd)
		return err
	}
	p.file = os.NewFile(uintptr(fd), name)
	// A file that the poller did not take has no deadlines.
	if err = p.file.SetDeadline(time.Time{}); err == nil {
		p.raw, err = p.file.SyscallConn()
	}
	if err != nil {
		_ = p.bound.remove()
		_ = p.file.Close()
	}
	return err
}

// accept waits for the next connection. Whoever else has the socket can clear its
// O_NONBLOCK, and take the connection first: accept4(2) would then wait for another
// one, and neither a deadline nor Close would end that. So it is called only if poll(2)
// says that there is one, and O_NONBLOCK is set again just before. Somebody can still
// clear it between the two calls.
func (p *polled) accept() (fd int, err error) {
	if err := p.usable(); err != nil {
		return -1, err
	}
	waiting := p.raw.Read(func(sock uintptr) bool {
		for {
			fd = -1
			if err = readyToAccept(int(sock)); err == nil {
				fd, err = sys.Accept(int(sock))
				// poll(2) then says always that there is a connection.
				if sys.Again(err) && sys.ReadShut(int32(sock)) {
					err = os.NewSyscallError("accept", syscall.EINVAL)
				}
			}
			if !sys.Interrupted(err) && !sys.Aborted(err) {
				return !sys.Again(err)
			}
		}
	})
	if waiting != nil {
		return -1, p.pollError(waiting)
	}
	return fd, err
}

// readyToAccept is EAGAIN where there is no connection. O_NONBLOCK is then set.
func readyToAccept(sock int) error {
	if err := sys.Readable(sock); err != nil {
		return err
	}
	nonblock, err := sys.Nonblock(sock)
	if err == nil && !nonblock {
		err = sys.SetNonblock(sock, true)
	}
	return err
}

// usable returns what is wrong before anything is done.
func (p *polled) usable() error {
	switch {
	case p.raw == nil:
		return os.ErrInvalid
	case p.closed.Load():
		return closedError{}
	}
	return nil
}

// removePatience is how long Close lets other calls wait for the removal of the socket
// file, so that it is gone when they end.
const removePatience = 100 * time.Millisecond

// close removes the socket file, and ends calls that wait. The reference that Control has
// keeps the socket open until the file is gone: the file is only then known to be its own.
func (p *polled) close() error {
	if err := p.usable(); err != nil {
		return err
	}
	if p.closed.Swap(true) {
		return closedError{}
	}
	if p.bound == nil {
		return p.file.Close()
	}
	closed, early := make(chan error, 1), false
	err := control(p.raw, func(int) error {
		// The folder's file system may not answer.
		timer := time.AfterFunc(removePatience, func() { closed <- p.file.Close() })
		defer func() { early = !timer.Stop() }()
		return p.bound.remove()
	})
	if early {
		return errors.Join(err, <-closed)
	}
	return errors.Join(err, p.file.Close())
}

// setDeadline calls one of the file's methods.
func (p *polled) setDeadline(set func(*os.File, time.Time) error, t time.Time) error {
	if err := p.usable(); err != nil {
		return err
	}
	return p.pollError(set(p.file, t))
}

// pollError is an error of the poller, which has words of its own for a file that
// is closed.
func (p *polled) pollError(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || !p.closed.Load() {
		return err
	}
	return closedError{}
}

// closedError is that of a closed file or connection, for both packages.
type closedError struct{}

func (closedError) Error() string        { return "use of closed file or connection" }
func (closedError) Is(target error) bool { return target == os.ErrClosed || target == net.ErrClosed }

// control calls f once with the number behind raw, which stays open meanwhile, and returns
// f's error. If a caller's own connection gives no number, the error is os.ErrInvalid.
func control(raw syscall.RawConn, f func(fd int) error) (err error) {
	called := false
	closed := raw.Control(func(fd uintptr) {
		if !called {
			called = true
			err = f(int(number(int(fd))))
		}
	})
	switch {
	case called:
		return err
	case closed != nil:
		return closedError{}
	}
	return os.ErrInvalid
}

// rawConn is c.SyscallConn, which a nil interface does not have, and which need not give
// anything.
func rawConn(c syscall.Conn) (syscall.RawConn, error) {
	if c == nil {
		return nil, os.ErrInvalid
	}
	raw, err := c.SyscallConn()
	if raw == nil && err == nil {
		err = os.ErrInvalid
	}
	return raw, err
}
