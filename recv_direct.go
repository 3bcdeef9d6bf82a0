//go:build !aix && !darwin && !solaris

package scm

import "github.com/scm-rights/scm/internal/msg"

// On these systems the kernel itself makes received descriptors close-on-exec, because the backends (csrc,
// internal/pure) pass MSG_CMSG_CLOEXEC, or the system passes no descriptors. A receive needs only the backend.

func readOne(sock int32, p []byte) (n int, fd int32, err error) { return readFD(sock, p) }

func recvOne(sock int32, m *msg.Message, flags int) error { return recvMsg(sock, m, flags) }

func recvMany(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return recvBatch(sock, ms, flags)
}
