package scm

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// Conn is a [net.UnixConn] of any type (stream, datagram or seqpacket) that also sends and receives files.
// Read, Write, deadlines, addresses and SyscallConn work as in package net. Sends are serialized with each
// other, so that payloads do not mix. Receives are serialized too.
//
// [Dial], [Listener.AcceptConn], [ListenPacket], [Pair], [NewConn], [NewConnFD] and [NewConnFile] return
// Conns. A Conn created as a struct literal is not usable: the methods that this package defines return an
// error that wraps [os.ErrInvalid].
//
// To send, the Conn calls sendmsg(2) with MSG_NOSIGNAL and MSG_DONTWAIT. To receive, it calls recvmsg(2)
// with MSG_CMSG_CLOEXEC and MSG_DONTWAIT. It retries a call that fails with EINTR. After EAGAIN, it waits
// in the runtime's poller until the socket is ready, the deadline passes or the Conn is closed. A send that
// is waiting does not notice when the other end calls CloseRead. If a datagram receiver's queue is full,
// the Conn retries the send every 1 to 50 ms.
//
// Read passes no control buffer. The kernel therefore drops descriptors that were sent with the bytes,
// without installing them. Code that treats a Conn as an [io.Reader] loses files.
//
// The methods return errors of type [*net.OpError], except [io.EOF], [*TruncatedError] and [*ExpectError].
// An OpError wraps the errno, [os.ErrDeadlineExceeded] or [net.ErrClosed].
type Conn struct {
	*net.UnixConn
	raw     syscall.RawConn
	network string
	config  Config
	file    *socketFile   // created by ListenPacket, and shared with Conns that NewConn returned for this one
	refuses atomic.Bool   // reject descriptors, because of Config.NoFiles
	local   *net.UnixAddr // the address given to Listen or ListenPacket, or else the socket's

	receiving, sending keptCall
}

// NewConn borrows c's socket: the Conn and c are the same connection. Nothing is duplicated. Closing one
// also closes the other, and a deadline set on one applies to both. On error c is unchanged and still
// belongs to the caller.
//
// c must be a [*net.UnixConn], a *Conn, or a connection that leads to one of these through one or more
// NetConn() net.Conn methods. The Conn does not see bytes that such a wrapper has already read from the
// socket into a buffer, and does not wait for bytes that the wrapper has yet to write. A struct that embeds a
// *net.UnixConn has no NetConn method: pass the embedded connection, or give the struct the method.
//
// If c is or leads to a *Conn, the result has a Config of its own and shares everything else, including the
// socket file that [ListenPacket] created. Closing either one removes the file, unless
// SetUnlinkOnClose(false) was called on one of them.
//
// For any other connection, the error wraps [ErrNotUnix]. That includes a connection that NewConn would
// have to unwrap and that has a HandshakeContext(context.Context) error method, such as a
// [*crypto/tls.Conn], a struct that embeds one, or a wrapper that leads to one. Unwrapping it would bypass
// its encryption. Other errors wrap [os.ErrInvalid] if c is nil, [net.ErrClosed], or an errno.
func NewConn(c net.Conn) (*Conn, error) { return Config{}.NewConn(c) }

// NewConnFD consumes the Unix socket fd: on success it closes fd, and the Conn owns a duplicate. On error
// fd stays open and still belongs to the caller.
//
// Like package net, NewConnFD sets O_NONBLOCK on the open file description, and therefore for every process
// that shares it. On error, it leaves the flag as it was. The error wraps [ErrNotUnix] or an errno such as
// EBADF. As with package net, the runtime aborts the process if it cannot allocate a descriptor for its
// poller when it first needs one.
func NewConnFD(fd int) (*Conn, error) { return Config{}.NewConnFD(fd) }

// NewConnFile duplicates the Unix socket f, as [net.FileConn] does. f stays open and still belongs to the
// caller, and the Conn owns the duplicate.
//
// NewConnFile sets O_NONBLOCK on the open file description, and therefore for f and for every process that
// shares it. On error, it leaves the flag as it was. The error wraps [ErrNotUnix], [os.ErrInvalid] if f is
// nil, [os.ErrClosed], or an errno.
func NewConnFile(f *os.File) (*Conn, error) { return Config{}.NewConnFile(f) }

