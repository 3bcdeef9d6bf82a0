package scm

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// Listener is a [net.UnixListener] that accepts Conns. Deadlines, File and SyscallConn work as in package
// net. [Listen] and [NewListener] return Listeners. A Listener created as a struct literal is not usable:
// the methods that this package defines return an error that wraps [os.ErrInvalid].
type Listener struct {
	*net.UnixListener
	addr   *net.UnixAddr
	config Config
	file   *socketFile // shared with Listeners that NewListener returned for this one
}

// NewListener borrows l's socket: the Listener and l are the same socket. Nothing is duplicated. Closing
// one also closes the other, and a deadline set on one applies to both. On error l is unchanged and still
// belongs to the caller. With NewListener, a server can use its [Config] for a socket that
// [Conn.RecvListener] or, for LISTEN_FDS, [net.FileListener] returned.
//
// l must be a [*net.UnixListener] or a *Listener. For any other listener, the error wraps [ErrNotUnix].
// That includes wrappers, because there is no conventional method for unwrapping a listener: pass the
// listener inside the wrapper instead.
//
// A Listener created from a *net.UnixListener has no socket file of its own: SetUnlinkOnClose applies to
// the *net.UnixListener, which decides whether Close removes the path. But Close of the Listener leaves a
// file that has replaced the one that was there when NewListener was called. If l is a *Listener, the result has
// a Config of its own and shares everything else, including the socket file that Listen created. Closing
// either one removes the file, unless SetUnlinkOnClose(false) was called on one of them.
//
// Other errors wrap [os.ErrInvalid] if l is nil, [net.ErrClosed], or an errno.
func NewListener(l net.Listener) (*Listener, error) { return Config{}.NewListener(l) }

// NewListener is [NewListener] with config. If l is a *Listener, l keeps its own Config. Socket options
// that were set earlier, such as the one that NoFiles sets, stay set.
func (config Config) NewListener(l net.Listener) (*Listener, error) {
	made, err := config.newListener(l)
	if err != nil {
		return nil, opError("listener", err)
	}
	return made, nil
}

func (config Config) newListener(l net.Listener) (*Listener, error) {
	if err := checkPresent(l); err != nil {
		return nil, err
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	made := &Listener{config: config}
	switch l := l.(type) {
	case *net.UnixListener:
		made.UnixListener = l
	case *Listener:
		made.UnixListener, made.addr, made.file = l.UnixListener, l.addr, l.file
	default:
		return nil, fmt.Errorf("%w: a %T", ErrNotUnix, l)
	}
	raw, err := made.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := adopt(raw, new(string), config.NoFiles); err != nil {
		return nil, err
	}
	if made.addr == nil {
		made.addr = wholeAddr(made.UnixListener, made.UnixListener.Addr())
		found, _ := os.Lstat(made.addr.Name)
		made.file = &socketFile{info: found, theirs: made.UnixListener, keepers: map[any]bool{}}
	}
	return made, nil
}

// Listen creates a listening socket, as [net.ListenConfig] does. network is "unix" (a stream) or
// "unixpacket". addr has the form that [Dial] takes. If addr is "", Linux chooses an abstract name. If addr
// is a path that is too long for sun_path (see [Dial]), the socket's address is a name in /proc, and the
// other end sees that name too. The caller must close the Listener.
//
// If a socket file already exists at addr, Listen removes it if it is stale. A file is stale if connect(2)
// fails with ECONNREFUSED because no process has the socket open. If the file is not stale, or if an
// abstract name is taken, the error wraps [ErrInUse]. Listen never removes a file that is not a socket.
// Programs that replace the same stale file at the same time lock its directory with flock(2), and wait at
// most 200 ms for each other. After that, Listen continues without the lock. It can then remove the file that
// another program has just created, so that no client reaches that program.
//
// A child process that this process or the old server is about to start has a copy of every socket between
// fork and exec. During that time, a stale file looks as if it were in use, and Listen can return ErrInUse
// once: try again.
//
// Do not listen on a path if other users can replace the file, a directory or a symbolic link on it: after
// bind, Listen and Close look up the path again (SECURITY.md). Do not listen on both an overlayfs and one
// of its layers at the same time, or on a file system that is shared with other machines.
//
// The error is a [*net.OpError] that wraps ctx's error, ErrInUse, a [net.UnknownNetworkError] or the errno:
// ENOENT, EACCES, …
func Listen(ctx context.Context, network, addr string) (*Listener, error) {
	return Config{}.Listen(ctx, network, addr)
}

// Listen is [Listen] with config.
func (config Config) Listen(ctx context.Context, network, addr string) (*Listener, error) {
	addr = abstractName(addr)
	made, file, err := config.bind(ctx, network, addr, "unix", "unixpacket")
	if err != nil {
		return nil, listenError(network, addr, err)
	}
	l := made.(*net.UnixListener)
	at := l.Addr().(*net.UnixAddr)
	if addr != "" {
		at = unixAddr(network, addr)
	}
	return &Listener{l, at, config, file}, nil
}

// ListenPacket creates a named datagram socket, as [net.ListenConfig] does. network is "unixgram".
// ListenPacket treats addr and the socket file as [Listen] does, and returns the same errors. The caller
// must close the Conn.
//
// Recv stores the sender's name, if it has one, in [Message].Addr. To reply, call Send with that Addr. The
// kernel then looks up the path again, with the permissions of this process. Reply only to abstract names
// and to paths in directories that no other user can write to (SECURITY.md).
//
// If addr is a path that is too long for sun_path, receivers see the sender's name as
// /proc/thread-self/fd/N/NAME or /proc/self/fd/N/NAME, and cannot reply to it. The kernel would look up the name among the receiver's own descriptors, where it
// can lead to a different socket. Use a shorter path if others reply to this socket.
func ListenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	return Config{}.ListenPacket(ctx, network, addr)
}

