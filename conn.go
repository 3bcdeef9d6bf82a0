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

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// Conn is a [net.UnixConn] of any type (stream, datagram or seqpacket) that also sends and receives files.
// Read, Write, deadlines and addresses work as in package net. Several goroutines may use a Conn.
// Only Write and package net's methods can raise SIGPIPE. A call is repeated after EINTR, and after EAGAIN once
// the socket is ready.
type Conn struct {
	*net.UnixConn
	raw     syscall.RawConn
	network string
	config  Config
	file    *socketFile   // created by ListenPacket or DialPacket, and shared with Conns made from this one
	refuses atomic.Bool   // reject descriptors, because of Config.NoFiles
	local   *net.UnixAddr // the address given to Listen, ListenPacket or DialPacket, or else the socket's

	base *Conn // the Conn on which WithContext was called, or this one
	ctx  context.Context

	first         *Conn // the first Conn of the socket, whose directions are used
	reads, writes direction

	receiving, sending keptCall
}

// NewConn borrows c's socket: closing the Conn or c closes the other, and deadlines apply to both (but see
// [Conn.WithContext]). c must be a [*net.UnixConn], a *Conn, or a wrapper with a NetConn() net.Conn method that
// leads to one (docs/migrating.md). The result keeps a *Conn's context and, of its [Config], only the Expect. It
// does not see bytes that a wrapper has buffered. For other connections, and for TLS, the error wraps [ErrNotUnix].
func NewConn(c net.Conn) (*Conn, error) {
	inner, err := unwrap(c)
	if err != nil {
		return nil, opError("conn", err)
	}
	return Config{Expect: inner.config.Expect}.borrow(inner)
}

// NewConnFD consumes the Unix socket fd: on success it closes fd, and the Conn owns a duplicate, with
// O_NONBLOCK set for every process that shares the socket. On error fd stays open and unchanged, and still
// belongs to the caller. The error can wrap [ErrNotUnix].
func NewConnFD(fd int) (*Conn, error) { return Config{}.NewConnFD(fd) }

// NewConnFile duplicates the Unix socket f, as [net.FileConn] does. It sets O_NONBLOCK, and returns errors, as
// [NewConnFD] does. The caller must close both f and the Conn.
func NewConnFile(f *os.File) (*Conn, error) { return Config{}.NewConnFile(f) }

// NewConn is [NewConn] with config, which also replaces the Expect of a *Conn. Socket options that were set earlier,
// such as that of NoFiles, stay set.
func (config Config) NewConn(c net.Conn) (*Conn, error) {
	inner, err := unwrap(c)
	if err != nil {
		return nil, opError("conn", err)
	}
	made, err := config.borrow(inner)
	if owned, ok := c.(sys.OwnedConn); ok && owned.NoFiles && err == nil {
		made.refuses.Store(true)
	}
	return made, err
}

// borrow creates a Conn from what unwrap returned.
func (config Config) borrow(inner *Conn) (*Conn, error) {
	conn, err := config.newConn(inner.UnixConn)
	if err != nil {
		return nil, opError("conn", err)
	}
	conn.file, conn.local = inner.file, cmp.Or(inner.local, conn.local)
	conn.first, conn.ctx = cmp.Or(inner.first, conn), cmp.Or(inner.ctx, conn.ctx)
	return conn, nil
}

// maxUnwraps ends a cycle of NetConn methods.
const maxUnwraps = 64

