package scm

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// Listener is a listening Unix socket in the runtime's poller. It is a
// [net.Listener]; all its methods may be called at the same time. Errors are
// [net.OpError].
type Listener struct {
	polled
	addr   *net.UnixAddr
	config Config
	check  func(*Conn) error // AcceptConn closes what it refuses
}

var _ net.Listener = (*Listener)(nil)

// Listen makes a listening socket, by socket(2), bind(2) and listen(2). network is
// "unix" for a stream or "unixpacket". addr is as for [Dial]; if it is "", Linux
// chooses an abstract name.
//
// Listen removes a socket file that is in the way if it is stale, which it is when
// no process has its socket open: connect(2) then fails with ECONNREFUSED.
// Otherwise, and for a name that is taken, the error is [ErrInUse]. Listen never
// removes what is no socket, nor a socket that takes the place of the stale one
// meanwhile. Programs that replace the same stale file wait for each other by
// flock(2) on the folder. Anybody who can open the folder can take that lock, so
// Listen waits for it until ctx is done, but no longer than 200 ms, and then does
// without, as in a folder that it may not read: a program that binds at the same
// moment can then lose its file's name for some microseconds. If a third file takes that
// name meanwhile, the file keeps a name that begins with .scm-, in the same folder, which
// the error says.
//
// bind(2) makes a socket file before connect(2) finds the socket. On Linux 5.14 and later
// Listen waits until such a bind is over, by a rename of the file to itself. On older
// kernels and on other systems, Listen at that moment takes the live socket's file for
// stale, and removes it. Whoever watches the folder (inotify(7)) makes the moment longer.
//
// On a file system that another system or another mount can have too, connect(2) fails so
// for a live socket as well. There Listen removes nothing, and returns ErrInUse: on Linux
// FUSE and virtiofs, NFS, 9p, SMB, AFS, Ceph, Coda, OCFS2 and eCryptfs. Elsewhere it does
// not know them: do not listen at a path on such a file system.
//
// Linux has two sockets for a file that is reached through an overlayfs, as containers have
// it, and in one of its layers. A live socket that was bound by one of these ways refuses
// connections by the other, and Listen removes its file as stale: use one way only.
//
// Close removes the new file, if it is then still the one that Listen made, in the
// same folder. Listen follows no link at the end of addr. If something else has
// taken the new file's place when Listen looks at it, that is an error, and Listen
// leaves it alone. In a folder in which others can rename files Listen asks the kernel on
// Linux whether a socket file is its own (sock_diag(7)). Where the kernel does not say,
// as on other systems, Listen takes another socket file for its own.
//
// Who may rename files in the folder can also put another one in the place of the new one
// between Close's look at it and its removal. Who owns a folder or a link on the way to the
// folder can make bind(2) find another folder than the one that Listen has open: the new
// file is then left behind, or Close removes the socket file of another program of the
// same user. Do not listen below a folder of others.
//
// The programs at both ends see the name that was bound: for a path longer than
// sun_path it is another name, in /proc.
//
// Errors are ctx's alone, ErrInUse, [net.UnknownNetworkError], or wrap the errno:
// ENOENT, EACCES, ENAMETOOLONG, … ctx is for the call alone. It does not end a system
// call that waits for the file system of the folder.
func Listen(ctx context.Context, network, addr string) (*Listener, error) {
	return Config{}.Listen(ctx, network, addr)
}

// ListenPacket makes a datagram socket with a name, by socket(2) and bind(2).
// network is "unixgram"; addr is as for Listen, and so are its file and errors. It
// receives from everybody who may write to the file. Recv returns the sender's name
// if it has one.
//
// Send with that name as [Message].Addr answers. Answer only abstract names, and names
// that are the path of a folder to which nobody else may write, a slash, and no other
// slash. Any other path is in the sender's hands:
//
//   - sendmsg(2) waits for the file system of the path, which may be the sender's own
//     (FUSE). MSG_DONTWAIT, the write deadline and Close do not end it. Meanwhile the
//     Conn's other sends wait, and Close does.
//   - The message goes, with its descriptors and this process's rights, to the socket to
//     which the path leads by then: by a symbolic link to one to which the sender may
//     not write.
//   - A relative path begins at the working folder of this process, not of the sender.
//
// Strangers who want an answer can connect to a [Listener] of "unixpacket" instead.
//
// Calls that send take turns whatever the address is: one that waits for a receiver
// with a full queue holds up those to other receivers. Set a write deadline, or pass
// MSG_DONTWAIT in each Send, if a receiver may be slow.
func ListenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	return Config{}.ListenPacket(ctx, network, addr)
}

// Listen is [Listen] with config.
func (config Config) Listen(ctx context.Context, network, addr string) (*Listener, error) {
	l, err := config.listen(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: unixAddr(network, addr), Err: err}
	}
	return l, nil
}

func (config Config) listen(ctx context.Context, network, addr string) (*Listener, error) {
	if network == "unixgram" {
		return nil, net.UnknownNetworkError(network)
	}
	fd, bound, err := config.bind(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := sys.Listen(fd); err != nil {
		_ = bound.remove()
		sys.Close(fd)
		return nil, err
	}
	l, err := config.takeListener(fd, bound)
	if err == nil && addr != "" {
		l.addr = unixAddr(network, addr)
	}
	return l, err
}

// ListenPacket is [ListenPacket] with config.
func (config Config) ListenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	c, err := config.listenPacket(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: unixAddr(network, addr), Err: err}
	}
	return c, nil
}

