package scm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

func checkNetwork(network string, known ...string) error {
	if slices.Contains(known, network) {
		return nil
	}
	err := net.UnknownNetworkError(network)
	switch network {
	case "unixgram":
		return fmt.Errorf("%w: ListenPacket makes datagram sockets", err)
	case "unix", "unixpacket":
		return fmt.Errorf("%w: Listen and Dial make stream and seqpacket sockets", err)
	}
	return err
}

// A shortName is a name for an address that fits into sun_path: the address itself or, if it is a path that
// is too long, a name that leads through a descriptor of its directory.
type shortName struct {
	text   string
	handle string // the descriptor's name, or ""
	folder *os.File
}

// shorten returns a short name for addr. The caller must close it.
func shorten(addr string) (name shortName, err error) {
	limit := sys.MaxName
	switch {
	case !sys.HasConns:
		return name, errors.ErrUnsupported
	case isAbstract(addr):
		limit = sys.MaxAbstract
	case strings.IndexByte(addr, 0) >= 0: // the kernel would end the path there
		return name, fmt.Errorf("path %q contains a zero byte: %w", addr, syscall.EINVAL)
	case len(addr) > limit && sys.HasLongPaths:
		dir, base := filepath.Split(addr)
		folder, err := sys.OpenFolder(dir)
		if err != nil {
			return name, err
		}
		handle := fmt.Sprintf("/proc/thread-self/fd/%d", folder.Fd())
		if len(handle)+1+len(base) > limit { // shorter, but leads nowhere once the main thread has ended
			handle = fmt.Sprintf("/proc/self/fd/%d", folder.Fd())
		}
		name = shortName{handle + "/" + base, handle, folder}
		if len(name.text) <= limit {
			return name, nil
		}
		name.close()
		return shortName{}, fmt.Errorf("the last element of the path is %d bytes long, but can be at most %d in a path of more than %d: %w",
			len(base), limit-len(handle)-1, limit, sys.ENAMETOOLONG)
	}
	if len(addr) > limit {
		return shortName{}, fmt.Errorf("the address is %d bytes long, but sun_path holds at most %d: %w", len(addr), limit, sys.ENAMETOOLONG)
	}
	return shortName{text: addr}, nil
}

func (name shortName) close() {
	if name.folder != nil {
		_ = name.folder.Close()
	}
}

// explain returns err, the error of a call with the name. If the directory's descriptor has no name, the error
// says that /proc is missing.
func (name shortName) explain(err error) error {
	if err != nil && name.handle != "" {
		if _, missing := os.Lstat(name.handle); missing != nil {
			return fmt.Errorf("an address that is too long for sun_path requires /proc: %w", withoutOp(err))
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
	if ok && strings.HasPrefix(u.Name, "@") && u.Name != "@" { // a socket without a name is "@"
		if raw, err := s.SyscallConn(); err == nil {
			_ = sys.Control(raw, func(fd int) error { u = unixAddr(u.Net, sys.LocalName(fd, u.Name)); return nil })
		}
	}
	return u
}

func unixAddr(network, name string) *net.UnixAddr {
	return &net.UnixAddr{Net: network, Name: name}
}