// unwrap returns the Conn that c is or leads to. If c leads to a *net.UnixConn instead, only the UnixConn of
// the result is set.
func unwrap(c net.Conn) (*Conn, error) {
	if err := checkPresent("connection", c); err != nil {
		return nil, err
	}
	for range maxUnwraps {
		switch c := c.(type) {
		case *net.UnixConn:
			return &Conn{UnixConn: c}, nil
		case *Conn:
			return c, nil
		case sys.OwnedConn: // of package handover, as in newListener
			made := &Conn{UnixConn: c.UnixConn}
			if c.Path != "" {
				made.local = unixAddr("unixgram", c.Path)
				made.file, _ = newSocketFile(c.Path, c, &c.FileID) // nil if the file is gone
			}
			return made, nil
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
	if checkPresent("connection", inner) != nil {
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
	conn := &Conn{UnixConn: c, raw: raw, config: config, local: wholeAddr(c, c.LocalAddr()), ctx: context.Background()}
	conn.base, conn.first = conn, conn
	conn.reads.socket, conn.writes.socket = readSide{c}, writeSide{c}
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
	conn, err := config.duplicate(narrow(fd))
	if err != nil {
		return nil, opError("conn", err)
	}
	sys.Close(fd)
	return conn, nil
}

// NewConnFile is [NewConnFile] with config.
func (config Config) NewConnFile(f *os.File) (conn *Conn, err error) {
	raw, err := rawConn("file", f)
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
	own, err := sys.Dup(fd, 0)
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

// Pair creates two connected Conns with socketpair(2). network is "unix" (a stream), "unixgram" or
// "unixpacket". The caller must close both. To pass one to a child process, pass its File in ExtraFiles.
// Then close the file and the Conn, or the other Conn never returns [io.EOF].
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

// Send sends m as the function [Send] does, and waits until the socket accepts it. On a stream, that can be
// part of the payload. With MSG_DONTWAIT, it returns EAGAIN instead of waiting, except for other sends on a
// stream.
func (c *Conn) Send(m *Message, flags int) error {
	err := m.check()
	if err == nil {
		err = c.usable()
	}
	if err == nil && c.isStream() && len(m.FDs) > 0 && msg.IsEmpty(m.Buffers) {
		err = ErrEmptyPayload
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

// Recv receives into m as the function [Recv] does, and waits until a message or bytes arrive. The end of a
// connection is not an error, nor is truncation: check m.Flags. If FDs[:NFD] do not match [Config].Expect, which
// ignores lost descriptors, Recv closes them and returns an [*ExpectError]. With MSG_DONTWAIT, it returns EAGAIN
// instead of waiting.
func (c *Conn) Recv(m *Message, flags int) error {
	err := m.reset()
	if err == nil {
		err = c.usable()
	}
	if err == nil && c.isStream() && msg.IsEmpty(m.Buffers) {
		err = errNoBuffer
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

// PeerCred identifies the process that connected: see the function [PeerCred].
func (c *Conn) PeerCred() (cred Cred, err error) {
	cred = Cred{0, -1, -1}
	err = c.withFD("get", func(fd int) error {
		cred, err = PeerCred(fd)
		return err
	})
	return cred, err
}

// PeerPIDFD is like PeerCred, but returns a pidfd, which the caller must close: see the function [PeerPIDFD].
func (c *Conn) PeerPIDFD() (pidfd int, err error) {
	pidfd = -1
	err = c.withFD("get", func(fd int) error {
		pidfd, err = PeerPIDFD(fd)
		return err
	})
	return pidfd, err
}

// PassCred turns SO_PASSCRED on or off: see the function [PassCred].
func (c *Conn) PassCred(on bool) error {
	return c.withFD("set", func(fd int) error { return PassCred(fd, on) })
}

// PassPIDFD turns SO_PASSPIDFD on or off: see the function [PassPIDFD].
func (c *Conn) PassPIDFD(on bool) error {
	return c.withFD("set", func(fd int) error { return PassPIDFD(fd, on) })
}

// PassRights turns SO_PASSRIGHTS on or off: see the function [PassRights]. Once it is on, the Conn no longer
// rejects descriptors itself ([Config].NoFiles).
func (c *Conn) PassRights(on bool) error {
	err := c.withFD("set", func(fd int) error { return PassRights(fd, on) })
	if err == nil && on {
		c.base.refuses.Store(false)
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

// Close closes the connection, as package net does, and the files still in its queue. A partner can send a
// file that makes Close block, despite deadlines (SECURITY.md). If [ListenPacket] or [DialPacket] created it,
// Close first removes the socket file, as [Listener.Close] does.
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

func (c *Conn) socketFile() (*socketFile, any) { return c.file, c.base }

// SetUnlinkOnClose sets whether Close removes the socket file that [ListenPacket] or [DialPacket] created. If
// several Conns borrow the socket, the file stays if any of them is set to leave it.
func (c *Conn) SetUnlinkOnClose(unlink bool) {
	if c != nil {
		c.file.keep(c.base, !unlink)
	}
}

// LocalAddr returns a [*net.UnixAddr] with the name that [Listen], [ListenPacket] or [DialPacket] was given, or
// the address of the socket. Unlike RemoteAddr, it does not end an abstract name at its first 0 byte.
func (c *Conn) LocalAddr() net.Addr {
	switch {
	case c == nil || c.UnixConn == nil:
		return nil
	case c.local != nil:
		return c.local
	}
	return c.UnixConn.LocalAddr()
}

// NetConn returns the [*net.UnixConn] of the Conn, which is the same connection. It lets [NewConn] unwrap a
// struct that embeds a Conn. Closing the result first leaves the socket file in place. Its LocalAddr is that of package
// net, which does not know the name given to [DialPacket].
func (c *Conn) NetConn() net.Conn {
	if c == nil || c.UnixConn == nil {
		return nil
	}
	return c.UnixConn
}

func (c *Conn) isStream() bool   { return c.network == "unix" }
func (c *Conn) isDatagram() bool { return c.network == "unixgram" }

// checkLiteral returns an error if self is a Conn without a UnixConn. A struct that embeds one is accepted.
func (c *Conn) checkLiteral(self any) error {
	if self == any(c) && c.UnixConn == nil {
		return errConnLiteral
	}
	return nil
}

// usable returns an error for nil and for a struct literal.
func (c *Conn) usable() error {
	switch {
	case c == nil:
		return nilError("Conn")
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
	return &net.OpError{Op: op, Net: c.network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: withoutOp(err)}
}

// expected returns what a message with nfd descriptors must match, or nil.
func (c *Conn) expected(nfd int) *Expect {
	if nfd > 0 && c.base.refuses.Load() {
		return &Expect{}
	}
	return c.config.Expect
}

// tooMany returns the cause of a TruncatedError for a message with more than max descriptors, all of which were closed.
func (c *Conn) tooMany(max int) error {
	if e := c.expected(max + 1); e != nil && e.Max <= max {
		return &tooManyError{&ExpectError{Index: -1, Want: e.count(), Got: "at least " + descriptors(max+1)}}
	}
	return sys.EMSGSIZE
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
