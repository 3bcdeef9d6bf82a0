//go:build !cgo || !unix || purego

package scm

import (
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
)

// Backend names the implementation in use: "cgo" or "purego".
const Backend = "purego"

// fdLost is SCM_FD_LOST of csrc/scm_rights.h.
const fdLost = pure.FDLost

// writeFD is what write_fd is in csrc.
func writeFD(sock int32, p []byte, fd int32) (n int, err error) { return pure.WriteFD(sock, p, fd) }

// readFD is what read_fd is in csrc.
func readFD(sock int32, p []byte) (n int, fd int32, err error) { return pure.ReadFD(sock, p) }

// sendMsg is what scm_rights_send is in csrc.
func sendMsg(sock int32, m *msg.Message, flags int) error { return pure.Send(sock, m, flags) }

// recvMsg is what scm_rights_recv is in csrc.
func recvMsg(sock int32, m *msg.Message, flags int) error { return pure.Recv(sock, m, flags) }

// sendBatch is what scm_rights_send_batch is in csrc.
func sendBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return pure.SendBatch(sock, ms, flags)
}

// recvBatch is what scm_rights_recv_batch is in csrc.
func recvBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return pure.RecvBatch(sock, ms, flags)
}
