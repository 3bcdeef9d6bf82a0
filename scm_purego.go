//go:build !cgo || purego

package scm

import "github.com/scm-rights/scm/internal/pure"

// Backend names the implementation in use: "cgo" or "purego".
const Backend = "purego"

// fdLost is SCM_FD_LOST of csrc/scm.h.
const fdLost = pure.FDLost

// writeFD is what write_fd is in csrc.
func writeFD(sock int32, p []byte, fd int32) (n int, err error) {
	return pure.WriteFD(sock, p, fd)
}

// readFD is what read_fd is in csrc.
func readFD(sock int32, p []byte) (n int, fd int32, err error) {
	return pure.ReadFD(sock, p)
}

// sendMsg is what scm_send is in csrc.
func sendMsg(sock int32, bufs [][]byte, fds []int32, flags int) (n int, err error) {
	return pure.Send(sock, bufs, fds, flags)
}

// recvMsg is what scm_recv is in csrc.
func recvMsg(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	return pure.Recv(sock, bufs, fds, flags)
}
