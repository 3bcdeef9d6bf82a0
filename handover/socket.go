package handover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// A socket describes a socket or a file in the protocol.
type socket struct {
	Name    string `json:"name"`
	Network string `json:"network,omitempty"`
	Address []byte `json:"address,omitempty"` // JSON has them in base64, because a path need not be UTF-8
	Created bool   `json:"created,omitempty"`
	sys.FileID
}

func isUnix(network string) bool { return strings.HasPrefix(network, "unix") }

// absolute makes a path absolute, and makes the abstract name of a socket begin with "@". It asks the kernel for the
// directory, because $PWD may lead elsewhere. It does not clean the result, because the element before ".." may be a
// symbolic link.
func absolute(path string, isSocket bool) (string, error) {
	switch {
	case path == "" || filepath.IsAbs(path):
		return path, nil
	case isSocket && sys.HasAbstract && (path[0] == '@' || path[0] == 0):
		return "@" + path[1:], nil
	}
	dir, err := syscall.Getwd()
	return dir + string(filepath.Separator) + path, os.NewSyscallError("getcwd", err)
}

// path returns the path of the file that this process has to remove, or "".
func (want socket) path() string {
	if want.Created && isUnix(want.Network) && !bytes.HasPrefix(want.Address, []byte("@")) {
		return string(want.Address)
	}
	return ""
}

// samePath reports whether two paths lead to the same name in the same directory.
func samePath(a, b string) bool {
	if a == b {
		return true
	}
	dirA, nameA := filepath.Split(a)
	dirB, nameB := filepath.Split(b)
	if nameA != nameB {
		return false
	}
	infoA, errA := os.Stat(dirA)
	infoB, errB := os.Stat(dirB)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// resolve returns the address of the socket that package net would create, or the zero AddrPort if it would
// create none.
func (want socket) resolve(ctx context.Context) (at netip.AddrPort) {
	host, service, err := net.SplitHostPort(string(want.Address))
	port, unknown := net.DefaultResolver.LookupPort(ctx, want.Network, service)
	if err != nil || unknown != nil || isUnix(want.Network) {
		return at
	}
	if host == "" { // all addresses of the machine
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port))
	}
	found, _ := net.DefaultResolver.LookupIPAddr(ctx, host)
	for i := len(found) - 1; i >= 0; i-- { // the first IPv4 address, or else the first one
		ip, _ := netip.ParseAddr(found[i].String())
		wrong := strings.HasSuffix(want.Network, "4") && !ip.Is4() || strings.HasSuffix(want.Network, "6") && ip.Is4()
		if !wrong && (ip.Is4() || !at.Addr().Is4()) {
			at = netip.AddrPortFrom(ip, uint16(port))
		}
	}
	return at
}

// isAt reports whether a socket, which is bound to the address bound, is the wanted one, which resolves to at. If at is
// zero, isAt compares only bytes and paths.
func (in *inherited) isAt(bound net.Addr, want socket, at netip.AddrPort) bool {
	asked := in.passed && in.Network == want.Network // by the predecessor
	switch {
	case asked && bytes.Equal(in.Address, want.Address):
		return true
	case bound == nil: // not a socket
		return false
	case isUnix(want.Network):
		path := string(want.Address)
		return bound.Network() == want.Network && (samePath(bound.String(), path) || asked && samePath(string(in.Address), path))
	case bound.Network() == want.Network && bound.String() == string(want.Address):
		return true
	}
	a, ok := bound.(interface{ AddrPort() netip.AddrPort })
	if !ok || !at.IsValid() || at.Port() != 0 && at.Port() != a.AddrPort().Port() { // port 0 means any port
		return false
	}
	ip := a.AddrPort().Addr().Unmap()
	if at.Addr().IsUnspecified() {
		// A "tcp" socket may accept IPv4 where a "tcp6" socket does not. Only the network distinguishes them.
		return ip.IsUnspecified() && (!in.passed || asked) // fit compares those of the service manager
	}
	return ip == at.Addr()
}