func (config Config) listenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	if network != "unixgram" {
		return nil, net.UnknownNetworkError(network)
	}
	fd, bound, err := config.bind(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c, err := config.take(fd, bound)
	if err == nil && addr != "" {
		c.local = unixAddr(network, addr)
	}
	return c, err
}

// takeListener makes a Listener of a number, which is then the Listener's, or
// closed. bound is its socket file, if we made it.
func (config Config) takeListener(fd int, bound *boundFile) (*Listener, error) {
	network, err := config.prepareNew(fd, bound)
	if err != nil {
		return nil, err
	}
	l := &Listener{polled: polled{bound: bound}, config: config, check: config.Check}
	l.addr, _ = socketNames(fd, network)
	if err := l.open(fd, network); err != nil {
		return nil, err
	}
	return l, nil
}

// Accept is AcceptConn for [net.Listener]: what it returns is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn waits for the next connection, and returns it with the Config of l,
// close-on-exec and the caller's to close. It closes a connection that [Config].Check
// refuses, and waits on; and one in which Check panics.
//
// It is accept4(2), after poll(2) has reported a connection and with O_NONBLOCK set
// again if another process cleared it: see [Conn.RecvListener]. Errors are
// [os.ErrDeadlineExceeded], [net.ErrClosed], or wrap the errno: EMFILE, EINVAL after a
// shutdown(2) by whoever has the socket, …; ECONNABORTED and EINTR are retried.
func (l *Listener) AcceptConn() (*Conn, error) {
	if err := l.usable(); err != nil {
		return nil, l.fail("accept", err)
	}
	for {
		fd, err := l.accept()
		if err != nil {
			return nil, l.fail("accept", err)
		}
		c, err := l.config.take(fd, nil)
		if err != nil {
			return nil, l.fail("accept", err)
		}
		c.local = l.addr
		if l.admits(c) {
			return c, nil
		}
	}
}

// admits reports whether Check lets c in, and closes it if not.
func (l *Listener) admits(c *Conn) (ok bool) {
	if l.check == nil {
		return true
	}
	defer func() { // also of a panic
		if !ok {
			refuse(c)
		}
	}()
	return l.check(c) == nil
}

const (
	// refusePatience is how long AcceptConn waits for the close of a refused
	// connection. It frees the number at once; only a client that makes it linger
	// needs longer.
	refusePatience = 10 * time.Millisecond

	// maxRefused is how many threads refused connections have that linger.
	maxRefused = 100
)

var refusing = make(chan struct{}, maxRefused)

// refuse closes c in a goroutine: a client that has sent a socket with SO_LINGER makes
// close(2) wait.
func refuse(c *Conn) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		refusing <- struct{}{}
		defer func() { <-refusing }()
		_ = c.Close()
	}()
	timer := time.NewTimer(refusePatience)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
	}
}

// Close ends calls that wait, and removes the socket file if Listen made it and it
// is still the same. If it cannot remove the file it closes the socket and returns
// the error. It finds the folder by the path that Listen was given: if the folder was
// renamed and that path leads to another one, or to none (ENOENT), the file stays, and
// that is no error. Once no process has the socket open, the kernel ends the connections
// that were not accepted. If a client of these has sent a socket with SO_LINGER,
// Close waits for that time: [Config].NoFiles prevents it. It also waits for the
// file system of the folder; if that does not answer, other calls end all the same.
func (l *Listener) Close() error {
	err := l.usable()
	if err == nil {
		err = l.close()
	}
	return l.fail("close", err)
}

// Addr returns the *[net.UnixAddr] that Listen was given, or of a received socket
// the one that was bound.
func (l *Listener) Addr() net.Addr {
	if l == nil {
		return nil
	}
	return netAddr(l.addr)
}

// SetDeadline sets the deadline of Accept.
func (l *Listener) SetDeadline(t time.Time) error {
	err := l.usable()
	if err == nil {
		err = l.setDeadline((*os.File).SetDeadline, t)
	}
	return l.fail("set", err)
}

// SetUnlinkOnClose sets whether Close removes the socket file, as it does unless
// the socket was sent by SendListener. See [Listen] for which file that is. It does
// nothing for a received Listener, which has made no file.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	if l.usable() == nil {
		l.bound.keep(!unlink)
	}
}

// SyscallConn gives access to the socket's descriptor, as [Conn.SyscallConn] does.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	if err := l.usable(); err != nil {
		return nil, l.fail("raw-control", err)
	}
	return l.raw, nil
}

// socketFile is the file that a hand-over keeps.
func (l *Listener) socketFile() *boundFile {
	if l == nil {
		return nil
	}
	return l.bound
}

func (l *Listener) usable() error {
	if l == nil {
		return os.ErrInvalid
	}
	return l.polled.usable()
}

func (l *Listener) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &net.OpError{Op: op, Net: "unix", Err: err}
	if l != nil && l.addr != nil {
		e.Net, e.Addr = l.addr.Net, l.addr
	}
	return e
}
