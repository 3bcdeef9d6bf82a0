//go:build !aix && !darwin && !solaris

package scm

import (
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/received"
)

// The kernel receives descriptors close-on-exec, by MSG_CMSG_CLOEXEC, which the backends
// add (csrc, internal/pure), or the system passes none: a receive is the backend's and no more.

func readOne(sock int32, p []byte) (n int, fd int32, err error) {
	n, fd, err = readFD(sock, p)
	received.FD(fd)
	return n, fd, err
}

func recvOne(sock int32, m *msg.Message, flags int) error {
	err := recvMsg(sock, m, flags)
	received.Message(m)
	return err
}

func recvMany(sock int32, ms []msg.Message, flags int) (n int, err error) {
	n, err = recvBatch(sock, ms, flags)
	received.Messages(ms[:max(n, 0)])
	return n, err
}
