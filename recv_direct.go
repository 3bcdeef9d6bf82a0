//go:build !aix && !darwin && !solaris

package scm

import "github.com/scm-rights/scm/internal/msg"

// The kernel receives descriptors close-on-exec, by MSG_CMSG_CLOEXEC, which the backends
// add (csrc, internal/pure), or the system passes none: a receive is the backend's and no more.

func readOne(sock int32, p []byte) (n int, fd int32, err error) { return readFD(sock, p) }

func recvOne(sock int32, m *msg.Message, flags int) error { return recvMsg(sock, m, flags) }

func recvMany(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return recvBatch(sock, ms, flags)
}
