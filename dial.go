package scm

import (
	"context"
	"net"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// Dial connects to a Unix socket, by socket(2) and connect(2). network is "unix"
// for a stream, "unixgram" or "unixpacket". addr is a path or, on Linux, an
// abstract name: "@", which stands for the 0 byte at its beginning, and up to 107
// bytes of any value. Most C programs bind a name without 0 bytes at its end; for
// one that binds sizeof(struct sockaddr_un), append them up to 107.
//
// sun_path holds a path of 107 bytes on Linux, 103 on the BSDs and macOS. On Linux
// Dial reaches a longer path through its folder (/proc/thread-self/fd), if its last
// element has at most 80 bytes while the process has fewer than 100,000 descriptors,
// and a byte less for each further digit; otherwise the error is ENAMETOOLONG.
//
// While a listening socket's queue is full Dial tries again, until ctx is done. ctx
// does not end a system call that waits for the file system of a path. ctx is for
// the call alone, and not for the Conn. Errors are ctx's,
// [net.UnknownNetworkError], or wrap the errno: ECONNREFUSED where no process has
// the socket open, ENOENT, EACCES, EPROTOTYPE for a socket of another type, …
func Dial(ctx context.Context, network, addr string) (*Conn, error) {
	return Config{}.Dial(ctx, network, addr)
}

// Dial is [Dial] with config.
func (config Config) Dial(ctx context.Context, network, addr string) (*Conn, error) {
	c, err := config.dial(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: unixAddr(network, addr), Err: err}
	}
	return c, nil
}

func (config Config) dial(ctx context.Context, network, addr string) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := sys.Socket(network, true)
	if err != nil {
		return nil, err
	}
	if config.NoFiles {
		err = PassRights(fd, false)
	}
	if err == nil {
		err = connect(ctx, fd, addr)
	}
	if err != nil {
		sys.Close(fd)
		return nil, err
	}
	c, err := config.take(fd, nil)
	if err == nil {
		c.remote = unixAddr(network, addr) // the short name of a long path says nothing
	}
	return c, err
}

// connect waits while the other end's queue is full, which cannot be polled for.
func connect(ctx context.Context, fd int, addr string) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := withName(addr, func(name string) error { return sys.Connect(fd, name) })
		if !sys.Again(err) {
			return err
		}
		if err := sys.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// socketNames returns the addresses of both ends: the own one is unnamed and the other one
// nil where there is none, or where the system does not report it.
func socketNames(fd int, network string) (local, remote *net.UnixAddr) {
	local = unixAddr(network, "")
	if name, err := sys.LocalName(fd); err == nil {
		local = unixAddr(network, name)
	}
	if name, err := sys.RemoteName(fd); err == nil {
		remote = unixAddr(network, name)
	}
	return local, remote
}

func unixAddr(network, name string) *net.UnixAddr {
	return &net.UnixAddr{Net: network, Name: name}
}
