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
// net.
type Listener struct {
	*net.UnixListener
	addr   *net.UnixAddr
	config Config
	file   *socketFile // shared with Listeners that NewListener returned for this one

	accepts *direction // shared too
	base    *Listener  // the Listener on which WithContext was called, or this one
	ctx     context.Context
}

// NewListener borrows l's socket, as [NewConn] does, so that a server can use a [Config] for a socket from
// [Conn.RecvListener] or [net.FileListener]. l must be a [*net.UnixListener] or a *Listener. The result keeps
// the context, Expect and Check of a *Listener, and shares the socket file with it. For any other listener,
// including a wrapper, the error wraps [ErrNotUnix].
func NewListener(l net.Listener) (*Listener, error) {
	var config Config
	if own, ok := l.(*Listener); ok && own != nil {
		config.Expect, config.Check = own.config.Expect, own.config.Check
	}
	return config.NewListener(l)
}

// NewListener is [NewListener] with config, which also replaces the Expect and Check of a *Listener. l keeps its own
// Config, but NoFiles is an option of the socket, so the kernel rejects descriptors from l's clients too.
func (config Config) NewListener(l net.Listener) (*Listener, error) {
	made, err := config.newListener(l)
	if err != nil {
		return nil, opError("listener", err)
	}
	return made, nil
}

func (config Config) newListener(l net.Listener) (*Listener, error) {
	if err := checkPresent("listener", l); err != nil {
		return nil, err
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	made := &Listener{config: config, ctx: context.Background()}
	made.base = made
	switch l := l.(type) {
	case *net.UnixListener:
		made.UnixListener = l
	case *Listener:
		made.UnixListener, made.addr, made.file = l.UnixListener, l.addr, l.file
		made.accepts, made.ctx = l.accepts, cmp.Or(l.ctx, made.ctx)
	case sys.OwnedListener: // of package handover: the process that created the socket's file has left it to this one
		made.UnixListener = l.UnixListener
		if l.Path != "" {
			made.addr = unixAddr(l.Addr().Network(), l.Path)
			made.file, _ = newSocketFile(l.Path, l, &l.FileID) // nil if the file is gone
		}
		made.config.NoFiles = config.NoFiles || l.NoFiles
	default:
		return nil, fmt.Errorf("%w: a %T", ErrNotUnix, l)
	}
	if made.accepts == nil {
		made.accepts = &direction{socket: made.UnixListener}
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
		made.file = &socketFile{names: []string{made.addr.Name}, info: found, theirs: made.UnixListener, keeping: map[any]bool{}}
	}
	return made, nil
}

// Listen creates a listening socket, and replaces a stale socket file, whose socket no process has open.
// network is "unix" (a stream) or "unixpacket". addr is as for [Dial]. If addr is "", Linux chooses an
// abstract name. Do not use a path that other users can change (SECURITY.md). The error can wrap [ErrInUse].
// The caller must close the Listener.
func Listen(ctx context.Context, network, addr string) (*Listener, error) {
	return Config{}.Listen(ctx, network, addr)
}

// Listen is [Listen] with config.
func (config Config) Listen(ctx context.Context, network, addr string) (*Listener, error) {
	addr = abstractName(addr)
	made, file, err := config.bind(ctx, network, addr, config.listen, "unix", "unixpacket")
	if err != nil {
		return nil, listenError(network, addr, err)
	}
	l := made.(*net.UnixListener)
	at := l.Addr().(*net.UnixAddr)
	if addr != "" {
		at = unixAddr(network, addr)
	}
	listener := &Listener{UnixListener: l, addr: at, config: config, file: file}
	listener.accepts, listener.base, listener.ctx = &direction{socket: l}, listener, context.Background()
	return listener, nil
}

// ListenPacket creates a named datagram socket. network is "unixgram". It treats addr and the socket file, and
// fails, as [Listen] does. The caller must close the Conn. To reply, call Send with the message's Addr, but only to
// an abstract name, or a path outside /proc in a directory that only you can write to. Clients use [DialPacket].
func ListenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	return Config{}.ListenPacket(ctx, network, addr)
}

// ListenPacket is [ListenPacket] with config.
func (config Config) ListenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	addr = abstractName(addr)
	made, file, err := config.bind(ctx, network, addr, config.listen, "unixgram")
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
	return &net.OpError{Op: "listen", Net: network, Addr: unixAddr(network, addr), Err: withoutOp(err)}
}

// A binder creates a socket with this name. The result is nil if there is an error.
type binder func(ctx context.Context, network, name string) (netSocket, error)

