package scm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// SendConn sends a connection to another process: the descriptor of conn with one 0 byte, as OpenSSH and
// most other programs do. conn stays open and still belongs to the caller, on success and on error. If
// [ListenPacket] created conn, Close leaves its socket file in place during SendConn and after it, unless
// SendConn fails.
//
// conn must have a SyscallConn method, as a [*net.TCPConn], [*net.UnixConn], [*net.UDPConn] or *Conn has.
// SendConn does not unwrap connections. For a connection without the method, such as a [*crypto/tls.Conn],
// the error names its type and wraps [os.ErrInvalid]. For a socket in an [os.File], call [net.FileConn]
// first. Bytes that a bufio.Reader or another buffer has already read from conn stay in this process. To
// send other bytes with a connection, call its File method, pass the file to WriteFiles, and close
// the file afterwards.
//
// If conn is nil, the error wraps [os.ErrInvalid]. If conn is closed, the error wraps [os.ErrClosed]. Other
// errors are those of WriteFiles.
func (c *Conn) SendConn(conn net.Conn) error { return c.sendSocket(conn) }

// SendListener sends a listening socket to another process, as SendConn sends a connection. l stays open
// and still belongs to the caller, on success and on error. Both processes can accept connections until l
// is closed.
//
// Closing l no longer removes the socket file, even if the receiver answers, and l is closed, before
// SendListener returns. The receiver can take that over: see RecvListener. If SendListener fails,
// closing l later removes the file as before. There are two exceptions: if l was closed during the call,
// the file stays, and for a [*net.UnixListener], or a Listener that NewListener created from one, the
// caller must call SetUnlinkOnClose(true).
//
// Do not stop the old server with [net/http.Server.Shutdown] alone: it closes idle connections, even if a
// request is on its way to one, and the request is lost. docs/howto-handover.md shows how to lose none.
//
// l must have a SyscallConn method, as a [*net.TCPListener], [*net.UnixListener] or *Listener has.
// SendListener returns the same errors as SendConn.
func (c *Conn) SendListener(l net.Listener) error { return c.sendSocket(l) }

func (c *Conn) sendSocket(socket any) error {
	s, ok := socket.(syscall.Conn)
	if !ok && socket != nil {
		return c.fail("write", fmt.Errorf("cannot send a %T: it has no SyscallConn method, and therefore no descriptor: %w", socket, os.ErrInvalid))
	}
	end := startSend(s)
	err := c.sendOne([]byte{0}, s)
	end(err == nil)
	return c.fail("write", err)
}

// RecvConn receives a connection that was sent by SendConn, by OpenSSH with ProxyUseFdpass, or by another
// program in the same format: one descriptor and one byte, whose value has no meaning. If a datagram or
// seqpacket message is longer, the rest of it is lost. On a stream, further bytes can be received later.
//
// RecvConn returns the connection that [net.FileConn] creates from the descriptor: a [*net.TCPConn],
// [*net.UnixConn], [*net.UDPConn] or, for a raw IP socket, [*net.IPConn]. The caller must close it. [NewConn] turns a
// *net.UnixConn into a Conn. Like FileConn, RecvConn sets O_NONBLOCK, and on a TCP connection TCP_NODELAY and
// keepalive. These settings change the sender's connection too.
//
// RecvConn closes the descriptors of any other message. It returns an [*ExpectError] if a descriptor does
// not match [Config].Expect, ENOTSOCK for a file that is not a socket, EINVAL for a listening socket, and
// EPROTONOSUPPORT for a family that package net does not support. It reports a message with no descriptor
// or with more than one, the end of the connection, and other errors as [Conn.RecvFile] does.
//
// The sender shares the open file description, and can make calls on the connection block. To receive a
// socket from a sender that you do not trust, use ReadFiles.
func (c *Conn) RecvConn() (net.Conn, error) {
	f, err := c.receiveSocket(false)
	if err != nil {
		return nil, c.fail("read", err)
	}
	defer func() { _ = f.Close() }()
	conn, err := net.FileConn(f)
	if u, ok := conn.(*net.UnixConn); ok { // no other code uses its address yet
		*u.LocalAddr().(*net.UnixAddr) = *wholeAddr(f, u.LocalAddr())
	}
	return conn, c.fail("read", err)
}

// RecvListener receives a listening socket that was sent by SendListener or in the same format. It returns
// the listener that [net.FileListener] creates from the descriptor: a [*net.TCPListener] or
// [*net.UnixListener]. The caller must close it. To accept with a [Config], pass the listener to
// Config.NewListener. For a socket that is not listening, the error wraps EINVAL. In all other respects
// RecvListener works like [Conn.RecvConn].
//
// Closing a received Unix listener leaves its socket file in place. To make Close remove the file, call
// SetUnlinkOnClose(true), on the listener or on the one that NewListener returned for it.
func (c *Conn) RecvListener() (net.Listener, error) {
	f, err := c.receiveSocket(true)
	if err != nil {
		return nil, c.fail("read", err)
	}
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
	if u, ok := l.(*net.UnixListener); ok {
		*u.Addr().(*net.UnixAddr) = *wholeAddr(f, u.Addr())
	}
	return l, c.fail("read", err)
}

// receiveSocket receives one socket. listens says whether it must be a listening socket.
func (c *Conn) receiveSocket(listens bool) (*os.File, error) {
	_, fd, err := c.receiveOne(make([]byte, 1))
	if err != nil {
		return nil, err
	}
	if err := examineSocket(fd, listens); err != nil {
		sys.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "received"), nil
}

func examineSocket(fd int, listens bool) error {
	listening, err := sys.Listening(fd)
	switch {
	case sys.UnknownOption(err): // on macOS, OpenBSD and DragonFly, where accept or read then fails
	case errors.Is(err, sys.ENOTSOCK):
		return sys.Error("the received file is not a socket", err)
	case err != nil:
		return fmt.Errorf("examine the received file: %w", err)
	case listening && !listens:
		return fmt.Errorf("the received socket is listening: %w", syscall.EINVAL)
	case !listening && listens:
		return fmt.Errorf("the received socket is not listening: %w", syscall.EINVAL)
	}
	if !sys.HasNetType(fd) {
		return sys.Error("package net does not support the address family of the received socket", sys.EPROTONOSUPPORT)
	}
	return nil
}
