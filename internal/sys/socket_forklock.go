//go:build unix && !linux

package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// These systems differ in which calls can make a socket close-on-exec. All can
// do it while no child process can be started.

// PairRoom is for one descriptor: the room is not exact here in any case.
const PairRoom = 1

func socketFamily(fd int) (int, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return -1, os.NewSyscallError("getsockname", err)
	}
	if _, ok := sa.(*unix.SockaddrUnix); !ok {
		return unix.AF_UNSPEC, nil
	}
	return unix.AF_UNIX, nil
}

// LocalName is the name that a socket is bound to, "" if it has none.
func LocalName(fd int) (string, error) {
	sa, err := unix.Getsockname(fd)
	return nameOf(sa), err
}

// RemoteName is the name of the socket at the other end, "" if it has none.
func RemoteName(fd int) (string, error) {
	sa, err := unix.Getpeername(fd)
	return nameOf(sa), err
}

// InternetName is the own name of a socket of AF_INET or AF_INET6, or its peer's.
func InternetName(fd int, peer bool) (netip.AddrPort, error) {
	ask := unix.Getsockname
	if peer {
		ask = unix.Getpeername
	}
	sa, err := ask(fd)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), err
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).WithZone(zone(sa.ZoneId)), uint16(sa.Port)), err
	}
	return netip.AddrPort{}, err
}

// internetFamily reports whether a socket is of AF_INET or AF_INET6.
func internetFamily(fd int) (bool, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return false, os.NewSyscallError("getsockname", err)
	}
	switch sa.(type) {
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
		return true, nil
	}
	return false, nil
}

func nameOf(sa unix.Sockaddr) string {
	if un, ok := sa.(*unix.SockaddrUnix); ok && un.Name != "@" { // what x/sys can have where there is no name
		return un.Name
	}
	return ""
}

func Socket(network string, nonblock bool) (int, error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, err
	}
	return made("socket", nonblock, func() (int, error) { return unix.Socket(unix.AF_UNIX, typ, 0) })
}

func SetNonblock(fd int, on bool) error {
	return os.NewSyscallError("fcntl", unix.SetNonblock(fd, on))
}

func Pair(network string, nonblock bool) (a, b int, err error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, -1, err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	pair, err := unix.Socketpair(unix.AF_UNIX, typ, 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range pair {
		unix.CloseOnExec(fd)
		if err == nil && nonblock {
			err = unix.SetNonblock(fd, true)
		}
	}
	if err != nil {
		Close(pair[0])
		Close(pair[1])
		return -1, -1, os.NewSyscallError("fcntl", err)
	}
	return pair[0], pair[1], nil
}

// Accept does not wait: the socket does not block.
func Accept(sock int) (int, error) {
	return made("accept", true, func() (int, error) {
		fd, _, err := unix.Accept(sock)
		return fd, err
	})
}

// made makes a descriptor that is close-on-exec.
func made(name string, nonblock bool, create func() (int, error)) (int, error) {
	fd, err := closedOnExec(name, create)
	if err != nil || !nonblock {
		return fd, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

func closedOnExec(name string, create func() (int, error)) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := create()
	if err != nil {
		return -1, os.NewSyscallError(name, err)
	}
	unix.CloseOnExec(fd)
	return fd, nil
}

// Dup returns a bare errno.
func Dup(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	own, err := unix.Dup(fd)
	if err == nil {
		unix.CloseOnExec(own)
	}
	return own, err
}

// openFolder opens a folder to lock it.
func openFolder(path string) (fd int, err error) {
	for {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, os.NewSyscallError("open", err)
		}
	}
}

func unlink(path string) error { return os.NewSyscallError("unlink", unix.Unlink(path)) }

// chmod follows no link.
func chmod(path string, mode fs.FileMode) error {
	err := unix.Fchmodat(unix.AT_FDCWD, path, uint32(mode), unix.AT_SYMLINK_NOFOLLOW)
	return os.NewSyscallError("fchmodat", err)
}

// Restrict has nothing to do for a socket that listens: nobody can connect
// before it does, and by then its file has its permissions.
func Restrict(_ int, network string, mode fs.FileMode) error {
	if network == "unixgram" {
		return fmt.Errorf("mode %v for %s: %w", mode, network, errors.ErrUnsupported)
	}
	return nil
}

// Pollable reports whether the runtime's poller can have a received descriptor: pipes
// and sockets can. fstat(2) asks a file of a FUSE file system's server.
func Pollable(fd int) bool {
	if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
		return true
	}
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && kindOf(uint32(st.Mode)) == "pipe"
}

func spare() (int, error) {
	return closedOnExec("socket", func() (int, error) { return unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0) })
}

// Replace gives the number own fd's file in place of its own.
func Replace(own, fd int) error {
	_, err := closedOnExec("dup2", func() (int, error) { return own, unix.Dup2(fd, own) })
	return err
}

// ReadShut is not needed here: recvmsg itself reports the end, with 0 bytes.
func ReadShut(int32) bool { return false }
