//go:build cgo && unix && !purego && !scm_purego

package scm

// The import "C" is in csrc/csrc.go, because csrc must be a Go package of its own: otherwise the build cache
// would miss changes to the C files, go mod vendor would drop them, and tests could not compare csrc with
// internal/pure in one process.

import (
	"github.com/scm-rights/scm/csrc"
	"github.com/scm-rights/scm/internal/msg"
)

// Backend names the implementation in use: "cgo", the C library in csrc, or "purego", without cgo or with the tag
// scm_purego. On Linux both make the same system calls (docs/trust.md).
const Backend = "cgo"

// fdLost is SCM_FD_LOST of csrc/scm_rights.h.
const fdLost = csrc.FDLost

// writeFD runs write_fd, csrc/write_fd.c.
func writeFD(sock int32, p []byte, fd int32) (n int, err error) { return csrc.WriteFD(sock, p, fd) }

// readFD runs read_fd, csrc/read_fd.c.
func readFD(sock int32, p []byte) (n int, fd int32, err error) { return csrc.ReadFD(sock, p) }

// sendMsg runs scm_rights_send, csrc/scm_rights.c.
func sendMsg(sock int32, m *msg.Message, flags int) error { return csrc.Send(sock, m, flags) }

// recvMsg runs scm_rights_recv, csrc/scm_rights.c.
func recvMsg(sock int32, m *msg.Message, flags int) error { return csrc.Recv(sock, m, flags) }