// NewConn is [NewConn] with config. If c is a *Conn, c keeps its own Config. Socket options that were set
// earlier, such as the one that NoFiles sets, stay set.
func (config Config) NewConn(c net.Conn) (*Conn, error) {
	inner, err := unwrap(c)
	var conn *Conn
	if err == nil {
		conn, err = config.newConn(inner.UnixConn)
	}
	if err != nil {
		return nil, opError("conn", err)
	}
	conn.file, conn.local = inner.file, cmp.Or(inner.local, conn.local)
	return conn, nil
}

// maxUnwraps ends a cycle of NetConn methods.
const maxUnwraps = 64

// unwrap returns the Conn that c is or leads to. If c leads to a *net.UnixConn instead, only the UnixConn of
// the result is set.
func unwrap(c net.Conn) (*Conn, error) {
	if err := checkPresent(c); err != nil {
		return nil, err
	}
	for range maxUnwraps {
		switch c := c.(type) {
		case *net.UnixConn:
			return &Conn{UnixConn: c}, nil
		case *Conn:
			return c, nil
		}
		inner, err := unwrapOnce(c)
		if err != nil {
			return nil, err
		}
		c = inner
	}
	return nil, fmt.Errorf("%w: unwrapped %d times and still found a %T: its NetConn methods may form a cycle", ErrNotUnix, maxUnwraps, c)
}

func unwrapOnce(c net.Conn) (net.Conn, error) {
	// Importing crypto/tls would add megabytes to programs that do not use it.
	if _, ok := c.(interface{ HandshakeContext(context.Context) error }); ok {
		return nil, fmt.Errorf("%w: %T has a HandshakeContext method, and unwrapping it would bypass the encryption", ErrNotUnix, c)
	}
	wrapper, ok := c.(interface{ NetConn() net.Conn })
	if !ok {
		return nil, fmt.Errorf("%w: %T has no NetConn method", ErrNotUnix, c)
	}
	inner := wrapper.NetConn()
	if checkPresent(inner) != nil {
		return nil, fmt.Errorf("%w: NetConn of %T returned nil", ErrNotUnix, c)
	}
	// A struct that embeds a Conn has this method too. Unlike inner, the Conn knows its socket file.
	if e, ok := c.(interface{ embedded() *Conn }); ok && e.embedded() != nil && inner == net.Conn(e.embedded().UnixConn) {
		return e.embedded(), nil
	}
	return inner, nil
}

func (c *Conn) embedded() *Conn { return c }

// newConn borrows c.
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
	conn := &Conn{UnixConn: c, raw: raw, config: config, local: wholeAddr(c, c.LocalAddr())}
	conn.refuses.Store(config.NoFiles)
	if err := adopt(raw, &conn.network, config.NoFiles); err != nil {
		return nil, err
	}
	sys.PollerRuns()
	return conn, nil
}

// adopt finds the network of a socket that package net created, and turns PassRights off if noFiles is set.
func adopt(raw syscall.RawConn, network *string, noFiles bool) error {
	return sys.Control(raw, func(fd int) (err error) {
		*network, err = sys.Network(fd)
		if err == nil && noFiles {
			err = PassRights(fd, false)
		}
		return err
	})
}

// NewConnFD is [NewConnFD] with config.
func (config Config) NewConnFD(fd int) (*Conn, error) {
	conn, err := config.duplicate(int(toInt32(fd)))
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
		err = sys.Control(raw, func(fd int) error {
			conn, err = config.duplicate(fd)
			return err
		})
	}
	if err != nil {
		return nil, opError("conn", err)
	}
	return conn, nil
}

// duplicate creates a Conn from a duplicate of fd.
func (config Config) duplicate(fd int) (*Conn, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if _, err := sys.Network(fd); err != nil {
		return nil, err
	}
	nonblock, err := sys.Nonblock(fd)
	if err != nil {
		return nil, err
	}
	own, err := sys.Dup(fd)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	conn, err := config.consume(own)
	if err != nil && !nonblock {
		_ = sys.SetNonblock(fd, false) // net.FileConn has set it
	}
	return conn, err
}

