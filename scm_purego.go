//go:build !cgo || !unix || purego || scm_purego

package scm

import (
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
)

// Backend names the implementation in use: "cgo", the C library in csrc, or "purego", without cgo or with the tag
// scm_purego. On Linux both make the same system calls (docs/trust.md).
const Backend = "purego"

// fdLost is SCM_FD_LOST of csrc/scm_rights.h.
const fdLost = pure.FDLost

// writeFD does what write_fd does in csrc.
func writeFD(sock int32, p []byte, fd int32) (n int, err error) { return pure.WriteFD(sock, p, fd) }

// readFD does what read_fd does in csrc.
func readFD(sock int32, p []byte) (n int, fd int32, err error) { return pure.ReadFD(sock, p) }

// sendMsg does what scm_rights_send does in csrc.
func sendMsg(sock int32, m *msg.Message, flags int) error { return pure.Send(sock, m, flags) }

// recvMsg does what scm_rights_recv does in csrc.
func recvMsg(sock int32, m *msg.Message, flags int) error { return pure.Recv(sock, m, flags) }
