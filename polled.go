package scm

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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
	if err := startPoller(fd); err != nil {
		_ = p.bound.remove()
		sysClose(fd)
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

// poller is whether the runtime has its poller.
var poller struct {
	sync.Mutex
	started atomic.Bool
}

// startPoller makes the runtime open its poller before that is given the file fd. Where
// the runtime finds no free number for it, it ends the process. So startPoller opens as
// many first, and returns the error of that: EMFILE, ENFILE. If another goroutine takes
// the last numbers just after they are closed, the process ends all the same.
func startPoller(fd int) error {
	if poller.started.Load() {
		return nil
	}
	poller.Lock()
	defer poller.Unlock()
	if poller.started.Load() {
		return nil
	}
	var spare [3]int // a kqueue and a pipe; on Linux it is one less
	for i := range spare {
		own, err := sysStandIn(fd)
		if err != nil {
			closeAll(spare[:i])
			return err
		}
		spare[i] = own
	}
	closeAll(spare[:])
	// A timer that calls a function starts it, and no error is lost on the way.
	time.AfterFunc(time.Hour, func() {}).Stop()
	poller.started.Store(true)
	return nil
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
				fd, err = sysAccept(int(sock))
			}
			if !sysInterrupted(err) && !sysAborted(err) {
				return !sysAgain(err)
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
	if err := sysReadable(sock); err != nil {
		return err
	}
	nonblock, err := sysNonblock(sock)
	if err == nil && !nonblock {
		err = sysSetNonblock(sock, true)
	}
	return err
}

// usable tells what is wrong before anything is done.
func (p *polled) usable() error {
	switch {
	case p.raw == nil:
		return os.ErrInvalid
	case p.closed.Load():
		return closedError{}
	}
	return nil
}

// close ends what waits. The file goes first: its socket must be open yet.
func (p *polled) close() error {
	if err := p.usable(); err != nil {
		return err
	}
	if p.closed.Swap(true) {
		return closedError{}
	}
	return errors.Join(p.bound.remove(), p.file.Close())
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

// control calls f with the number behind raw, which stays open meanwhile.
func control(raw syscall.RawConn, f func(fd int) error) (err error) {
	if closed := raw.Control(func(fd uintptr) { err = f(int(number(int(fd)))) }); closed != nil {
		return closedError{}
	}
	return err
}

// rawConn is c.SyscallConn, which a nil interface does not have.
func rawConn(c syscall.Conn) (syscall.RawConn, error) {
	if c == nil {
		return nil, os.ErrInvalid
	}
	return c.SyscallConn()
}
