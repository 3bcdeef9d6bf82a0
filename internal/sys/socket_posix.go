//go:build unix && !linux

package sys

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// These systems differ in which calls can make a new socket close-on-exec. On all of them fcntl can do
// it afterwards, if no child process can be started in between.

// PairRoom is 1: the size of the control buffer is not exact on these systems anyway.
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

// needUnix returns the error of PeerCred unless sock is a Unix socket. The options of Unix sockets have the numbers of
// IP's. On a TCP socket, getsockopt would succeed, and its result would be the user root.
func needUnix(sock int) error {
	family, err := socketFamily(sock)
	if err == nil && family != unix.AF_UNIX {
		err = os.NewSyscallError("getsockopt", unix.ENOTCONN)
	}
	return err
}

func Socket(network string) (int, error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, err
	}
	return closedOnExec("socket", func() (int, error) { return unix.Socket(unix.AF_UNIX, typ, 0) })
}

func SetNonblock(fd int, on bool) error {
	return os.NewSyscallError("fcntl", unix.SetNonblock(fd, on))
}

func Pair(network string) (a, b int, err error) {
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
	unix.CloseOnExec(pair[0])
	unix.CloseOnExec(pair[1])
	return pair[0], pair[1], nil
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

func dup(fd, lowest int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, lowest)
	if err == nil {
		unix.CloseOnExec(own)
	}
	return own, err
}

func spare() (int, error) { return Socket("unixgram") }

// Replace makes the descriptor own refer to fd's file.
func Replace(own, fd int) error {
	_, err := closedOnExec("dup2", func() (int, error) { return own, unix.Dup2(fd, own) })
	return err
}

// CloseAll closes descriptors.
func CloseAll(fds []int) {
	for _, fd := range fds {
		Close(fd)
	}
}
