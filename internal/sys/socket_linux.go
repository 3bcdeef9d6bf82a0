package sys

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// PairRoom is the room that CMSG_SPACE(sizeof(int)) has: two descriptors on
// 64-bit systems.
const PairRoom = (unix.SizeofPtr-4)/4 + 1

func socketFamily(fd int) (int, error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return family, os.NewSyscallError("getsockopt", socketError(fd, err))
}

// Socket returns a new blocking socket that is close-on-exec. network is one of package net's.
func Socket(network string) (int, error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

// Pair returns two connected blocking sockets that are close-on-exec.
func Pair(network string) (a, b int, err error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socketpair", err)
	}
	return pair[0], pair[1], nil
}

// SetNonblock changes the one flag and never waits. fcntl of F_SETFL writes all flags
// back: it undoes what another process changed since F_GETFL.
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

// HasPoll reports whether a file has a poll method, for want of which the runtime's poller does
// not take it. epoll_ctl(2) looks at that first (EPERM), and only then whether its first
// argument is an epoll (EINVAL): it takes no lock, and calls nothing of the file. It never waits, and to
// keep it from the scheduler gains 1% of a file. EBADF is of a descriptor opened with O_PATH.
func HasPoll(fd int) bool {
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(fd), unix.EPOLL_CTL_DEL, uintptr(fd), 0, 0, 0)
	return errno != unix.EPERM && errno != unix.EBADF
}

// Pollable reports whether a received file that has a poll method may enter the runtime's poller.
// The kernel calls the method with the epoll locked: if the method waits, the process stops. A FUSE
// server, a process that holds a lock of an epoll or of a vsock socket, and an unknown driver can make it wait.
// The methods of the files admitted here never wait, except a terminal's.
//
// The questions that identify the file must not wait either. fstat(2) waits for a FUSE server, and
// F_GETPIPE_SZ for a partner that reads from the pipe.
func Pollable(fd int) bool {
	if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil {
		return isNetFamily(family) || family == unix.AF_NETLINK || family == unix.AF_PACKET
	}
	mode, device, err := inode(fd)
	if err != nil {
		return false
	}
	switch kindOf(mode) {
	case "pipe":
		return true
	case "character device":
		return isTerminal(device)
	}
	// Only the kernel gives out names that do not begin with a slash.
	name, err := linkOf(fd)
	if err != nil {
		return false
	}
	switch AnonymousKind(name) {
	case "eventfd", "timerfd", "signalfd", "inotify", "pidfd":
		return true
	}
	return false
}

// isTerminal reports whether a character device is a terminal: /dev/tty, /dev/console, /dev/ptmx, or
// the master or slave of a pseudoterminal.
func isTerminal(device uint64) bool {
	major, minor := unix.Major(device), unix.Minor(device)
	return major == 5 && minor <= 2 || major == unix98PTYs
}

// unix98PTYs is UNIX98_PTY_SLAVE_MAJOR of linux/major.h.
const unix98PTYs = 136

// HasNetType reports whether package net has a type for a socket.
func HasNetType(fd int) bool {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && isNetFamily(family)
}

func isNetFamily(family int) bool {
	return family == unix.AF_UNIX || family == unix.AF_INET || family == unix.AF_INET6
}

func spare() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	return fd, os.NewSyscallError("eventfd2", err)
}

// Replace gives the number own fd's file in place of its own.
func Replace(own, fd int) error {
	return os.NewSyscallError("dup3", unix.Dup3(fd, own, unix.O_CLOEXEC))
}

// CloseAll closes descriptors: numbers that follow one another by one close_range(2), which with 16 gains
// a quarter of sending, receiving and closing. Linux before 5.9 does not have it, and a filter can refuse it.
func CloseAll(fds []int) {
	for n := 0; len(fds) > 0; fds = fds[n:] {
		for n = 1; n < len(fds) && fds[n] == fds[n-1]+1; n++ {
		}
		if n > 1 && unix.CloseRange(uint(fds[0]), uint(fds[n-1]), 0) == nil {
			continue
		}
		for _, fd := range fds[:n] {
			Close(fd)
		}
	}
}
