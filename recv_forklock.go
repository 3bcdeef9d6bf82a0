//go:build aix || darwin || solaris

package scm

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// These systems have no MSG_CMSG_CLOEXEC: the backend sets close-on-exec after
// the receive, and no child may be started in between. The lock that holds
// that off must not be held while a receive blocks, so the socket is waited for
// first and the receive does not wait.

func recvOne(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	wait := flags&dontWait == 0 && blocking(sock)
	for {
		if wait {
			if err := waitReadable(sock); err != nil {
				return -1, 0, 0, err
			}
		}
		syscall.ForkLock.RLock()
		n, nfd, rflags, err = recvMsg(sock, bufs, fds, flags|dontWait)
		syscall.ForkLock.RUnlock()
		if !wait || err != unix.EAGAIN {
			return n, nfd, rflags, err
		}
	}
}

// readOne is ReadFD's receive by way of recvOne: readFD has no flags.
func readOne(sock int32, p []byte) (n int, fd int32, err error) {
	bufs := [1][]byte{p}
	var fds [1]int32
	n, nfd, flags, err := recvOne(sock, bufs[:], fds[:], 0)
	switch {
	case err != nil:
		return -1, -1, err
	case flags&unix.MSG_CTRUNC != 0:
		if nfd == 1 {
			_ = unix.Close(int(fds[0]))
		}
		return n, fdLost, nil
	case nfd == 0:
		return n, -1, nil
	}
	return n, fds[0], nil
}

// blocking tells whether a receive would wait. A number that cannot be asked
// gets its error from the receive.
func blocking(sock int32) bool {
	flags, err := unix.FcntlInt(uintptr(sock), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_NONBLOCK == 0
}

func waitReadable(sock int32) error {
	_, err := unix.Poll([]unix.PollFd{{Fd: sock, Events: unix.POLLIN}}, -1)
	return err
}