// consume creates a Conn from the Unix socket fd. It closes fd on success and on error.
func (config Config) consume(fd int) (*Conn, error) {
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

// Pair creates two connected Conns with a single socketpair(2) call. network is "unix" (a stream),
// "unixgram" or "unixpacket". The caller must close both Conns. The sockets are non-blocking.
//
// To pass one end to a child process, call the Conn's File method and pass the file in ExtraFiles. Packages
// os and os/exec then call [os.File.Fd], which clears O_NONBLOCK for the child and for this process. In this
// process, deadlines and Close then no longer interrupt Read and Write or, if the file is that of a
// [Listener], AcceptConn. The methods that send and receive messages do not depend on the flag.
//
// After the child has started, close both the file and the Conn of its end. While either of them is open, the
// other end does not return [io.EOF] when the child ends. If this process still needs the Conn, set the flag
// again with [SetNonblock].
//
// The error wraps [net.UnknownNetworkError] or the errno, such as EMFILE.
func Pair(network string) (a, b *Conn, err error) { return Config{}.Pair(network) }

// Pair is [Pair] with config.
func (config Config) Pair(network string) (a, b *Conn, err error) {
	// The sockets are blocking at first. Otherwise os.NewFile would register them with the poller before package net
	// does.
	x, y, err := sys.Pair(network)
	if err != nil {
		return nil, nil, opError("pair", err)
	}
	if a, err = config.consume(x); err != nil {
		sys.Close(y)
		return nil, nil, opError("pair", err)
	}
	if b, err = config.consume(y); err != nil {
		_ = a.Close()
		return nil, nil, opError("pair", err)
	}
	return a, b, nil
}

// Send sends m with a single sendmsg(2) call, as the function [Send] does, and waits until the socket
// accepts it. The descriptors stay open and still belong to the caller, who must not close them during the
// call. On a stream m.N can be less than the length of the payload. In that case, the descriptors were sent
// with the first byte: send the rest without them.
//
// With MSG_DONTWAIT, the error wraps EAGAIN if Send would have to wait for the socket. On a stream, Send
// still waits for other sends on the Conn, so as not to break up their payloads. Other errors are
// ErrEmptyPayload and those documented for the function Send and for [Conn].
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
		k.user, k.flags, k.now = m, flags|sys.SendFlags, flags&sys.DontWait != 0
		err = k.wait((*call).sendUser)
		k.put()
	}
	if err != nil {
		return c.fail("write", err)
	}
	return nil
}

// Recv receives one message, or bytes of a stream, into m with a single recvmsg(2) call, as the function
// [Recv] does. It waits until a message or bytes arrive. The caller must close the descriptors
// m.FDs[:m.NFD] and *m.PIDFD. On a stream m.Buffers must not be empty (ErrEmptyPayload). At the end of a
// connection m.N and m.NFD are 0 and the error is nil. At the end of a stream m.Cred reports that no
// credentials were received.
//
// If the message does not match [Config].Expect, the error is an [*ExpectError], and Recv has closed all of
// its descriptors, including *m.PIDFD. m.NFD is then 0, and -1 replaces the descriptors in m.FDs. The
// payload is in m.Buffers and its length in m.N, so that the conversation can continue. With MSG_PEEK the
// message stays in the queue, but each peek installs new descriptors, and Recv closes or returns them too.
// On a datagram or seqpacket socket, if Expect.Min is more than len(m.FDs), the error wraps EINVAL and
// nothing is received.
//
// With MSG_DONTWAIT, the error wraps EAGAIN if Recv would have to wait. Other errors are those documented
// for the function Recv and for [Conn].
func (c *Conn) Recv(m *Message, flags int) error {
	m.reset()
	err := c.usable()
	if err == nil && c.isStream() && isEmpty(m.Buffers) {
		err = errNoBuffer
	}
	if err == nil {
		err = checkLimits(m)
	}
	if err == nil && c.config.Expect != nil && !c.isStream() {
		err = c.config.checkCapacity(len(m.FDs))
	}
	if err == nil {
		k := newCall(c, false)
		k.user, k.flags, k.now = m, flags|sys.RecvFlags, flags&sys.DontWait != 0
		err = k.wait((*call).recvUser)
		k.put()
	}
	if err != nil {
		return c.fail("read", err)
	}
	if m.Cred != nil && m.N == 0 && c.isStream() {
		*m.Cred = Cred{0, -1, -1} // Linux reports root, although no process sent the end
	}
	if e := c.expected(m.NFD); e != nil {
		return c.enforce(*e, m)
	}
	return nil
}

// PeerCred calls the function [PeerCred] on the Conn's socket. A server can call it in [Config].Check,
// before it uses the connection.
func (c *Conn) PeerCred() (cred Cred, err error) {
	cred = Cred{0, -1, -1}
	err = c.withFD("get", func(fd int) error {
		cred, err = PeerCred(fd)
		return err
	})
	return cred, err
}