// ListenPacket is [ListenPacket] with config.
func (config Config) ListenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	addr = abstractName(addr)
	made, file, err := config.bind(ctx, network, addr, "unixgram")
	var c *Conn
	if err == nil {
		if c, err = config.newConn(made.(*net.UnixConn)); err != nil {
			_ = file.remove()
			_ = made.Close()
		}
	}
	if err != nil {
		return nil, listenError(network, addr, err)
	}
	c.file = file
	if addr != "" {
		c.local = unixAddr(network, addr)
	}
	return c, nil
}

func listenError(network, addr string, err error) error {
	return &net.OpError{Op: "listen", Net: network, Addr: unixAddr(network, addr), Err: cause(err)}
}

// bind creates a socket with the name addr, and replaces a stale socket file. On error no socket is open, and
// the new socket file is removed, unless the path now leads to a different file.
func (config Config) bind(ctx context.Context, network, addr string, known ...string) (made netSocket, file *socketFile, err error) {
	if err := cmp.Or(ctx.Err(), config.check(), checkNetwork(network, known...)); err != nil {
		return nil, nil, err
	}
	if config.Mode&^fs.ModePerm != 0 || config.Mode != 0 && isAbstract(addr) {
		return nil, nil, fmt.Errorf("cannot set mode %v on the socket file %q: %w", config.Mode, addr, syscall.EINVAL)
	}
	if !isAbstract(addr) && len(addr) > sys.MaxPath { // bind would use its directory, but Close could not
		return nil, nil, fmt.Errorf("the path is %d bytes long, but the maximum is %d: %w", len(addr), sys.MaxPath, sys.ENAMETOOLONG)
	}
	name, err := shorten(addr)
	if err != nil {
		return nil, nil, err
	}
	defer name.close()
	made, err = config.listen(ctx, network, name.text)
	unlock := func() {}
	if sys.InUse(err) && !isAbstract(addr) {
		if unlock, err = removeStale(ctx, addr, name.text); err != nil {
			return nil, nil, name.explain(err)
		}
		made, err = config.listen(ctx, network, name.text)
	}
	if sys.InUse(err) { // another process has just bound the path, or has the abstract name
		err = sys.ErrLive
	}
	left := afterBind(err) // whether the socket is closed, but has left its file
	if err == nil && !isAbstract(addr) {
		if file, err = newSocketFile(addr, made); err != nil {
			left = true
		} else if err = file.setMode(config.Mode); err != nil {
			_ = file.remove()
		}
		if err != nil {
			_ = made.Close()
		}
	}
	unlock()
	if left && !isAbstract(addr) {
		if unlock, err := removeStale(context.Background(), addr, name.text); err == nil {
			unlock()
		}
	}
	return made, file, name.explain(err)
}

