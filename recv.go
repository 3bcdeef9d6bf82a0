package scm

import (
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// The functions in this file receive with the backend. The kernel makes received descriptors close-on-exec,
// because the backends (csrc, internal/pure) pass MSG_CMSG_CLOEXEC. On systems without that flag the backend
// does it after the receive, and no child process may be started in between.

func recvOne(sock int32, m *msg.Message, flags int) error {
	if sys.RecvNeedsForkLock {
		return sys.RecvWithForkLock(sock, flags, func(flags int) error { return recvMsg(sock, m, flags) })
	}
	return recvMsg(sock, m, flags)
}

func recvMany(sock int32, ms []msg.Message, flags int) (n int, err error) {
	if sys.RecvNeedsForkLock {
		err = sys.RecvWithForkLock(sock, flags, func(flags int) (err error) {
			n, err = recvBatch(sock, ms, flags)
			return err
		})
		return n, err
	}
	return recvBatch(sock, ms, flags)
}

func readOne(sock int32, p []byte) (n int, fd int32, err error) {
	if sys.RecvNeedsForkLock {
		return readOneWithFlags(sock, p)
	}
	return readFD(sock, p)
}

// readOneWithFlags is readFD by way of recvOne, because readFD takes no flags.
func readOneWithFlags(sock int32, p []byte) (n int, fd int32, err error) {
	m := msg.Message{Buffers: [][]byte{p}, FDs: make([]int, 1)}
	err = recvOne(sock, &m, 0)
	switch {
	case err != nil:
		return -1, -1, err
	case m.Flags&sys.ControlTruncated != 0:
		if m.NFD == 1 {
			sys.Close(m.FDs[0])
		}
		return m.N, fdLost, nil
	case m.NFD == 0:
		return m.N, -1, nil
	}
	return m.N, int32(m.FDs[0]), nil
}
