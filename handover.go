package scm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// SendConn passes a connection on: it sends conn's descriptor with one 0 byte, as OpenSSH and most
// others do. conn is a [net.TCPConn], a Conn, an [os.File] of a socket or the like. It stays open and
// the caller's, whether the call succeeds or fails. Errors are those of WriteFiles.
func (c *Conn) SendConn(conn syscall.Conn) error { return c.sendSocket(conn) }

// SendListener passes a listening socket on, as SendConn does a connection. Until l is closed, both ends
// may accept. Once SendListener has returned, Close of l leaves the socket file alone.
func (c *Conn) SendListener(l syscall.Conn) error { return c.sendSocket(l) }

func (c *Conn) sendSocket(socket syscall.Conn) error {
	err := c.sendOne([]byte{0}, socket)
	if err == nil {
		keepFile(socket)
	}
	return c.fail("write", err)
}

// keepFile has Close of a socket leave its file alone. Not every system has the method.
func keepFile(socket any) {
	if owner, ok := socket.(interface{ SetUnlinkOnClose(bool) }); ok {
		owner.SetUnlinkOnClose(false)
	}
}

// RecvConn receives a connection that SendConn, OpenSSH with ProxyUseFdpass or the like sent: one
// descriptor, and one byte without a meaning. RecvConn ignores the rest of a longer message.
// The connection is what [net.FileConn] makes of it, a [*net.TCPConn], [*net.UnixConn] (of which
// [NewConn] makes a Conn) or [*net.UDPConn], and the caller's to close. As FileConn does, RecvConn
// sets O_NONBLOCK, and for TCP TCP_NODELAY and keepalive, for the sender too.
//
// It closes and refuses what is no socket (ENOTSOCK), a socket that listens (EINVAL) and one of
// another family (EPROTONOSUPPORT), and does not ask Config.Expect. Take a stranger's socket by
// ReadFiles: its sender shares the open file description, and can make calls on it wait.
func (c *Conn) RecvConn() (net.Conn, error) {
	f, err := c.receiveSocket(false)
	if err != nil {
		return nil, c.fail("read", err)
	}
	defer func() { _ = f.Close() }()
	conn, err := net.FileConn(f)
	return conn, c.fail("read", err)
}

// RecvListener receives a listening socket that SendListener or the like sent. It is what
// [net.FileListener] makes of it, a [*net.TCPListener] or [*net.UnixListener], and the caller's to
// close. A socket that does not listen is EINVAL; otherwise it is as RecvConn says.
func (c *Conn) RecvListener() (net.Listener, error) {
	f, err := c.receiveSocket(true)
	if err != nil {
		return nil, c.fail("read", err)
	}
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
	return l, c.fail("read", err)
}

// receiveSocket receives a socket that listens or does not.
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
	case sys.UnknownOption(err): // macOS, OpenBSD, DragonFly: accept or read then fails
	case errors.Is(err, sys.ENOTSOCK):
		return sys.Error("the received file is no socket", err)
	case err != nil:
		return fmt.Errorf("the received file: %w", err)
	case listening && !listens:
		return fmt.Errorf("the received socket listens: %w", syscall.EINVAL)
	case !listening && listens:
		return fmt.Errorf("the received socket does not listen: %w", syscall.EINVAL)
	}
	if !sys.HasNetType(fd) {
		return sys.Error("the received socket is of another family than package net has", sys.EPROTONOSUPPORT)
	}
	return nil
}