// PeerPIDFD calls the function [PeerPIDFD] on the Conn's socket. The caller must close the pidfd.
func (c *Conn) PeerPIDFD() (pidfd int, err error) {
	pidfd = -1
	err = c.withFD("get", func(fd int) error {
		pidfd, err = PeerPIDFD(fd)
		return err
	})
	return pidfd, err
}

// PassCred calls the function [PassCred] on the Conn's socket.
func (c *Conn) PassCred(on bool) error {
	return c.withFD("set", func(fd int) error { return PassCred(fd, on) })
}

// PassPIDFD calls the function [PassPIDFD] on the Conn's socket.
func (c *Conn) PassPIDFD(on bool) error {
	return c.withFD("set", func(fd int) error { return PassPIDFD(fd, on) })
}

// PassRights calls the function [PassRights] on the Conn's socket. [Config].NoFiles turns the option off
// when the Conn is created. If PassRights turns it on, the Conn no longer rejects descriptors itself.
func (c *Conn) PassRights(on bool) error {
	err := c.withFD("set", func(fd int) error { return PassRights(fd, on) })
	if err == nil && on {
		c.refuses.Store(false)
	}
	return err
}

// withFD calls f with the socket's descriptor, which stays open during the call.
func (c *Conn) withFD(op string, f func(fd int) error) error {
	err := c.usable()
	if err == nil {
		err = sys.Control(c.raw, f)
	}
	return c.fail(op, err)
}

// Close closes the connection, as package net does. Before that, it removes the socket file if
// [ListenPacket] created one. [Listener.Close] documents when the file is left in place, and which error
// Close returns.
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

func (c *Conn) socketFile() (*socketFile, any) { return c.file, c }

// SetUnlinkOnClose sets whether Close removes the socket file that [ListenPacket] created. By default Close
// removes it, unless SendConn has sent the socket.
func (c *Conn) SetUnlinkOnClose(unlink bool) {
	if c != nil {
		c.file.keep(c, !unlink)
	}
}

// LocalAddr returns a [*net.UnixAddr] with the name that Listen or [ListenPacket] was given. For any other
// Conn, it returns the address of the socket, or nil if the Conn has no socket. Unlike package net, it does not
// end an abstract name at its first 0 byte. RemoteAddr does.
func (c *Conn) LocalAddr() net.Addr {
	switch {
	case c == nil || c.UnixConn == nil:
		return nil
	case c.local != nil:
		return c.local
	}
	return c.UnixConn.LocalAddr()
}

// NetConn returns the [*net.UnixConn] of the Conn, which is the same connection, or nil if the Conn has
// none. It lets [NewConn] and other code unwrap a struct that embeds a Conn. The result does not know the
// socket file that [ListenPacket] created. If the result is closed first, the file stays.
func (c *Conn) NetConn() net.Conn {
	if c == nil || c.UnixConn == nil {
		return nil
	}
	return c.UnixConn
}

func (c *Conn) isStream() bool   { return c.network == "unix" }
func (c *Conn) isDatagram() bool { return c.network == "unixgram" }

// hasSocket returns an error if itself is a struct literal without a UnixConn. It accepts a struct that embeds one.
func (c *Conn) hasSocket(itself any) error {
	if itself == any(c) && c.UnixConn == nil {
		return errConnLiteral
	}
	return nil
}

// usable returns an error for nil and for a struct literal.
func (c *Conn) usable() error {
	switch {
	case c == nil:
		return os.ErrInvalid
	case c.raw == nil:
		return errConnLiteral
	}
	return nil
}

// fail wraps err in a *net.OpError, as the methods of a net.Conn do, unless it is io.EOF, a
// *TruncatedError or an *ExpectError.
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

// expected returns what a message with nfd descriptors must match, or nil.
func (c *Conn) expected(nfd int) *Expect {
	if nfd > 0 && c.refuses.Load() {
		return &Expect{}
	}
	return c.config.Expect
}

// enforce checks a message that the Conn received with Recv against e. Flags already reports whether the
// message is truncated.
func (c *Conn) enforce(e Expect, m *Message) error {
	if m.arrival().isEnd(c.network) {
		return nil
	}
	if c.isStream() { // a message can arrive in pieces
		e.Min = 0
	}
	return e.verify(m, false)
}