// fit reports how well a socket of the service manager serves the clients of a network: 2 if it accepts the same
// versions of IP as a new socket would, 1 if the network can use it, and 0 if it refuses clients of that network. For
// what a predecessor has passed, and for anything that is not an IP socket, it returns 2.
func (in *inherited) fit(network string) int {
	if in.passed {
		return 2
	}
	at, _ := in.bound()
	bound, ok := at.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return 2
	}
	v4, v6 := !in.onlyIPv6(), bound.AddrPort().Addr().Unmap().Is6()
	want4, want6 := !strings.HasSuffix(network, "6"), !strings.HasSuffix(network, "4")
	switch {
	case v4 == want4 && v6 == want6:
		return 2
	case want4 && want6, want4 && v4, want6 && v6:
		return 1
	}
	return 0
}

func (in *inherited) onlyIPv6() (is bool) {
	_ = withFD(in.file, func(fd int) error { is = sys.OnlyIPv6(fd); return nil })
	return is
}

// bound returns the address that a socket is bound to. If it is not a socket of package net, both results are nil. The
// error of a system call may be temporary (EMFILE), or that of a seccomp filter.
func (in *inherited) bound() (at net.Addr, err error) {
	at, known := in.at.Load().(net.Addr)
	if known {
		return at, nil
	}
	// For another file, package net would set O_NONBLOCK first, also for those who share the file.
	if is, err := isSocket(in.file); !is {
		return nil, err
	}
	l, err := hold(in.file, net.FileListener)
	if err == nil {
		defer func() { _ = l.Close() }()
		at = l.Addr()
	} else if c, failed := hold(in.file, net.FilePacketConn); failed == nil {
		defer func() { _ = c.Close() }()
		at = c.LocalAddr()
	} else if !sys.OtherKind(err) {
		return nil, err
	}
	if u, ok := at.(*net.UnixAddr); ok { // package net ends an abstract name at its first zero byte
		whole := net.UnixAddr{Net: u.Net, Name: u.Name}
		_ = withFD(in.file, func(fd int) error { whole.Name = sys.LocalName(fd, u.Name); return nil })
		at = &whole
	}
	if at != nil {
		in.at.Store(at)
	}
	return at, nil
}

// isLost reports whether path, as seen from this process, does not lead to the Unix socket with this path. Without
// permission to know, it returns false.
func (in *inherited) isLost(path string) (is bool) {
	if !filepath.IsAbs(path) {
		return false
	}
	info, err := os.Stat(path) // clients follow a symbolic link
	switch {
	case err != nil && !sys.IsMissing(err):
		return false
	case in.FileID != sys.FileID{}:
		return sys.FileIDOf(info, err) != in.FileID
	}
	bound, _ := in.bound()
	if in.Created || bound == nil || !samePath(bound.String(), path) { // Config.Listen may have chosen another path
		return false
	}
	if err == nil && info.Mode().Type() == os.ModeSocket {
		return false
	}
	dir, _ := filepath.Split(path)
	_ = withFD(in.file, func(fd int) error { is = sys.SamePlace(fd, dir); return nil })
	return is
}

// An inherited is a socket or file that this process has received.
type inherited struct {
	socket
	file   *os.File
	passed bool         // by the predecessor, not by the service manager
	at     atomic.Value // the result of bound
}

// isFile reports whether the predecessor passed it to Keep.
func (in *inherited) isFile() bool { return in.passed && in.Network == "" }

// An offered is a socket or file that this process passes to its successors.
type offered struct {
	socket
	conn    syscall.Conn // a Listener or Conn of package scm borrows the program's, to have a SetUnlinkOnClose of its own
	kept    bool         // the service manager has it too
	noFiles bool         // the option of Config.Unix.NoFiles is to be set once this process serves
}

func newOffered(s socket, conn syscall.Conn) offered {
	switch c := conn.(type) {
	case *scm.Listener:
		conn, _ = scm.NewListener(c)
	case *scm.Conn:
		conn, _ = scm.NewConn(c)
	}
	return offered{socket: s, conn: conn}
}

// isClosed reports whether the owner of the socket has closed it.
func (o offered) isClosed() bool {
	return withFD(o.conn, func(int) error { return nil }) != nil
}

