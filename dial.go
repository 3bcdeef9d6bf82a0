package scm

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// Dial connects to a Unix socket, as [net.Dialer] does. network is "unix" for a stream, "unixgram"
// or "unixpacket". addr is a path or, on Linux, an abstract name: "@" or a 0 byte, followed by up to
// 107 bytes of any value. Addresses and errors show the 0 byte as "@". For a C program that binds
// sizeof(struct sockaddr_un), append 0 bytes up to 107. A path that is longer than sun_path (107 bytes on Linux, 103
// on the BSDs) is reached through its folder on Linux, and otherwise ENAMETOOLONG.
//
// While a listening socket's queue is full Dial tries again, until ctx is done. Errors are ctx's,
// [net.UnknownNetworkError], or wrap the errno: ECONNREFUSED where no process has the socket open,
// ENOENT, EACCES, EPROTOTYPE for a socket of another type, …
func Dial(ctx context.Context, network, addr string) (*Conn, error) {
	return Config{}.Dial(ctx, network, addr)
}

// Dial is [Dial] with config.
func (config Config) Dial(ctx context.Context, network, addr string) (*Conn, error) {
	addr = abstractName(addr)
	c, err := config.dial(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: unixAddr(network, addr), Err: cause(err)}
	}
	return c, nil
}

func (config Config) dial(ctx context.Context, network, addr string) (*Conn, error) {
	if err := checkNetwork(network, "unix", "unixgram", "unixpacket"); err != nil {
		return nil, err
	}
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error { return config.prepare(raw, 0) }}
	var c net.Conn
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := withName(addr, func(name string) (err error) {
			c, err = d.DialContext(ctx, network, name)
			return err
		})
		if err == nil {
			break
		}
		// The poller has no sign of room in the queue.
		if !sys.Again(err) {
			return nil, err
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

// prepare does what config says with a new socket, before it is bound or connected.
func (config Config) prepare(raw syscall.RawConn, mode uint32) error {
	return control(raw, func(fd int) (err error) {
		if config.NoFiles {
			err = PassRights(fd, false)
		}
		if err == nil && mode != 0 {
			err = sys.Restrict(fd, mode)
		}
		return err
	})
}

// sleep waits for what cannot be polled for: for a time, or until ctx is done, which is its
// error.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func checkNetwork(network string, known ...string) error {
	for _, k := range known {
		if network == k {
			return nil
		}
	}
	return net.UnknownNetworkError(network)
}

// withName calls use with a name that the kernel takes for addr: addr itself or, for a path
// that is too long for sun_path, one by way of its folder.
func withName(addr string, use func(name string) error) error {
	most := sys.MaxName
	switch {
	case !sys.HasConns:
		return ErrUnsupported
	case isAbstract(addr):
		most = sys.MaxAbstract
	case strings.IndexByte(addr, 0) >= 0: // the kernel would take it for a shorter one
		return fmt.Errorf("address %q has a 0 byte: %w", addr, syscall.EINVAL)
	case len(addr) > most && sys.HasLongPaths:
		dir, base := filepath.Split(addr)
		folder, err := sys.OpenFolder(dir)
		if err != nil {
			return err
		}
		defer func() { _ = folder.Close() }()
		if name := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), base); len(name) <= most {
			return use(name)
		}
	}
	if len(addr) > most {
		return fmt.Errorf("address of %d bytes, sun_path holds %d: %w", len(addr), most, sys.ENAMETOOLONG)
	}
	return use(addr)
}

// abstractName replaces the 0 byte at the beginning of an abstract name by "@", as package net does
// in the addresses that it returns.
func abstractName(addr string) string {
	if sys.HasAbstract && strings.HasPrefix(addr, "\x00") {
		return "@" + addr[1:]
	}
	return addr
}

// isAbstract reports names that are no paths: those with "@" in the place of the 0 byte, and
// the empty one, for which the kernel chooses.
func isAbstract(addr string) bool {
	return sys.HasAbstract && (addr == "" || addr[0] == '@')
}

func unixAddr(network, name string) *net.UnixAddr {
	return &net.UnixAddr{Net: network, Name: name}
}
