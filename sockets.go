package scm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// SendConn sends conn, which stays open: its descriptor with one 0 byte, as OpenSSH does. For other bytes, pass its
// File to WriteFiles. Buffered input stays in this process. conn needs a SyscallConn method, as *Conn and package net's
// types have, or the error wraps [os.ErrInvalid]. If ListenPacket or DialPacket created it, Close then leaves the
// socket file.
func (c *Conn) SendConn(conn net.Conn) error { return c.sendSocket("connection", conn) }

// SendListener is like [Conn.SendConn], but for a listening socket. Both processes can accept connections until
// l is closed, which then leaves its socket file in place. If SendListener fails, and l is a [*net.UnixListener]
// or a Listener that NewListener made from one, call SetUnlinkOnClose(true). To lose no request, see
// docs/handover.md.
func (c *Conn) SendListener(l net.Listener) error { return c.sendSocket("listener", l) }

func (c *Conn) sendSocket(what string, socket any) error {
	s, ok := socket.(syscall.Conn)
	if !ok && socket != nil {
		return c.fail("write", fmt.Errorf("cannot send a %T: it has no SyscallConn method, and therefore no descriptor: %w", socket, os.ErrInvalid))
	}
	end := startSend(s)
	err := c.sendOne([]byte{0}, what, s)
	end(err == nil)
	return c.fail("write", err)
}

// startSend makes Close leave the file of a socket in place, because the receiver may answer before the send
// has returned. If the send fails, end restores the setting, unless it cannot be read.
func startSend(socket syscall.Conn) (end func(sent bool)) {
	if _, err := rawConn("socket", socket); err != nil {
		return func(bool) {}
	}
	// a Conn, a Listener, or a struct that embeds one
	if own, ok := socket.(interface{ socketFile() (*socketFile, any) }); ok {
		if file, owner := own.socketFile(); file != nil && file.theirs == nil {
			file.startSend()
			return func(sent bool) { file.endSend(owner, sent) }
		}
	}
	unlinkOnClose(socket, false)
	return func(bool) {}
}

// RecvConn receives a connection that SendConn, or OpenSSH with ProxyUseFdpass, sent: one descriptor and any
// byte. The caller must close the result, which [net.FileConn] creates, with O_NONBLOCK set. Without exactly one
// descriptor, it fails as RecvFile does. It also rejects other files (ENOTSOCK) and listeners (EINVAL). An
// untrusted sender can make calls on the connection block: use ReadFiles.
func (c *Conn) RecvConn() (net.Conn, error) {
	f, err := c.receiveSocket(false)
	if err != nil {
		return nil, c.fail("read", err)
	}
	defer func() { _ = f.Close() }()
	conn, err := net.FileConn(f)
	return conn, c.fail("read", err)
}

// RecvListener is like [Conn.RecvConn], but receives a listening socket. The caller must close the result,
// which [net.FileListener] creates. Closing it leaves the socket file, unless SetUnlinkOnClose changes
// that. To accept with a [Config], pass the result to Config.NewListener.
func (c *Conn) RecvListener() (net.Listener, error) {
	f, err := c.receiveSocket(true)
	if err != nil {
		return nil, c.fail("read", err)
	}
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
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
		return sys.Error("package net does not support the address family of the received socket: use RecvFile", sys.EPROTONOSUPPORT)
	}
	return nil
}