// unlink sets whether closing the socket removes its file, unless the program has turned that off. Without Created, the
// file does not belong to this package, and stays.
func (o offered) unlink(remove bool) {
	if l, ok := o.conn.(interface{ SetUnlinkOnClose(bool) }); ok && (!remove || o.Created && !o.kept) {
		l.SetUnlinkOnClose(remove)
	}
}

// A netSocket is a listener, or a connection for packets, of package net or scm.
type netSocket interface {
	io.Closer
	syscall.Conn
}

func asSocket[T any](made T, err error) (netSocket, error) {
	s, _ := any(made).(netSocket)
	return s, err
}

// errOtherKind means that a received socket is not of the wanted kind.
var errOtherKind = errors.New("package net cannot use the socket")

// open opens a received socket that is listening or, if packets is true, that receives packets from any address. A Unix
// socket gets the options in config. If shared is true, another process may still serve it. Then open does not set the
// socket option of NoFiles, but checks that the kernel has it.
func open(f *os.File, have socket, packets bool, config scm.Config, shared bool) (made netSocket, err error) {
	noFiles := shared && config.NoFiles && isUnix(have.Network)
	if noFiles {
		a, b, err := scm.Config{NoFiles: true}.Pair("unix")
		if err != nil {
			return nil, err
		}
		_, _, config.NoFiles = a.Close(), b.Close(), false
	}
	if packets {
		made, err = asSocket(hold(f, net.FilePacketConn))
		if c, ok := made.(net.Conn); ok && c.RemoteAddr() != nil {
			_ = c.Close()
			err = os.ErrInvalid // it receives only from one address
		}
	} else {
		listens, unknown := mayListen(f)
		if err = unknown; listens {
			made, err = asSocket(hold(f, net.FileListener))
		} else if err == nil {
			err = os.ErrInvalid // package net would take a connection
		}
	}
	if errors.Is(err, os.ErrInvalid) || sys.OtherKind(err) {
		return nil, fmt.Errorf("%w: %w", errOtherKind, err)
	}
	if err != nil {
		return nil, err
	}
	owned := made
	switch u := made.(type) {
	case *net.UnixListener:
		owned, err = config.NewListener(sys.OwnedListener{UnixListener: u, Path: have.path(), FileID: have.FileID, NoFiles: noFiles})
	case *net.UnixConn:
		owned, err = config.NewConn(sys.OwnedConn{UnixConn: u, Path: have.path(), FileID: have.FileID, NoFiles: noFiles})
	}
	if err != nil {
		_ = made.Close()
		return nil, err
	}
	return owned, nil
}

// mayListen reports whether a socket is listening. It also returns true if the system does not report that.
func mayListen(f *os.File) (listens bool, err error) {
	err = withFD(f, func(fd int) (err error) {
		listens, err = sys.Listening(fd)
		return err
	})
	if sys.UnknownOption(err) {
		return true, nil
	}
	return listens, err
}

// addressOf returns the address of a listener or connection, or nil.
func addressOf(conn syscall.Conn) net.Addr {
	switch c := conn.(type) {
	case interface{ Addr() net.Addr }:
		return c.Addr()
	case interface{ LocalAddr() net.Addr }:
		return c.LocalAddr()
	}
	return nil
}

// hold calls a function of package net with f, which stays open during the call.
func hold[T any](f *os.File, call func(*os.File) (T, error)) (made T, err error) {
	err = withFD(f, func(int) error { made, err = call(f); return err })
	return made, err
}

// withFD calls f with the descriptor of a socket, which stays open during the call.
func withFD(conn syscall.Conn, f func(fd int) error) error {
	_, err := sys.Hold([]syscall.Conn{conn}, func(fds []int) error { return f(fds[0]) })
	return err
}

func isSocket(f *os.File) (is bool, err error) {
	err = withFD(f, func(fd int) (err error) { is, err = sys.IsSocket(fd); return err })
	return is, err
}

// sameSocket reports whether two descriptors refer to the same socket.
func sameSocket(a, b syscall.Conn) (same bool) {
	_, _ = sys.Hold([]syscall.Conn{a, b}, func(fds []int) error {
		id := sys.SocketID(fds[0])
		same = id != sys.FileID{} && id == sys.SocketID(fds[1])
		return nil
	})
	return same
}
