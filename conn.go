package scm

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// Conn is a Unix socket of any type (stream, datagram, seqpacket) in the
// runtime's poller: a call that waits blocks a goroutine and no thread. It is a
// [net.Conn], and all its methods may be called at the same time: calls that
// send take turns, so that payloads do not mix, and so do calls that receive. A
// call's context ends that call alone, also while it waits for its turn.
//
// A send is sendmsg(2) with MSG_NOSIGNAL and MSG_DONTWAIT, a receive recvmsg(2)
// with MSG_CMSG_CLOEXEC and MSG_DONTWAIT. The call retries EINTR. After EAGAIN it
// waits in the poller, and tries again, until the deadline. The poller does not report
// two things, for which a call that waits to send also tries again by itself: room in the
// queue of a datagram's receiver, at growing intervals of up to 50 ms, and a shutdown
// by another process, such as the other end's CloseRead (EPIPE), each second. On a
// datagram socket whose own buffer is full, sendmsg itself is EAGAIN all the same.
//
// Errors are [net.OpError], but for [io.EOF] and [TruncatedError]. They wrap the
// errno (EPIPE, ECONNRESET, EMSGSIZE, …), [os.ErrDeadlineExceeded], or
// [net.ErrClosed] after Close, which ends calls that wait, and returns once no call
// uses the descriptor.
//
// A partner that sends files can hold up a call beyond its deadline or context:
//
//   - close(2) of a received descriptor waits for a file whose server does not answer
//     (FUSE). Calls that refuse what they received close it. If m.Cred or m.PIDFD is set,
//     Recv reserves room for credentials or a pidfd. If the socket has no SO_PASSCRED or
//     SO_PASSPIDFD, the kernel fills that room with more descriptors, and Recv closes them.
//     Close waits for such a Recv.
//   - The last close of a socket waits for the time of its SO_LINGER. Such a close is part
//     of a receive without room for the descriptor, and of Close with messages unread.
//
// [Config].NoFiles keeps descriptors away from a Conn that wants none. See RecvConn for
// what else a sender can do, and ListenPacket for what holds up an answer to its name.
type Conn struct {
	polled
	network string
	local   *net.UnixAddr // nil where there is none
	remote  *net.UnixAddr
	config  Config
	dropped atomic.Int64

	receiving, sending direction
}

var _ net.Conn = (*Conn)(nil)

// Read receives up to len(p) bytes. Read passes no control buffer, so the kernel
// drops any descriptors without installing them. Dropped returns how often that
// happened. An empty p receives nothing.
//
// The end of a stream is [io.EOF], and so is n == 0 on a seqpacket socket, where
// an empty message looks the same. On a datagram socket it is an empty message.
// What of a message is longer than p is lost.
func (c *Conn) Read(p []byte) (n int, err error) {
	if err := c.usable(); err != nil || len(p) == 0 {
		return 0, c.fail("read", err)
	}
	k := newCall(c)
	defer k.put()
	if err := k.receive(context.Background(), p, 0); err != nil {
		return 0, c.fail("read", err)
	}
	if k.cut() && !k.isEnd() {
		c.dropped.Add(1)
	}
	if k.msg.N == 0 && !c.isDatagram() {
		return 0, io.EOF
	}
	return k.msg.N, nil
}

// Write sends p without descriptors: the whole of it on a stream, as one message
// elsewhere, where an empty p is an empty message. On error n is how many bytes
// were sent.
func (c *Conn) Write(p []byte) (n int, err error) { return c.WriteFiles(p) }

// Dropped returns how many calls of Read received control data, and dropped it:
// descriptors, or credentials on a socket with SO_PASSCRED.
func (c *Conn) Dropped() int64 {
	if c == nil {
		return 0
	}
	return c.dropped.Load()
}

// Close closes the Conn's descriptor, removes the socket file if [ListenPacket]
// made it, and ends calls that wait. It is one close(2); the connection goes on if
// others have the open file description. For the file Close waits for the folder's
// file system; if that does not answer, other calls end all the same. In a folder that was
// renamed the file stays, and that is no error: see [Listener.Close].
func (c *Conn) Close() error {
	err := c.usable()
	if err == nil {
		err = c.close()
	}
	return c.fail("close", err)
}

// CloseRead ends receiving, here and for all who have the open file description,
// by shutdown(2). Calls receive what was sent before, and then [io.EOF]; Recv on a
// stream or seqpacket socket receives 0 bytes.
func (c *Conn) CloseRead() error { return c.shutdown(sys.ShutRead) }

