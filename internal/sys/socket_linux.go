package sys

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// PairRoom is the number of descriptors that fit in CMSG_SPACE(sizeof(int)): two on 64-bit systems.
const PairRoom = (unix.SizeofPtr-4)/4 + 1

func socketFamily(fd int) (int, error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return family, os.NewSyscallError("getsockopt", socketError(fd, err))
}

// Socket returns a new blocking socket that is close-on-exec. network is a name from package net.
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

// SetNonblock sets or clears O_NONBLOCK. It changes only this flag, and never waits. F_SETFL writes all
// flags, and would undo any change that another process made since F_GETFL.
func SetNonblock(fd int, on bool) error {
	value := 0
	if on {
		value = 1
	}
	return os.NewSyscallError("ioctl", unix.IoctlSetPointerInt(fd, fionbio(), value))
}

// fionbio returns FIONBIO, which package unix does not define.
func fionbio() uint {
	switch runtime.GOARCH {
	case "mips", "mipsle", "mips64", "mips64le":
		return 0x667e
	case "ppc64", "ppc64le":
		return 0x8004667e
	}
	return 0x5421
}

// Dup returns a new close-on-exec descriptor for the file of fd. Its error is a bare errno.
func Dup(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
}

// HasPoll reports whether a file has a poll method. Without one, the runtime's poller rejects it.
// epoll_ctl(2) checks that first (EPERM), and only then whether its first argument is an epoll (EINVAL). It
// takes no lock and calls no method of the file. Because it never waits, it does not need the scheduler,
// which makes receiving a file 1% faster. EBADF means that the descriptor was opened with O_PATH.
func HasPoll(fd int) bool {
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(fd), unix.EPOLL_CTL_DEL, uintptr(fd), 0, 0, 0)
	return errno != unix.EPERM && errno != unix.EBADF
}

// Pollable reports whether a received file that has a poll method may enter the runtime's poller. The kernel
// calls the method with the epoll locked, so if the method waits, the process stops. It can wait for a FUSE
// server, for a process that holds a lock of an epoll or of a vsock socket, or in an unknown driver. The
// methods of the files that Pollable admits never wait, except that of a terminal.
//
// The system calls that identify the file must not wait either. fstat(2) waits for a FUSE server, and
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
	// Only the kernel creates names that do not begin with a slash.
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

// isTerminal reports whether a character device is a terminal: /dev/tty, /dev/console, /dev/ptmx, or the
// master or slave of a pseudoterminal.
func isTerminal(device uint64) bool {
	major, minor := unix.Major(device), unix.Minor(device)
	return major == 5 && minor <= 2 || major == unix98PTYs
}

// unix98PTYs is UNIX98_PTY_SLAVE_MAJOR of linux/major.h.
const unix98PTYs = 136

// HasNetType reports whether a file is a socket for which package net has a type.
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

// Replace makes the descriptor own refer to fd's file.
func Replace(own, fd int) error {
	return os.NewSyscallError("dup3", unix.Dup3(fd, own, unix.O_CLOEXEC))
}

// CloseAll closes descriptors. It closes consecutive ones with one close_range(2), which for 16 descriptors makes
// sending, receiving and closing them a quarter faster. Linux before 5.9 does not have close_range, and a seccomp
// filter can reject it.
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
