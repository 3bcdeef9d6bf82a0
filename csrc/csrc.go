//go:build cgo

package csrc

/*
#cgo noescape scm_cgo_write_fd
#cgo nocallback scm_cgo_write_fd
#cgo noescape scm_cgo_read_fd
#cgo nocallback scm_cgo_read_fd
#cgo noescape scm_cgo_send
#cgo nocallback scm_cgo_send
#cgo noescape scm_cgo_recv
#cgo nocallback scm_cgo_recv
#cgo noescape scm_cgo_send_pieces
#cgo nocallback scm_cgo_send_pieces
#cgo noescape scm_cgo_recv_pieces
#cgo nocallback scm_cgo_recv_pieces
#include "cgo.h"
*/
import "C"

import (
	"syscall"
	"unsafe"
)

// FDLost is SCM_FD_LOST: what ReadFD returns in place of a descriptor when
// control was cut or when not exactly one descriptor came, and all were closed.
const FDLost = C.SCM_FD_LOST

// WriteFD is write_fd: one sendmsg of p and fd, flags 0.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	return result(C.scm_cgo_write_fd(C.int(sock), base(p), C.size_t(len(p)), C.int(fd)))
}

// ReadFD is read_fd: one recvmsg into p. fd is -1 or FDLost
// where there is no descriptor to hand over.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	var got C.int
	n, err = result(C.scm_cgo_read_fd(C.int(sock), base(p), C.size_t(len(p)), &got))
	return n, int32(got), err
}

// Send is scm_send: one sendmsg of bufs and fds.
func Send(sock int32, bufs [][]byte, fds []int32, flags int) (n int, err error) {
	if len(bufs) > C.SCM_CGO_ARGS {
		return sendPieces(sock, bufs, fds, flags)
	}
	call := newCall(sock, bufs, fds, flags)
	var p [C.SCM_CGO_ARGS]*C.char
	for i, b := range bufs {
		p[i], call.len[i] = base(b), C.size_t(len(b))
	}
	return result(C.scm_cgo_send(&call, numbers(fds), p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]))
}

// Recv is scm_recv: one recvmsg into bufs and fds, whose length is the room.
// rflags is what the kernel said, without MSG_CMSG_CLOEXEC.
func Recv(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	if len(bufs) > C.SCM_CGO_ARGS {
		return recvPieces(sock, bufs, fds, flags)
	}
	call := newCall(sock, bufs, fds, flags)
	var p [C.SCM_CGO_ARGS]*C.char
	for i, b := range bufs {
		p[i], call.len[i] = base(b), C.size_t(len(b))
	}
	n, err = result(C.scm_cgo_recv(&call, numbers(fds), p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]))
	return n, int(call.nfds), int(call.flags), err
}

func newCall(sock int32, bufs [][]byte, fds []int32, flags int) C.struct_scm_cgo_call {
	return C.struct_scm_cgo_call{
		nbufs: C.size_t(len(bufs)),
		nfds:  C.size_t(len(fds)),
		sock:  C.int(sock),
		flags: C.int(flags),
	}
}

// result splits what an entry point returns: a count, or -errno.
func result(r C.ssize_t) (int, error) {
	if r < 0 {
		return -1, syscall.Errno(-r)
	}
	return int(r), nil
}

func base(p []byte) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(p)))
}

func numbers(fds []int32) *C.int {
	return (*C.int)(unsafe.Pointer(unsafe.SliceData(fds)))
}