// bind creates a socket with the name addr, and replaces a stale socket file. On error no socket is open, and
// the new socket file is removed, unless the path now leads to a different file.
func (config Config) bind(ctx context.Context, network, addr string, create binder, known ...string) (made netSocket, file *socketFile, err error) {
	if err := cmp.Or(ctx.Err(), config.check(), checkNetwork(network, known...)); err != nil {
		return nil, nil, err
	}
	if config.Mode&^fs.ModePerm != 0 {
		return nil, nil, fmt.Errorf("mode %#o has bits other than permissions (0777): %w", config.Mode, syscall.EINVAL)
	}
	if config.Mode != 0 && isAbstract(addr) {
		return nil, nil, fmt.Errorf("cannot set mode %#o, because an abstract name %q has no file: %w", config.Mode, addr, syscall.EINVAL)
	}
	if !isAbstract(addr) && len(addr) > sys.MaxPath { // bind would use its directory, but Close could not
		return nil, nil, fmt.Errorf("the path is %d bytes long, but the maximum is %d: %w", len(addr), sys.MaxPath, sys.ENAMETOOLONG)
	}
	name, err := shorten(addr)
	if err != nil {
		return nil, nil, err
	}
	defer name.close()
	bind := func() (netSocket, error) { return create(ctx, network, name.text) }
	if !isAbstract(addr) {
		made, file, err = config.bindPath(ctx, addr, name.text, bind)
	} else if made, err = bind(); sys.InUse(err) {
		err = sys.ErrLive
	}
	return made, file, name.explain(err)
}

// bindPath is bind for a path, which name is a short name for.
func (config Config) bindPath(ctx context.Context, path, name string, bind func() (netSocket, error)) (netSocket, *socketFile, error) {
	made, file, left, err := config.createFile(path, bind)
	if sys.InUse(err) {
		unlock, failed := removeStale(ctx, path, name)
		if failed != nil {
			return nil, nil, failed
		}
		made, file, left, err = config.createFile(path, bind)
		if sys.InUse(err) { // another process has just bound the path
			err = sys.ErrLive
		}
		unlock()
	}
	if left {
		if unlock, failed := removeStale(context.Background(), path, name); failed == nil {
			unlock()
		}
	}
	return made, file, err
}

// createFile creates a socket and its file, whose permissions it sets. On error no socket is open. left reports
// whether the socket file was left.
func (config Config) createFile(path string, bind func() (netSocket, error)) (made netSocket, file *socketFile, left bool, err error) {
	if made, err = bind(); err != nil {
		return nil, nil, afterBind(err), err
	}
	if file, err = newSocketFile(path, made, nil); err != nil {
		left = true
	} else if err = file.setMode(config.Mode); err != nil {
		_ = file.remove()
	}
	if err != nil {
		_ = made.Close()
		return nil, nil, left, err
	}
	return made, file, false, nil
}

// listen is a binder.
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

// Accept is AcceptConn with the result type that [net.Listener] requires. The caller must close the *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn waits for the next connection and returns it with the Config of l. The caller must close it. If
// [Config].Check returns an error, AcceptConn closes the connection and waits for the next one. After Close,
// its error wraps [net.ErrClosed].
func (l *Listener) AcceptConn() (*Conn, error) {
	if err := l.usable(); err != nil {
		return nil, opError("accept", err)
	}
	for {
		var accepted *net.UnixConn
		err := l.accepts.run(l.ctx, func() (err error) {
			accepted, err = l.AcceptUnix()
			return err
		})
		if err != nil {
			return nil, l.fail("accept", err)
		}
		c, err := l.config.newConn(accepted)
		if err != nil {
			_ = accepted.Close()
			return nil, l.fail("accept", err)
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

// Close closes the socket, after removing the file that Listen created, unless another file has replaced it or
// SendListener has sent the socket. If the removal fails, it closes the socket anyway and returns the error. A
// client not yet accepted can block it: see [Conn.Close]. Closing the embedded UnixListener leaves the file, so
// pass the Listener itself to http.Serve.
func (l *Listener) Close() error {
	if err := l.usable(); err != nil {
		return opError("close", err)
	}
	removed := l.file.remove()
	if err := l.UnixListener.Close(); err != nil {
		return err
	}
	return l.fail("close", removed)
}

// fail wraps err in a *net.OpError, as the methods of a net.Listener do.
func (l *Listener) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: l.addr.Net, Addr: l.addr, Err: withoutOp(err)}
}

// checkLiteral returns an error if self is a Listener without a UnixListener. A struct that embeds one is accepted.
func (l *Listener) checkLiteral(self any) error {
	if self == any(l) && l.UnixListener == nil {
		return errListenerLiteral
	}
	return nil
}

// usable returns an error for nil and for a struct literal.
func (l *Listener) usable() error {
	switch {
	case l == nil:
		return nilError("Listener")
	case l.UnixListener == nil || l.addr == nil:
		return errListenerLiteral
	}
	return nil
}

// Addr returns a [*net.UnixAddr], as [Conn.LocalAddr] does.
func (l *Listener) Addr() net.Addr {
	if l.usable() != nil {
		return nil
	}
	return l.addr
}

func (l *Listener) socketFile() (*socketFile, any) { return l.file, l.base }

// SetUnlinkOnClose sets whether Close removes the socket file, as [Conn.SetUnlinkOnClose] does. If Listen did
// not create it, SetUnlinkOnClose calls that of the UnixListener.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	if l != nil {
		l.file.keep(l.base, !unlink)
	}
}
