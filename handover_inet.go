package scm

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// internetSocket is a received socket of AF_INET or AF_INET6. Package net cannot have
// it: net.FileConn asks for its names in a system call of which the scheduler does not
// know. A sender that holds the socket locked would stop every goroutine.
type internetSocket struct {
	polled
	network       string // package net's
	local, remote internetName
}

// internetName is an address that the first call of name asks the system for.
type internetName struct {
	once sync.Once
	addr net.Addr
}

// open puts a socket into the poller. The number is then the socket's, or closed.
func (s *internetSocket) open(fd int) (err error) {
	if s.network, err = sys.Internet(fd); err != nil {
		sys.Close(fd)
		return err
	}
	return s.polled.open(fd, s.network)
}

// name returns the zero address if the system returns an error.
func (s *internetSocket) name(n *internetName, peer bool) net.Addr {
	n.once.Do(func() {
		var name netip.AddrPort
		_ = control(s.raw, func(fd int) (err error) {
			name, err = sys.InternetName(fd, peer)
			return err
		})
		switch s.network {
		case "tcp":
			n.addr = net.TCPAddrFromAddrPort(name)
		case "udp":
			n.addr = net.UDPAddrFromAddrPort(name)
		default:
			n.addr = &net.IPAddr{IP: name.Addr().AsSlice(), Zone: name.Addr().Zone()}
		}
	})
	return n.addr
}

func (s *internetSocket) fail(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: s.network, Err: s.pollError(err)}
}

func (s *internetSocket) Close() error { return s.fail("close", s.close()) }

func (s *internetSocket) SetDeadline(t time.Time) error {
	return s.fail("set", s.setDeadline((*os.File).SetDeadline, t))
}

// SyscallConn gives access to the socket's descriptor, as [Conn.SyscallConn] does.
func (s *internetSocket) SyscallConn() (syscall.RawConn, error) {
	return s.raw, s.fail("raw-control", s.usable())
}

// internetConn is what RecvConn returns for such a socket.
type internetConn struct{ internetSocket }

func receivedConn(fd int) (net.Conn, error) {
	c := new(internetConn)
	if err := c.open(fd); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *internetConn) LocalAddr() net.Addr  { return c.name(&c.local, false) }
func (c *internetConn) RemoteAddr() net.Addr { return c.name(&c.remote, true) }

// Read does not rely on O_NONBLOCK, which the sender can clear.
func (c *internetConn) Read(p []byte) (n int, err error) {
	if err = c.usable(); err != nil || len(p) == 0 {
		return 0, c.fail("read", err)
	}
	waiting := c.raw.Read(func(fd uintptr) bool {
		for {
			if n, err = sys.Receive(int(fd), p); !sys.Interrupted(err) {
				return !sys.Again(err)
			}
		}
	})
	switch {
	case waiting != nil:
		n, err = 0, waiting
	case err != nil:
		n = 0
	case n == 0 && c.network == "tcp":
		err = io.EOF
	}
	return n, c.fail("read", err)
}

func (c *internetConn) Write(p []byte) (n int, err error) {
	if err = c.usable(); err != nil || len(p) == 0 && c.network == "tcp" {
		return 0, c.fail("write", err)
	}
	waiting := c.raw.Write(func(fd uintptr) bool {
		for {
			m := 0
			m, err = sys.Send(int(fd), p[n:])
			switch {
			case sys.Interrupted(err):
				continue
			case err != nil:
				return !sys.Again(err)
			}
			n += m
			if n == len(p) || m == 0 || c.network != "tcp" {
				return true
			}
		}
	})
	switch {
	case waiting != nil:
		err = waiting
	case err == nil && n < len(p):
		err = io.ErrShortWrite
	}
	return n, c.fail("write", err)
}

func (c *internetConn) SetReadDeadline(t time.Time) error {
	return c.fail("set", c.setDeadline((*os.File).SetReadDeadline, t))
}

func (c *internetConn) SetWriteDeadline(t time.Time) error {
	return c.fail("set", c.setDeadline((*os.File).SetWriteDeadline, t))
}

func (c *internetConn) CloseRead() error  { return c.shutdown(sys.ShutRead) }
func (c *internetConn) CloseWrite() error { return c.shutdown(sys.ShutWrite) }

func (c *internetConn) shutdown(how int) error {
	err := c.usable()
	if err == nil {
		err = control(c.raw, func(fd int) error { return sys.Shutdown(fd, how) })
	}
	return c.fail("close", err)
}

// internetListener is what RecvListener returns for such a socket.
type internetListener struct {
	internetSocket
	turn     sync.Mutex
	accepted *os.File // a connection for which Accept had no second number
}

func receivedListener(fd int) (net.Listener, error) {
	l := new(internetListener)
	if err := l.open(fd); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *internetListener) Addr() net.Addr { return l.name(&l.local, false) }

// Accept returns what package net makes of the new socket, which nobody else has. Of a
// connection that its client has reset the kernel no longer knows the client, and package
// net would return one whose RemoteAddr is nil: Accept closes it and goes on.
func (l *internetListener) Accept() (net.Conn, error) {
	l.turn.Lock()
	defer l.turn.Unlock()
	for {
		c, err := l.acceptOne()
		if err != nil {
			return nil, l.fail("accept", err)
		}
		if c.RemoteAddr() != nil {
			return c, nil
		}
		_ = c.Close()
	}
}

func (l *internetListener) acceptOne() (net.Conn, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	if l.accepted == nil {
		fd, err := l.accept()
		if err != nil {
			return nil, err
		}
		l.accepted = os.NewFile(uintptr(fd), "accepted")
	}
	c, err := net.FileConn(l.accepted) // a duplicate
	if !sys.TableFull(err) {
		l.closeAccepted()
	}
	return c, err
}

// Close ends the Accept that has the turn first.
func (l *internetListener) Close() error {
	err := l.internetSocket.Close()
	l.turn.Lock()
	defer l.turn.Unlock()
	l.closeAccepted()
	return err
}

func (l *internetListener) closeAccepted() {
	if l.accepted != nil {
		_ = l.accepted.Close()
		l.accepted = nil
	}
}
