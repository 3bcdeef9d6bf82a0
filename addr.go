package scm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

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
		handle := fmt.Sprintf("/proc/thread-self/fd/%d", folder.Fd())
		if len(handle)+1+len(base) > limit { // shorter, but leads nowhere once the main thread has ended
			handle = fmt.Sprintf("/proc/self/fd/%d", folder.Fd())
		}
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

// wholeAddr returns at, the local address of s in package net, with its whole name. Package net ends an abstract name
// at its first 0 byte, and shows a path that begins with "@" as an abstract name.
func wholeAddr(s syscall.Conn, at net.Addr) *net.UnixAddr {
	u, ok := at.(*net.UnixAddr)
	if ok && isAbstract(u.Name) {
		if raw, err := s.SyscallConn(); err == nil {
			_ = sys.Control(raw, func(fd int) error { u = unixAddr(u.Net, sys.LocalName(fd, u.Name)); return nil })
		}
	}
	return u
}

func unixAddr(network, name string) *net.UnixAddr {
	return &net.UnixAddr{Net: network, Name: name}
}