// listen creates a socket with this name. The result is nil if there is an error.
func (config Config) listen(ctx context.Context, network, name string) (netSocket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return config.prepare(raw, uint32(config.Mode))
	}}
	if network == "unixgram" {
		c, err := lc.ListenPacket(ctx, network, name)
		if err != nil {
			return nil, err
		}
		return c.(netSocket), nil
	}
	l, err := lc.Listen(ctx, network, name)
	if err != nil {
		return nil, err
	}
	unlinkOnClose(l, false) // because socketFile removes the file
	return l.(netSocket), nil
}

// Accept is AcceptConn with the result type that [net.Listener] requires. The connection is a *Conn, and
// the caller must close it.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn waits for the next connection and returns it with the Config of l. The caller must close it.
// If [Config].Check returns an error for a connection, AcceptConn closes that connection and waits for the
// next one. It returns the same errors as [net.UnixListener.AcceptUnix].
func (l *Listener) AcceptConn() (*Conn, error) {
	if err := l.usable(); err != nil {
		return nil, opError("accept", err)
	}
	for {
		accepted, err := l.AcceptUnix()
		if op, ok := err.(*net.OpError); ok {
			op.Err = cause(op)
		}
		if err != nil {
			return nil, err
		}
		c, err := l.config.newConn(accepted)
		if err != nil {
			_ = accepted.Close()
			return nil, &net.OpError{Op: "accept", Net: l.addr.Net, Addr: l.addr, Err: cause(err)}
		}
		c.local = l.addr
		if l.admits(c) {
			return c, nil
		}
	}
}

// admits reports whether Check accepts c, and closes c if not. It does so in a goroutine because close(2)
// can block if the client has sent a socket with SO_LINGER.
func (l *Listener) admits(c *Conn) (ok bool) {
	if l.config.Check == nil {
		return true
	}
	defer func() { // also if Check panics
		if !ok {
			go func() { _ = c.Close() }()
		}
	}()
	return l.config.Check(c) == nil
}

// Close closes the socket and ends calls that wait on it. Before that, it removes the socket file if Listen
// created one and the path still leads to it. If Close cannot remove the file, it closes the socket and
// returns the error. Close returns no error if the file no longer exists. If the directory of the file was
// renamed, the file stays, and Close returns no error either.
//
// If the socket is already closed, Close removes no file, because the path may belong to another
// server, and returns an error that wraps [net.ErrClosed]. Closing the embedded UnixListener leaves the
// socket file in place. To have it removed, pass the Listener itself to functions that close their listener,
// such as Serve of an http.Server.
func (l *Listener) Close() error {
	if err := l.usable(); err != nil {
		return opError("close", err)
	}
	removed := l.file.remove()
	if l.file != nil && l.file.theirs != nil && l.isReplaced() {
		unlinkOnClose(l.UnixListener, false) // package net would remove the file of another socket
	}
	if err := l.UnixListener.Close(); err != nil {
		return err
	}
	if removed != nil {
		return &net.OpError{Op: "close", Net: l.addr.Net, Addr: l.addr, Err: removed}
	}
	return nil
}

// isReplaced reports whether the path leads to another file than it did when NewListener was called.
func (l *Listener) isReplaced() bool {
	now, err := os.Lstat(l.addr.Name)
	return err == nil && !os.SameFile(now, l.file.info)
}

// hasSocket returns an error if itself is a struct literal without a UnixListener. It accepts a struct that embeds one.
func (l *Listener) hasSocket(itself any) error {
	if itself == any(l) && l.UnixListener == nil {
		return errListenerLiteral
	}
	return nil
}

// usable returns an error for nil and for a struct literal.
func (l *Listener) usable() error {
	switch {
	case l == nil:
		return os.ErrInvalid
	case l.UnixListener == nil || l.addr == nil:
		return errListenerLiteral
	}
	return nil
}

// Addr returns a [*net.UnixAddr] with the name that Listen was given, or the address of the listener that
// NewListener was given. Unlike package net, it does not end an abstract name at its first 0 byte.
func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) socketFile() (*socketFile, any) { return l.file, l }

// SetUnlinkOnClose sets whether Close removes the socket file. If Listen created the file, Close removes it
// by default, unless SendListener has sent the socket. On a Listener without a socket file of its own,
// SetUnlinkOnClose calls [net.UnixListener.SetUnlinkOnClose]. If several Listeners share the socket, because
// NewListener returned them, each has a setting of its own, and the file stays if one of them keeps it.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	if l != nil {
		l.file.keep(l, !unlink)
	}
}
