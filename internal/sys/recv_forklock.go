//go:build aix || darwin || solaris

package sys

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

const RecvNeedsForkLock = true

// CmsgCloexec is 0 because these systems lack MSG_CMSG_CLOEXEC, or x/sys does not define it (illumos has it
// in recent versions only).
const CmsgCloexec = 0

// RecvWithForkLock keeps child processes from being started between a receive and the fcntl(2) with which
// the backend makes the received descriptors close-on-exec. A receive must not block while it holds the
// lock, so RecvWithForkLock waits for the socket first, and then receives without waiting.
func RecvWithForkLock(sock int32, flags int, receive func(flags int) error) error {
	wait := flags&DontWait == 0 && blocking(sock)
	for {
		if wait {
			if err := waitReadable(sock); err != nil {
				return err
			}
		}
		syscall.ForkLock.RLock()
		err := receive(flags | DontWait)
		syscall.ForkLock.RUnlock()
		if !wait || err != unix.EAGAIN {
			return err
		}
	}
}

// blocking reports whether the socket blocks. If fcntl fails, the receive will return the error.
func blocking(sock int32) bool {
	flags, err := unix.FcntlInt(uintptr(sock), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_NONBLOCK == 0
}

// waitReadable waits as long as a receive would. With SO_RCVTIMEO it returns EAGAIN after the timeout.
func waitReadable(sock int32) error {
	timeout := -1
	limit, err := unix.GetsockoptTimeval(int(sock), unix.SOL_SOCKET, unix.SO_RCVTIMEO)
	if err == nil && limit.Nano() > 0 {
		timeout = int(min((limit.Nano()+999_999)/1_000_000, math.MaxInt32))
	}
	fds := []unix.PollFd{{Fd: sock, Events: unix.POLLIN}}
	n, err := unix.Poll(fds, timeout)
	for err == unix.EINTR {
		n, err = unix.Poll(fds, timeout)
	}
	if err == nil && n == 0 {
		return unix.EAGAIN
	}
	return err
}
