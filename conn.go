package scm

import (
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// Conn is a [net.UnixConn] of any type (stream, datagram, seqpacket) that carries files. Read, Write,
// deadlines, addresses and SyscallConn are package net's, and so are the turns: calls that send wait
// for one another, so that payloads do not mix, and so do calls that receive.
//
// A send is sendmsg(2) with MSG_NOSIGNAL and MSG_DONTWAIT, a receive recvmsg(2) with MSG_CMSG_CLOEXEC
// and MSG_DONTWAIT. The call retries EINTR, and waits in the runtime's poller after EAGAIN, until the
// deadline or Close. It does not notice the other end's CloseRead while it waits to send. Where a
// datagram's receiver is full it tries again every 1 to 50 ms.
//
// Read passes no control buffer: the kernel drops descriptors that it meets, without installing them.
// An [io.Reader] over a Conn therefore loses files. Errors are [net.OpError], but for [io.EOF],
// [TruncatedError] and [ExpectError]. They wrap the errno, [os.ErrDeadlineExceeded] or [net.ErrClosed].
type Conn struct {
	*net.UnixConn
	raw     syscall.RawConn
	network string
	config  Config
	file    *socketFile // that ListenPacket made

	receiving, sending keptCall
}

// NewConn makes a Conn of c, which stays the same connection: nothing is duplicated, and Close and
// the deadlines of either are those of both. The error is [os.ErrInvalid] for nil, or wraps
// [net.ErrClosed] or an errno.
func NewConn(c *net.UnixConn) (*Conn, error) { return Config{}.NewConn(c) }

// NewConnFD makes a Conn of the Unix socket fd, and takes it over: on success fd is closed, and the
// Conn has another descriptor. As package net does, it sets O_NONBLOCK, for everybody who has the open
// file description. On error fd stays open and the caller's: ErrNotUnix, EBADF, … As with package
// net, the process ends where the runtime's poller, at its first use, finds no free number.
func NewConnFD(fd int) (*Conn, error) { return Config{}.NewConnFD(fd) }

// NewConnFile makes a Conn of the Unix socket f, as [net.FileConn]: f stays open and the caller's, and
// the Conn has a duplicate. Both are non-blocking then, as everybody's who has the open file
// description. Errors are ErrNotUnix, [os.ErrInvalid] for nil, [os.ErrClosed], or wrap an errno.
func NewConnFile(f *os.File) (*Conn, error) { return Config{}.NewConnFile(f) }

// NewConn is [NewConn] with config.
func (config Config) NewConn(c *net.UnixConn) (*Conn, error) {
	conn, err := config.newConn(c)
	if err != nil {
		return nil, opError("conn", err)
	}
	return conn, nil
}

func (config Config) newConn(c *net.UnixConn) (*Conn, error) {
	if c == nil {
		return nil, os.ErrInvalid
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	conn := &Conn{UnixConn: c, raw: raw, config: config}
	err = control(raw, func(fd int) (err error) {
		conn.network, err = sys.Network(fd)
		if err == nil && config.NoFiles {
			err = PassRights(fd, false)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	sys.PollerRuns()
	return conn, nil
}

// NewConnFD is [NewConnFD] with config.
func (config Config) NewConnFD(fd int) (*Conn, error) {
	conn, err := config.fromNumber(int(number(fd)))
	if err != nil {
		return nil, opError("conn", err)
	}
	sys.Close(fd)
	return conn, nil
}

// NewConnFile is [NewConnFile] with config.
func (config Config) NewConnFile(f *os.File) (conn *Conn, err error) {
	raw, err := f.SyscallConn()
	if err == nil {
		err = control(raw, func(fd int) error {
			conn, err = config.fromNumber(fd)
			return err
		})
	}
	if err != nil {
		return nil, opError("conn", err)
	}
	return conn, nil
}

// fromNumber makes a Conn of a duplicate of fd.
func (config Config) fromNumber(fd int) (*Conn, error) {
	if _, err := sys.Network(fd); err != nil {
		return nil, err
	}
	own, err := sys.Dup(fd)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return config.take(own)
}

// take makes a Conn of a Unix socket, and closes the number.
func (config Config) take(fd int) (*Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer func() { _ = f.Close() }()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	conn, err := config.newConn(c.(*net.UnixConn))
	if err != nil {
		_ = c.Close()
	}
	return conn, err
}

// Pair makes two Conns that are connected to each other, by socketpair(2). network is "unix", "unixgram"
// or "unixpacket". A child process that gets the File of one finds it non-blocking: see [SetNonblock].
func Pair(network string) (a, b *Conn, err error) { return Config{}.Pair(network) }

// Pair is [Pair] with config.
func (config Config) Pair(network string) (a, b *Conn, err error) {
	// Blocking, or package os would have them in the poller before package net.
	x, y, err := sys.Pair(network)
	if err != nil {
		return nil, nil, opError("pair", err)
	}
	if a, err = config.take(x); err != nil {
		sys.Close(y)
		return nil, nil, opError("pair", err)
	}
	if b, err = config.take(y); err != nil {
		_ = a.Close()
		return nil, nil, opError("pair", err)
	}
	return a, b, nil
}

// Send sends m with one sendmsg(2), as [Send] does, and waits until it can. The descriptors stay
// open and the caller's, and must not be closed during the call. On a stream m.N can be less than
// all: the descriptors have then gone with the first byte, and must not be sent again.
//
// With MSG_DONTWAIT the error is EAGAIN where the call would wait for the socket. Other errors are
// those of [Send], ErrEmptyPayload, and those of [Conn].
func (c *Conn) Send(m *Message, flags int) error {
	m.N = 0
	err := c.usable()
	if err == nil && c.isStream() && len(m.FDs) > 0 && isEmpty(m.Buffers) {
		err = ErrEmptyPayload
	}
	if err == nil {
		err = checkLimits(m)
	}
	if err == nil {
		k := newCall(c, true)
		k.setMessage(m, flags, sys.SendFlags, (*call).sendMessage)
		if k.now {
			err = k.do()
		} else if err = c.raw.Write(k.try); err != nil || k.err != nil {
			err = k.doAgain(err)
		}
		if err == nil && k.once == nil {
			m.N = k.msg.N
		}
		k.put()
	}
	if err != nil {
		return c.fail("write", err)
	}
	return nil
}

// Recv receives one message, or bytes of a stream, into m with one recvmsg(2), as [Recv] does, and
// waits until something is there. On a stream m.Buffers must have room for a byte (ErrEmptyPayload).
// With MSG_DONTWAIT the error is EAGAIN where the call would wait. Other errors are those of [Recv],
// and those of [Conn]. At the end of a stream m.Cred reports that no credentials were received.
func (c *Conn) Recv(m *Message, flags int) error {
	m.nothing()
	err := c.usable()
	if err == nil && c.isStream() && isEmpty(m.Buffers) {
		err = errNoBuffer
	}
	if err == nil {
		err = checkLimits(m)
	}
	if err == nil {
		k := newCall(c, false)
		k.setMessage(m, flags, sys.RecvFlags, (*call).receiveMessage)
		if k.now {
			err = k.do()
		} else if err = c.raw.Read(k.try); err != nil || k.err != nil {
			err = k.doAgain(err)
		}
		if err == nil && k.once == nil {
			m.N, m.NFD, m.Flags = k.msg.N, k.msg.NFD, k.msg.Flags
		}
		k.put()
	}
	if err != nil {
		return c.fail("read", err)
	}
	if m.Cred != nil && m.N == 0 && c.isStream() {
		*m.Cred = Cred{0, -1, -1} // Linux says root, but nobody sent the end
	}
	return nil
}

func isEmpty(buffers [][]byte) bool {
	for _, p := range buffers {
		if len(p) > 0 {
			return false
		}
	}
	return true
}

// RecvExpect is [Conn.Recv], checked as by [Expect.Recv]: it rejects a message that lacks
// descriptors or bytes, unless e.Truncated is set. The end is [io.EOF].
func (c *Conn) RecvExpect(e Expect, m *Message, flags int) error {
	if err := e.checkRoom(m); err != nil {
		return c.fail("read", err)
	}
	if err := c.Recv(m, flags); err != nil {
		return err
	}
	if m.isEmpty() && m.isEnd(c.network) {
		return io.EOF
	}
	return e.verify(m)
}

// PeerCred is [PeerCred] of the Conn's socket. For a Listener it can be asked in
// [Config].Check, before anybody uses the connection.
func (c *Conn) PeerCred() (cred Cred, err error) {
	cred = Cred{0, -1, -1}
	err = c.withNumber("get", func(fd int) error {
		cred, err = PeerCred(fd)
		return err
	})
	return cred, err
}

// PeerPIDFD is [PeerPIDFD] of the Conn's socket.
func (c *Conn) PeerPIDFD() (pidfd int, err error) {
	pidfd = -1
	err = c.withNumber("get", func(fd int) error {
		pidfd, err = PeerPIDFD(fd)
		return err
	})
	return pidfd, err
}

// PassCred is [PassCred] of the Conn's socket.
func (c *Conn) PassCred(on bool) error {
	return c.withNumber("set", func(fd int) error { return PassCred(fd, on) })
}

// PassPIDFD is [PassPIDFD] of the Conn's socket.
func (c *Conn) PassPIDFD(on bool) error {
	return c.withNumber("set", func(fd int) error { return PassPIDFD(fd, on) })
}

// PassRights is [PassRights] of the Conn's socket. [Config].NoFiles turns it off from the
// start.
func (c *Conn) PassRights(on bool) error {
	return c.withNumber("set", func(fd int) error { return PassRights(fd, on) })
}

// withNumber calls f with the socket's number, which stays open meanwhile.
func (c *Conn) withNumber(op string, f func(fd int) error) error {
	err := c.usable()
	if err == nil {
		err = control(c.raw, f)
	}
	return c.fail(op, err)
}

// Close closes the connection as package net does, and first removes the socket file if
// [ListenPacket] made it: see [Listener.Close].
func (c *Conn) Close() error {
	if err := c.usable(); err != nil {
		return c.fail("close", err)
	}
	removed := c.file.remove()
	if err := c.UnixConn.Close(); err != nil {
		return err
	}
	return c.fail("close", removed)
}

// SetUnlinkOnClose sets whether Close removes the socket file that [ListenPacket] made, as it
// does unless SendConn sent the socket.
func (c *Conn) SetUnlinkOnClose(unlink bool) {
	if c != nil {
		c.file.keep(!unlink)
	}
}

func (c *Conn) isStream() bool   { return c.network == "unix" }
func (c *Conn) isDatagram() bool { return c.network == "unixgram" }

// usable returns what is wrong with a Conn that no function of this package made.
func (c *Conn) usable() error {
	if c == nil || c.raw == nil {
		return os.ErrInvalid
	}
	return nil
}

// fail is err as a method of net.Conn returns it.
func (c *Conn) fail(op string, err error) error {
	switch err.(type) {
	case nil, *TruncatedError, *ExpectError:
		return err
	}
	switch {
	case err == io.EOF:
		return err
	case c.usable() != nil:
		return opError(op, err)
	}
	return &net.OpError{Op: op, Net: c.network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: cause(err)}
}

// opError is an error of a call that has no Conn yet.
func opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "unix", Err: cause(err)}
}

// cause is what package net wraps, which the caller wraps again with its own words.
func cause(err error) error {
	if op, ok := err.(*net.OpError); ok {
		return op.Err
	}
	return err
}

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
	case errors.Is(closed, net.ErrClosed):
		return net.ErrClosed
	case closed != nil: // package os's own has no name
		return os.ErrClosed
	}
	return os.ErrInvalid
}

// rawConn is c.SyscallConn. It returns os.ErrInvalid if c is nil, or if c returns neither a RawConn nor an error.
func rawConn(c syscall.Conn) (syscall.RawConn, error) {
	if isNil(c) {
		return nil, os.ErrInvalid
	}
	raw, err := c.SyscallConn()
	if raw == nil && err == nil {
		err = os.ErrInvalid
	}
	return raw, err
}

// isNil reports whether c is nil, a nil pointer of any type, or a Conn or Listener without a socket. The
// methods of package net's connections panic if the pointer is nil.
func isNil(c syscall.Conn) bool {
	switch c := c.(type) {
	case *Conn:
		return c == nil || c.UnixConn == nil
	case *Listener:
		return c == nil || c.UnixListener == nil
	}
	v := reflect.ValueOf(c)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
