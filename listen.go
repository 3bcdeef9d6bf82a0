package scm

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// Listener is a [net.UnixListener] that accepts Conns. Deadlines, File and SyscallConn are
// package net's.
type Listener struct {
	*net.UnixListener
	addr   *net.UnixAddr
	config Config
	file   *socketFile
}

// Listen makes a listening socket, as [net.ListenConfig] does. network is "unix" for a stream or
// "unixpacket". addr is as for [Dial]; if it is "", Linux chooses an abstract name. For a path longer
// than sun_path both ends see another name, in /proc.
//
// Listen removes a socket file that is in the way if it is stale: connect(2) fails with ECONNREFUSED,
// as no process has its socket open. Otherwise, and for a name that is taken, the error is [ErrInUse].
// It never removes what is no socket. Programs that replace the same stale file wait for each other by
// flock(2) on the folder, for at most 200 ms. Do not listen on a path on which others can replace the
// file, a directory or a symbolic link: Listen and Close look the path up again after bind (SECURITY.md).
// Do not listen on an overlayfs and in its layers at once, or on a file system that other machines have.
//
// Errors are ctx's, ErrInUse, [net.UnknownNetworkError], or wrap the errno: ENOENT, EACCES, …
func Listen(ctx context.Context, network, addr string) (*Listener, error) {
	return Config{}.Listen(ctx, network, addr)
}

// Listen is [Listen] with config.
func (config Config) Listen(ctx context.Context, network, addr string) (*Listener, error) {
	addr = abstractName(addr)
	var l *net.UnixListener
	file, err := config.bind(ctx, network, addr, func(lc *net.ListenConfig, name string) (io.Closer, error) {
		if err := checkNetwork(network, "unix", "unixpacket"); err != nil {
			return nil, err
		}
		made, err := lc.Listen(ctx, network, name)
		if err != nil {
			return nil, err
		}
		l = made.(*net.UnixListener)
		keepFile(l) // socketFile removes it
		return l, nil
	})
	if err != nil {
		return nil, listenError(network, addr, err)
	}
	at := l.Addr().(*net.UnixAddr)
	if addr != "" {
		at = unixAddr(network, addr)
	}
	return &Listener{l, at, config, file}, nil
}

// ListenPacket makes a datagram socket with a name, as [net.ListenConfig] does. network is "unixgram"; addr
// is as for Listen, and so are its file and errors. Recv returns the sender's name if it has one. Send with
// that name as [Message].Addr answers, and looks the path up anew, with this process's rights: answer only
// abstract names, and paths in folders to which nobody else may write (SECURITY.md).
func ListenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	return Config{}.ListenPacket(ctx, network, addr)
}

// ListenPacket is [ListenPacket] with config.
func (config Config) ListenPacket(ctx context.Context, network, addr string) (*Conn, error) {
	addr = abstractName(addr)
	var made net.PacketConn
	file, err := config.bind(ctx, network, addr, func(lc *net.ListenConfig, name string) (_ io.Closer, err error) {
		if err = checkNetwork(network, "unixgram"); err == nil {
			made, err = lc.ListenPacket(ctx, network, name)
		}
		return made, err
	})
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
	return c, nil
}

func listenError(network, addr string, err error) error {
	return &net.OpError{Op: "listen", Net: network, Addr: unixAddr(network, addr), Err: cause(err)}
}

// bind calls listen with a name that the kernel takes for addr, and once more when a stale
// socket file is out of the way. What listen made is closed if its file is not as it should be.
func (config Config) bind(ctx context.Context, network, addr string, listen func(lc *net.ListenConfig, name string) (io.Closer, error)) (file *socketFile, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.Mode&^fs.ModePerm != 0 || config.Mode != 0 && isAbstract(addr) {
		return nil, fmt.Errorf("mode %v for %q: %w", config.Mode, addr, syscall.EINVAL)
	}
	lc := &net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return config.prepare(raw, uint32(config.Mode))
	}}
	err = withName(addr, func(name string) error {
		made, err := listen(lc, name)
		if sys.InUse(err) && !isAbstract(addr) {
			unlock, locked := lockFolder(ctx, addr)
			if locked != nil {
				return locked
			}
			defer unlock()
			if err := removeStale(addr, name); err != nil {
				return err
			}
			made, err = listen(lc, name)
		}
		if sys.InUse(err) {
			return ErrInUse
		}
		if err == nil && !isAbstract(addr) {
			if file, err = newSocketFile(addr, config.Mode); err != nil {
				_ = made.Close()
			}
		}
		return err
	})
	return file, err
}

// Accept is AcceptConn for [net.Listener]: what it returns is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn waits for the next connection, and returns it with the Config of l. It closes one that
// [Config].Check refuses, and waits on. Errors are those of [net.UnixListener.AcceptUnix].
func (l *Listener) AcceptConn() (*Conn, error) {
	if l == nil || l.UnixListener == nil {
		return nil, opError("accept", os.ErrInvalid)
	}
	for {
		accepted, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		c, err := l.config.newConn(accepted)
		if err != nil {
			_ = accepted.Close()
			return nil, &net.OpError{Op: "accept", Net: l.addr.Net, Addr: l.addr, Err: cause(err)}
		}
		if l.admits(c) {
			return c, nil
		}
	}
}

// admits reports whether Check lets c in. It closes it if not, in a goroutine: close(2) can
// wait for a client that has sent a socket with SO_LINGER.
func (l *Listener) admits(c *Conn) (ok bool) {
	if l.config.Check == nil {
		return true
	}
	defer func() { // also of a panic
		if !ok {
			go func() { _ = c.Close() }()
		}
	}()
	return l.config.Check(c) == nil
}

// Close ends calls that wait, and removes the socket file if Listen made it and it is still the same.
// If it cannot remove the file it closes the socket and returns the error. A file whose folder was
// renamed stays, and that is no error.
func (l *Listener) Close() error {
	if l == nil || l.UnixListener == nil {
		return opError("close", os.ErrInvalid)
	}
	removed := l.file.remove()
	if err := l.UnixListener.Close(); err != nil {
		return err
	}
	if removed != nil {
		return &net.OpError{Op: "close", Net: l.addr.Net, Addr: l.addr, Err: removed}
	}
	return nil
}

// Addr returns the *[net.UnixAddr] that Listen was given.
func (l *Listener) Addr() net.Addr { return l.addr }

// SetUnlinkOnClose sets whether Close removes the socket file, as it does unless SendListener
// sent the socket.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	if l != nil {
		l.file.keep(!unlink)
	}
}
