package sys

import (
	"encoding/binary"
	"io/fs"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// PairRoom is the room that CMSG_SPACE(sizeof(int)) has: two descriptors on
// 64-bit systems.
const PairRoom = (unix.SizeofPtr-4)/4 + 1

func socketFamily(fd int) (int, error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return family, os.NewSyscallError("getsockopt", socketError(fd, err))
}

// internetFamily reports whether a socket is of AF_INET or AF_INET6.
func internetFamily(fd int) (bool, error) {
	family, err := socketFamily(fd)
	return family == unix.AF_INET || family == unix.AF_INET6, err
}

// LocalName is the name that a socket is bound to, "" if it has none.
func LocalName(fd int) (string, error) {
	address, err := Sockname(fd)
	return AddrName(address), err
}

// RemoteName is the name of the socket at the other end, "" if it has none.
func RemoteName(fd int) (string, error) {
	address, err := Peername(fd)
	return AddrName(address), err
}

// ReadShut reports whether a socket's receiving was ended by shutdown(2).
func ReadShut(fd int32) bool {
	fds := []unix.PollFd{{Fd: fd, Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLRDHUP != 0
}

// InternetName is the own name of a socket of AF_INET or AF_INET6, or its peer's.
func InternetName(fd int, peer bool) (netip.AddrPort, error) {
	ask := Sockname
	if peer {
		ask = Peername
	}
	b, err := ask(fd)
	if err != nil || len(b) < 4 {
		return netip.AddrPort{}, err
	}
	port := binary.BigEndian.Uint16(b[2:])
	switch family := binary.NativeEndian.Uint16(b); {
	case family == unix.AF_INET && len(b) >= unix.SizeofSockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port), nil
	case family == unix.AF_INET6 && len(b) >= unix.SizeofSockaddrInet6:
		addr := netip.AddrFrom16([16]byte(b[8:24]))
		return netip.AddrPortFrom(addr.WithZone(zone(binary.NativeEndian.Uint32(b[24:]))), port), nil
	}
	return netip.AddrPort{}, nil
}

// openFlags are those of a new socket.
func openFlags(nonblock bool) int {
	if nonblock {
		return unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	}
	return unix.SOCK_CLOEXEC
}

// Socket returns a new socket that is close-on-exec. network is one of package net's.
func Socket(network string, nonblock bool) (int, error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, typ|openFlags(nonblock), 0)
	return fd, os.NewSyscallError("socket", err)
}

// Pair returns two connected sockets that are close-on-exec.
func Pair(network string, nonblock bool) (a, b int, err error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, typ|openFlags(nonblock), 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socketpair", err)
	}
	return pair[0], pair[1], nil
}

func Accept(sock int) (int, error) {
	fd, _, err := unix.Accept4(sock, openFlags(true))
	return fd, os.NewSyscallError("accept4", err)
}

// SetNonblock changes the one flag and never waits. fcntl of F_SETFL writes all flags
// back: it undoes what another process changed since F_GETFL, and where that was O_ASYNC
// it waits for whoever holds the socket's lock.
func SetNonblock(fd int, on bool) error {
	value := 0
	if on {
		value = 1
	}
	return os.NewSyscallError("ioctl", unix.IoctlSetPointerInt(fd, fionbio(), value))
}

// fionbio is FIONBIO, which package unix does not have.
func fionbio() uint {
	switch runtime.GOARCH {
	case "mips", "mipsle", "mips64", "mips64le":
		return 0x667e
	case "ppc64", "ppc64le":
		return 0x8004667e
	}
	return 0x5421
}

// Dup returns a bare errno.
func Dup(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

// Restrict gives the file that bind will make no more permissions than mode:
// Linux takes those of the socket, less the umask.
func Restrict(fd int, _ string, mode fs.FileMode) error {
	return os.NewSyscallError("fchmod", unix.Fchmod(fd, uint32(mode)))
}

// Pollable reports whether the runtime's poller can have a received descriptor. The
// kernel calls a file's own poll function while it holds the poller. That of pipes and
// of these sockets never waits. Those of FUSE files, of epolls and of vsock sockets wait
// for whoever has such a file.
//
// What a partner can do to a call on a received descriptor that we make before the caller
// has it, as tried on Linux 6.18 with a FUSE server that does not answer, and with a
// process that is inside a read of the same open file description into a page of such a
// file, which keeps the lock that the read took:
//
//   - ioctl of FIONBIO, fcntl of F_GETFL, F_DUPFD, F_GET_SEALS, getsockopt of SO_TYPE, SO_DOMAIN
//     and SO_ACCEPTCONN, readlink in /proc, statx with AT_STATX_DONT_SYNC and dup3 of the
//     number never wait.
//   - fstat, poll, epoll_ctl, read and close wait for a FUSE server; fstat of a FIFO on
//     FUSE, too.
//   - fcntl of F_GETPIPE_SZ waits for a reader of the pipe, lseek for one of any regular
//     file, getsockname and setsockopt for one of a TCP socket.
//   - setsockopt of any socket, so that of SO_PASSRIGHTS of a Unix socket, and getsockname
//     and accept4 of a TCP socket wait for a process that is inside setsockopt of
//     SO_ATTACH_FILTER from such a page.
//
// What waits inside the poller stops the process, and so does what waits in a system call
// of which the scheduler does not know ([syscall.RawSyscall]): the next garbage collection
// waits for it. Package net asks for names that way (net.FileConn, net.FileListener). Any
// other call holds up one thread.
func Pollable(fd int) bool {
	if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil {
		return family == unix.AF_UNIX || family == unix.AF_INET || family == unix.AF_INET6
	}
	// Not F_GETPIPE_SZ: it waits for a partner that reads from the pipe just now.
	s, err := statusOf(fd)
	return err == nil && kindOf(s.mode) == "pipe"
}

func spare() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	return fd, os.NewSyscallError("eventfd2", err)
}

// Replace gives the number own fd's file in place of its own.
func Replace(own, fd int) error {
	return os.NewSyscallError("dup3", unix.Dup3(fd, own, unix.O_CLOEXEC))
}
