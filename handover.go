package scm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// SendConn passes a connection on: it sends conn's descriptor with one 0 byte,
// as OpenSSH and most others do. conn is a [net.TCPConn], a Conn, an [os.File] of
// a socket or the like. It stays open and the caller's, whether the call succeeds
// or fails; the receiver has the same open file description. If [ListenPacket]
// made conn, its Close then leaves the socket file alone.
//
// A ctx that is done ends this call and no other, and leaves the deadlines as they
// are. Other errors are those of WriteFiles.
func (c *Conn) SendConn(ctx context.Context, conn syscall.Conn) error {
	return c.sendSocket(ctx, conn)
}

// SendListener passes a listening socket on, as SendConn does a connection: l is
// a [Listener], a [net.TCPListener], a [net.UnixListener] or the like. It stays
// open and the caller's: until it is closed, both ends may accept. The socket
// file survives: Close of an l that was sent leaves it alone, from the moment in which
// the kernel has sent it. A net.UnixListener keeps its file only once SendListener has
// returned: do not close it before.
func (c *Conn) SendListener(ctx context.Context, l syscall.Conn) error {
	return c.sendSocket(ctx, l)
}

func (c *Conn) sendSocket(ctx context.Context, socket syscall.Conn) error {
	err := c.usable()
	var bound *boundFile
	owner, ours := socket.(interface{ socketFile() *boundFile })
	if ours {
		bound = owner.socketFile()
	}
	if err == nil {
		err = c.sendOne(ctx, []byte{0}, socket, bound)
	}
	if other, ok := socket.(interface{ SetUnlinkOnClose(bool) }); ok && !ours && err == nil {
		other.SetUnlinkOnClose(false)
	}
	return c.fail("write", err)
}

// RecvConn receives a connection that SendConn, OpenSSH with ProxyUseFdpass or the
// like sent: one descriptor, and one byte without a meaning. An AF_UNIX socket is a
// *Conn, with the Config of c. One of AF_INET or AF_INET6 is a net.Conn that has
// CloseRead, CloseWrite and SyscallConn too, but is no [net.TCPConn]: its sender
// could stop the process by way of what [net.FileConn] asks the kernel. Its options
// are as the sender set them. Another socket is EPROTONOSUPPORT. What RecvConn
// returns is close-on-exec and the caller's to close.
//
// RecvConn closes and refuses what is no socket (ENOTSOCK), a socket that listens (EINVAL),
// and one that blocks ([ErrBlocking]) unless [Config].SetNonblock allows a change that the
// sender sees too. A sender that clears O_NONBLOCK just after that look makes it fail with
// [os.ErrNoDeadline]. It does not ask whether a socket is connected, as the sender can hold
// that up: Read and Write of one that is not return the errno, such as ENOTCONN. See
// SendConn for ctx, and RecvFile for other errors.
//
// The sender has the same open file description, and can hold up calls on it, while
// it is itself inside a system call on that socket that waits for a page of memory
// (see [PassCred]): on Linux Read of a Unix socket, and Read, Write, CloseRead,
// CloseWrite, LocalAddr and RemoteAddr of an Internet socket. The last two ask the
// kernel when they are first called. First called after Close, they return the zero
// address, and so does RemoteAddr after the other end has reset the connection. If c has
// [Config].NoFiles, the sender of a Unix socket can hold up RecvConn itself so, beyond
// ctx. No deadline ends such a call, and Close waits for it. Each holds up a thread of
// its own; 10,000 of them end a Go program ([runtime/debug.SetMaxThreads]).
//
// RecvConn closes what it refuses, and ctx does not end that close. close(2) waits for a
// file whose server does not answer (FUSE). The last close of a socket waits for the time
// of its SO_LINGER, which the sender can set.
func (c *Conn) RecvConn(ctx context.Context) (net.Conn, error) {
	return receiveSocket(ctx, c, false, c.takeConn, receivedConn)
}

// RecvListener receives a listening socket that SendListener or the like sent. An
// AF_UNIX socket is a *Listener, with the Config of c: with NoFiles, clients that
// connect from then on can send it no descriptors, until the sender, who has the
// socket too, sets SO_PASSRIGHTS again. One of AF_INET or AF_INET6 is a
// net.Listener that has SetDeadline and SyscallConn too, but is no
// [net.TCPListener]; what it accepts is a [net.TCPConn], and it closes
// connections that their clients have reset by then. An accepted connection inherits the
// options of the listener, which the sender can set at any time: with SO_LINGER its Close
// waits for a client that does not read. If no descriptor is free
// for that (EMFILE), the next Accept returns the connection. It is close-on-exec
// and the caller's to close, and its Close leaves a socket file alone, as it is not
// the one who made it.
//
// The sender can clear O_NONBLOCK at any time. Accept sets it again, and calls
// accept4(2) only if poll(2) reports a connection. If the sender clears O_NONBLOCK
// after Accept has set it, and takes that connection, accept4 waits for the next one,
// and neither a deadline nor Close ends that. If the sender is inside a system call on
// an Internet socket that waits for a page of memory, Accept, Addr and Close wait for
// that call, and no deadline ends that. See RecvConn, also for RecvListener with NoFiles.
//
// A socket that does not listen is EINVAL; otherwise errors are those of RecvConn.
func (c *Conn) RecvListener(ctx context.Context) (net.Listener, error) {
	return receiveSocket(ctx, c, true, c.takeListener, receivedListener)
}

func (c *Conn) takeConn(fd int) (net.Conn, error) {
	conn, err := c.config.take(fd, nil)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

func (c *Conn) takeListener(fd int) (net.Listener, error) {
	l, err := c.config.takeListener(fd, nil)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// receiveSocket receives a socket that listens or does not. One of AF_UNIX goes
// to take, another one to foreign, which own its number then.
func receiveSocket[T any](ctx context.Context, c *Conn, listens bool, take func(int) (T, error), foreign func(int) (T, error)) (socket T, err error) {
	fd, unix := -1, false
	if err = c.usable(); err == nil {
		_, fd, err = c.receiveOne(ctx, make([]byte, 1))
	}
	if err == nil {
		if unix, err = c.examine(fd, listens); err != nil {
			sys.Close(fd)
		}
	}
	switch {
	case err != nil:
	case unix:
		socket, err = take(fd)
	default:
		socket, err = foreign(fd)
	}
	return socket, c.fail("read", err)
}

// examine reports whether a received socket is of AF_UNIX, or why it is refused.
func (c *Conn) examine(fd int, listens bool) (unix bool, err error) {
	listening, err := sys.Listening(fd)
	switch {
	case sys.UnknownOption(err): // macOS, OpenBSD, DragonFly: accept or read then fails
	case err != nil:
		return false, err
	case listening != listens:
		return false, fmt.Errorf("a socket came that listens: %t, want %t: %w", listening, listens, syscall.EINVAL)
	}
	blocks, err := c.config.blocks(fd)
	if err != nil {
		return false, err
	}
	if _, err = sys.Network(fd); !errors.Is(err, ErrNotUnix) {
		return err == nil, err // take changes the mode
	}
	if _, err = sys.Internet(fd); err == nil {
		err = sys.StartPoller()
	}
	if err == nil && blocks { // the sender sees it too: nothing but the poller refuses now
		err = sys.SetNonblock(fd, true)
	}
	return false, err
}
