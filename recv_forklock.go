//go:build aix || darwin || solaris

package scm

import (
	"math"
	"syscall"

	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/sys"
)

// These systems have no MSG_CMSG_CLOEXEC, or only recent versions have it (illumos). The backend sets
// close-on-exec after the receive, and no child process may be started in between. A receive must not block
// while it holds the lock that prevents that, so it waits for the socket first and then receives without waiting.

func recvOne(sock int32, m *msg.Message, flags int) error {
	return withoutFork(sock, flags, func(flags int) error { return recvMsg(sock, m, flags) })
}

func recvMany(sock int32, ms []msg.Message, flags int) (n int, err error) {
	err = withoutFork(sock, flags, func(flags int) (err error) {
		n, err = recvBatch(sock, ms, flags)
		return err
	})
	return n, err
}

// readOne receives for ReadFD through recvOne, because readFD takes no flags.
func readOne(sock int32, p []byte) (n int, fd int32, err error) {
	m := msg.Message{Buffers: [][]byte{p}, FDs: make([]int, 1)}
	err = recvOne(sock, &m, 0)
	switch {
	case err != nil:
		return -1, -1, err
	case m.Flags&unix.MSG_CTRUNC != 0:
		if m.NFD == 1 {
			_ = unix.Close(m.FDs[0])
		}
		return m.N, fdLost, nil
	case m.NFD == 0:
		return m.N, -1, nil
	}
	return m.N, int32(m.FDs[0]), nil
}

// withoutFork receives while no child process can be started.
func withoutFork(sock int32, flags int, receive func(flags int) error) error {
	wait := flags&sys.DontWait == 0 && blocking(sock)
	for {
		if wait {
			if err := waitReadable(sock); err != nil {
				return err
			}
		}
		syscall.ForkLock.RLock()
		err := receive(flags | sys.DontWait)
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
	n, err := unix.Poll([]unix.PollFd{{Fd: sock, Events: unix.POLLIN}}, timeout)
	if err == nil && n == 0 {
		return unix.EAGAIN
	}
	return err
}
