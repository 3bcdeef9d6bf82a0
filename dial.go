package scm

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// Config holds the options of a [Conn] or [Listener]. Functions that take no Config use the zero value, except that
// [NewConn] keeps the Expect of a Conn, and [NewListener] the Expect and Check of a Listener. An embedded
// [net.UnixConn] or [net.UnixListener], and a received or duplicated socket, have neither.
type Config struct {
	// Expect, if not nil, describes the descriptors that each message to the Conn may have. A call that receives any
	// other message closes its descriptors and returns an [*ExpectError]. Packages wire and framed apply Expect too.
	// Read and the methods of the embedded [net.UnixConn] do not.
	//
	// If a message is found to have more descriptors than a call other than Recv requested, the error is a
	// [*TruncatedError]. It wraps an ExpectError if a Conn's method requested Max or more, and then KeepTruncated does
	// not apply.
	//
	// If Expect is invalid, the call that creates the Conn or Listener returns an error that wraps EINVAL. So
	// does a receive that requests fewer than Min descriptors. Min does not apply to Recv on a stream, where a
	// message can arrive in pieces, or to package framed, which calls Recv.
	Expect *Expect

	// KeepTruncated makes ReadFiles, ReadBuffers and ReadFDs return the files or descriptors that precede the first
	// lost one, along with the [*TruncatedError]. The caller must close them. If they do not match Expect, the call
	// closes them and returns an [*ExpectError] instead.
	KeepTruncated bool

	// NoFiles makes the kernel reject descriptors that are sent to the socket: see [PassRights]. If the kernel cannot,
	// the call that creates the Conn or Listener fails. Descriptors that were sent earlier are still queued. Until you
	// turn the option on with [Conn.PassRights], this Conn's methods to which Expect applies close them and return an
	// [*ExpectError] or [*TruncatedError]. (Recv without FDs only sets MSG_CTRUNC.) Other Conns of the same socket
	// return them.
	NoFiles bool

	// Mode sets the permissions of the socket file that Listen, ListenPacket and DialPacket create (Linux only). If
	// it is 0, the umask decides. To admit a group, set 0660, and call [os.Chown] after Listen. Mode must let the owner
	// write, or a stale file cannot be replaced. For bits other than permissions, or an abstract name, the error wraps
	// EINVAL. A client that connects before Listen returns can get EACCES.
	Mode fs.FileMode

	// Check, if not nil, is called by a Listener for each new connection. If it returns an error, the
	// connection is closed, and the client gets EPIPE, ECONNRESET or [io.EOF]. Set a deadline before you read
	// in Check. Embedded methods such as AcceptUnix do not call it.
	Check func(*Conn) error
}

// check returns EINVAL if no message can match Expect.
func (config Config) check() error {
	switch e := config.Expect; {
	case e == nil:
		return nil
	case e.Min > MaxFDs:
		return sys.Error("scm: Expect requires "+e.count()+", but a message carries at most "+strconv.Itoa(MaxFDs), sys.EINVAL)
	default:
		return e.check()
	}
}

// checkCapacity returns EINVAL if Expect requires more than the max descriptors that a call receives.
func (config Config) checkCapacity(max int) error {
	if config.Expect == nil || config.Expect.Min <= max {
		return nil
	}
	return sys.Error("scm: Expect requires "+config.Expect.count()+", but the call receives at most "+strconv.Itoa(max), sys.EINVAL)
}

// Dial connects to a Unix socket, as [net.Dialer] does. network is "unix" (a stream), "unixgram" or "unixpacket". addr
// is a path or, on Linux, an abstract name: "@" or a 0 byte, then up to 107 bytes. Dial does not wait for a server to
// start (ENOENT, ECONNREFUSED), but while its queue is full, retries until ctx is done. The caller must close the Conn.
// For datagram replies, use [DialPacket].
func Dial(ctx context.Context, network, addr string) (*Conn, error) {
	return Config{}.Dial(ctx, network, addr)
}

// Dial is [Dial] with config.
func (config Config) Dial(ctx context.Context, network, addr string) (*Conn, error) {
	addr = abstractName(addr)
	c, err := config.dial(ctx, network, addr, 0)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: unixAddr(network, addr), Err: withoutOp(err)}
	}
	return c, nil
}

// DialPacket is [Dial] for "unixgram" from an address of its own, local, to which only the server can send. It
// treats local and its socket file as [ListenPacket] does, but makes a relative path absolute if the result fits
// into sun_path. The server needs permission to write to the file: see [Config].Mode.
func DialPacket(ctx context.Context, network, local, addr string) (*Conn, error) {
	return Config{}.DialPacket(ctx, network, local, addr)
}

// DialPacket is [DialPacket] with config.
func (config Config) DialPacket(ctx context.Context, network, local, addr string) (*Conn, error) {
	local, addr = abstractName(local), abstractName(addr)
	var c *Conn
	_, file, err := config.bind(ctx, network, local, func(ctx context.Context, network, name string) (netSocket, error) {
		if name != local { // it leads through this process's directory in /proc
			return nil, fmt.Errorf("the server cannot reply to a path of %d bytes: %w", len(local), sys.ENAMETOOLONG)
		}
		made, err := config.dial(ctx, network, addr, config.Mode)
		if err != nil {
			return nil, err
		}
		// Only now, so that no other process could send to the socket before it was connected.
		if err := sys.Control(made.raw, func(fd int) error { return sys.Bind(fd, replyName(name)) }); err != nil {
			_ = made.Close()
			return nil, err
		}
		c = made
		return made, nil
	}, "unixgram")
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Source: unixAddr(network, local), Addr: unixAddr(network, addr), Err: withoutOp(err)}
	}
	c.file = file
	if local == "" {
		_ = sys.Control(c.raw, func(fd int) error { local = sys.LocalName(fd, local); return nil })
	}
	c.local = unixAddr(network, local)
	return c, nil
}

func (config Config) dial(ctx context.Context, network, addr string, mode fs.FileMode) (*Conn, error) {
	if err := checkNetwork(network, "unix", "unixgram", "unixpacket"); err != nil {
		return nil, err
	}
	if err := config.check(); err != nil {
		return nil, err // before the server accepts a connection
	}
	name, err := shorten(addr)
	if err != nil {
		return nil, err
	}
	defer name.close()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error { return config.prepare(raw, uint32(mode)) }}
	var c net.Conn
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		c, err = d.DialContext(ctx, network, name.text)
		if err == nil {
			break
		}
		if sys.OtherType(err) {
			return nil, fmt.Errorf("the socket at this address is not of type %s: %w", network, withoutOp(err))
		}
		// The poller does not report when the queue has space again.
		if !sys.Again(err) {
			return nil, name.explain(err)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
	conn, err := config.newConn(c.(*net.UnixConn))
	if err != nil {
		_ = c.Close()
	}
	return conn, err
}

// prepare applies config to a new socket before it is bound or connected.
func (config Config) prepare(raw syscall.RawConn, mode uint32) error {
	return sys.Control(raw, func(fd int) (err error) {
		if config.NoFiles {
			err = PassRights(fd, false)
		}
		if err == nil && mode != 0 {
			err = sys.Restrict(fd, mode)
		}
		return err
	})
}
