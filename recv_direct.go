//go:build !aix && !darwin && !solaris

package scm

import (
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/received"
)

// On these systems the kernel itself makes received descriptors close-on-exec, because the backends (csrc,
// internal/pure) pass MSG_CMSG_CLOEXEC, or the system passes no descriptors. A receive needs only the backend.

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
