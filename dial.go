package scm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// Dial connects to a Unix socket, as [net.Dialer] does. network is "unix" (a stream), "unixgram" or
// "unixpacket". The caller must close the Conn.
//
// addr is a path or, on Linux, an abstract name: "@" or a 0 byte, followed by up to 107 bytes of any value.
// Addresses and errors show the 0 byte as "@". To reach a C program that binds sizeof(struct sockaddr_un),
// append 0 bytes until 107 bytes follow the "@".
//
// sun_path has space for a path of 107 bytes on Linux and of 103 bytes on the BSDs. On Linux, Dial connects
// to a longer path through its directory, if the last element of the path has at most about 90 bytes. This
// requires /proc. For any other longer path, and on other systems, the error wraps ENAMETOOLONG.
//
// While the listening socket's queue is full, Dial retries until ctx is done. The error is a [*net.OpError]
// that wraps ctx's error, a [net.UnknownNetworkError] or the errno: ECONNREFUSED if no process has the
// socket open, EPROTOTYPE if the socket has another type, ENOENT, EACCES, …
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
	if err := config.check(); err != nil {
		return nil, err // before the server accepts a connection
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
		// The poller does not report when the queue has space again.
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

// prepare applies config to a new socket before it is bound or connected.
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

// sleep waits for pause. If ctx is done first it returns ctx's error.
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

// withName calls use with a name for addr that fits into sun_path: addr itself or, if addr is a path that
// is too long, a name that leads through a descriptor of its directory.
func withName(addr string, use func(name string) error) error {
	limit := sys.MaxName
	switch {
	case !sys.HasConns:
		return errors.ErrUnsupported
	case isAbstract(addr):
		limit = sys.MaxAbstract
	case strings.IndexByte(addr, 0) >= 0: // the kernel would end the path there
		return fmt.Errorf("path %q contains a zero byte: %w", addr, syscall.EINVAL)
	case len(addr) > limit && sys.HasLongPaths:
		dir, base := filepath.Split(addr)
		folder, err := sys.OpenFolder(dir)
		if err != nil {
			return err
		}
		defer func() { _ = folder.Close() }()
		handle := fmt.Sprintf("/proc/self/fd/%d", folder.Fd())
		if name := handle + "/" + base; len(name) <= limit {
			return needsProc(use(name), handle)
		}
	}
	if len(addr) > limit {
		return fmt.Errorf("the address is %d bytes long, but sun_path holds at most %d: %w", len(addr), limit, sys.ENAMETOOLONG)
	}
	return use(addr)
}

// needsProc returns err. If the descriptor's name handle does not exist, the error says that /proc is missing.
func needsProc(err error, handle string) error {
	if err != nil {
		if _, missing := os.Lstat(handle); missing != nil {
			return fmt.Errorf("an address that is too long for sun_path requires /proc: %w", cause(err))
		}
	}
	return err
}

// abstractName replaces a leading 0 byte with "@", as package net does in the addresses that it returns.
func abstractName(addr string) string {
	if sys.HasAbstract && strings.HasPrefix(addr, "\x00") {
		return "@" + addr[1:]
	}
	return addr
}

// isAbstract reports whether addr is not a path: either it begins with "@", or it is empty and the kernel
// chooses an abstract name.
func isAbstract(addr string) bool {
	return sys.HasAbstract && (addr == "" || addr[0] == '@')
}

func unixAddr(network, name string) *net.UnixAddr {
	return &net.UnixAddr{Net: network, Name: name}
}