// CloseWrite ends sending, here and for all who have the open file description,
// by shutdown(2). Sending is then EPIPE, also for a call that waits. The other end
// reads what was sent, and then the end; on a datagram socket there is no end.
func (c *Conn) CloseWrite() error {
	err := c.shutdown(sys.ShutWrite)
	if err == nil {
		c.sending.wake()
	}
	return err
}

func (c *Conn) shutdown(how int) error {
	err := c.usable()
	if err == nil {
		err = control(c.raw, func(fd int) error { return sys.Shutdown(fd, how) })
	}
	return c.fail("close", err)
}

// LocalAddr returns the *[net.UnixAddr] of this end, with the Name "" if it has
// none, or if the system does not report it.
func (c *Conn) LocalAddr() net.Addr {
	if c == nil {
		return nil
	}
	return netAddr(c.local)
}

// RemoteAddr returns the *[net.UnixAddr] of the other end, with the Name "" if it
// has none, or nil if the socket is not connected or the system does not report it. The
// Name is the other program's bytes as they are, also in the errors of c: print both
// with %q.
func (c *Conn) RemoteAddr() net.Addr {
	if c == nil {
		return nil
	}
	return netAddr(c.remote)
}

// netAddr has no typed nil.
func netAddr(a *net.UnixAddr) net.Addr {
	if a == nil {
		return nil
	}
	return a
}

// SetDeadline sets both deadlines, as [net.Conn] has them. A write that a deadline
// ends returns how many bytes were sent.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(func() error {
		return errors.Join(c.receiving.setDeadline(t), c.sending.setDeadline(t))
	})
}

// SetReadDeadline sets the deadline of calls that receive.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadlines(func() error { return c.receiving.setDeadline(t) })
}

// SetWriteDeadline sets the deadline of calls that send.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadlines(func() error { return c.sending.setDeadline(t) })
}

func (c *Conn) setDeadlines(set func() error) error {
	err := c.usable()
	if err == nil {
		err = c.pollError(set())
	}
	return c.fail("set", err)
}

// SyscallConn gives access to the socket's descriptor, for options and the like.
// Its Read and Write take turns with the Conn's calls. Do not close the descriptor,
// and do not set it to blocking mode.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if err := c.usable(); err != nil {
		return nil, c.fail("raw-control", err)
	}
	return (*connRaw)(c), nil
}

// connRaw is a Conn's socket for its user, who takes turns with the Conn's calls.
type connRaw Conn

func (r *connRaw) Control(f func(fd uintptr)) error {
	return (*Conn)(r).pollError(r.raw.Control(f))
}

func (r *connRaw) Read(done func(fd uintptr) bool) error {
	return (*Conn)(r).inTurn(&r.receiving, done)
}

func (r *connRaw) Write(done func(fd uintptr) bool) error {
	return (*Conn)(r).inTurn(&r.sending, func(fd uintptr) bool {
		if done(fd) {
			return true
		}
		r.sending.tryLater()
		return false
	})
}

func (c *Conn) inTurn(d *direction, done func(fd uintptr) bool) error {
	if err := d.begin(context.Background(), true); err != nil {
		return err
	}
	defer d.end()
	return c.pollError(d.wait(done))
}

// SetUnlinkOnClose sets whether Close removes the socket file that [ListenPacket]
// made, as it does unless the Conn was sent by SendConn.
func (c *Conn) SetUnlinkOnClose(unlink bool) {
	if c.usable() == nil {
		c.bound.keep(!unlink)
	}
}

// socketFile is the file that a hand-over keeps.
func (c *Conn) socketFile() *boundFile {
	if c == nil {
		return nil
	}
	return c.bound
}

func (c *Conn) isStream() bool   { return c.network == "unix" }
func (c *Conn) isDatagram() bool { return c.network == "unixgram" }

// usable returns what is wrong before anything is done.
func (c *Conn) usable() error {
	if c == nil {
		return os.ErrInvalid
	}
	return c.polled.usable()
}

// fail is err as a method of net.Conn returns it.
func (c *Conn) fail(op string, err error) error {
	if _, truncated := err.(*TruncatedError); err == nil || err == io.EOF || truncated {
		return err
	}
	e := &net.OpError{Op: op, Net: "unix", Err: err}
	if c == nil {
		return e
	}
	if c.network != "" {
		e.Net = c.network
	}
	if c.local != nil && c.local.Name != "" {
		e.Source = c.local
	}
	if c.remote != nil && c.remote.Name != "" {
		e.Addr = c.remote
	}
	return e
}

// opError is an error of a call that has no Conn yet.
func opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "unix", Err: err}
}
