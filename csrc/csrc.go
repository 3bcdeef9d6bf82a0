//go:build cgo

package csrc

/*
#cgo CFLAGS: -DSCM_CGO -fvisibility=hidden
#cgo linux,amd64 linux,386 CFLAGS: -fstack-clash-protection
#cgo solaris CFLAGS: -D_XPG4_2=1 -D__EXTENSIONS__=1
#cgo solaris LDFLAGS: -lxnet
#cgo noescape scm_cgo_write_fd
#cgo nocallback scm_cgo_write_fd
#cgo noescape scm_cgo_read_fd
#cgo nocallback scm_cgo_read_fd
#cgo noescape scm_cgo_send_one
#cgo nocallback scm_cgo_send_one
#cgo noescape scm_cgo_recv_one
#cgo nocallback scm_cgo_recv_one
#cgo noescape scm_cgo_send_some
#cgo nocallback scm_cgo_send_some
#cgo noescape scm_cgo_recv_some
#cgo nocallback scm_cgo_recv_some
#cgo noescape scm_cgo_send_many
#cgo nocallback scm_cgo_send_many
#cgo noescape scm_cgo_recv_many
#cgo nocallback scm_cgo_recv_many
#include "scm_rights_cgo.h"
*/
import "C"

import (
	"syscall"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
)

// FDLost is SCM_FD_LOST. ReadFD returns it instead of a descriptor if it received more than
// one descriptor or if MSG_CTRUNC is set. In both cases ReadFD closes all received
// descriptors.
const FDLost = C.SCM_FD_LOST

// WriteFD calls write_fd, which sends p and fd with a single sendmsg(2) call and no flags.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	return result(C.scm_cgo_write_fd(C.int(sock), base(p), C.size_t(len(p)), C.int(fd)))
}

// ReadFD calls read_fd, which receives into p with a single recvmsg(2) call. fd is -1 or
// FDLost if there is no descriptor to return.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	var got C.int
	n, err = result(C.scm_cgo_read_fd(C.int(sock), base(p), C.size_t(len(p)), &got))
	return n, int32(got), err
}

// Send calls scm_rights_send, which sends m with a single sendmsg(2) call.
func Send(sock int32, m *msg.Message, flags int) (err error) {
	m.ClearResults()
	c := parts(m)
	var r C.ssize_t
	switch {
	case len(m.Buffers) > C.SCM_CGO_SOME:
		r = sendMany(sock, m, &c, flags)
	case len(m.Buffers) > 1 || len(m.FDs) > fewFDs:
		r = sendSome(sock, m, &c, flags)
	default:
		var fds [fewFDs]C.int
		put(fds[:], m.FDs)
		r = C.scm_cgo_send_one(C.int(sock), &c, base(first(m)), &fds[0], base(m.Name), C.int(flags))
	}
	m.N, err = result(r)
	m.N = max(m.N, 0)
	return err
}

// Recv calls scm_rights_recv, which receives into m with a single recvmsg(2) call.
func Recv(sock int32, m *msg.Message, flags int) (err error) {
	m.ClearResults()
	c := parts(m)
	var r C.ssize_t
	switch {
	case len(m.Buffers) > C.SCM_CGO_SOME:
		r = recvMany(sock, m, &c, flags)
	case len(m.Buffers) > 1 || len(m.FDs) > fewFDs:
		r = recvSome(sock, m, &c, flags)
	default:
		var fds [fewFDs]C.int
		r = C.scm_cgo_recv_one(C.int(sock), &c, base(first(m)), &fds[0], base(m.Name), C.int(flags))
		take(m, &c, fds[:])
	}
	m.N, err = result(r)
	m.N, m.Flags, m.NameLen = max(m.N, 0), int(c.flags), int(c.namelen)
	if m.Cred != nil {
		*m.Cred = msg.Cred{PID: int32(c.pid), UID: uint32(c.uid), GID: uint32(c.gid)}
	}
	if m.PIDFD != nil {
		*m.PIDFD = int(c.pidfd)
	}
	return err
}

// fewFDs is the maximum number of descriptors in a message with at most one buffer, which most messages
// are. C gets such a message without a list of buffers.
const fewFDs = 8

// parts returns the fields of m that contain no pointers, and the length of the first buffer.
func parts(m *msg.Message) (c C.struct_scm_cgo_message) {
	c.iovlen, c.nfds, c.namelen = C.size_t(len(m.Buffers)), C.size_t(len(m.FDs)), C.uint(len(m.Name))
	c.len, c.pidfd = C.size_t(len(first(m))), -1
	if m.Unpadded {
		c.options = C.SCM_UNPADDED
	}
	if m.Cred != nil {
		c.wants_cred = 1
		c.pid, c.uid, c.gid = C.int(m.Cred.PID), C.uint(m.Cred.UID), C.uint(m.Cred.GID)
	}
	if m.PIDFD != nil {
		c.wants_pidfd = 1
	}
	return c
}

// sendSome, recvSome, sendMany and recvMany pass a message with a list of buffers. Many buffers need a larger stack,
// in Go and in C, so these functions are not inlined.
//
//go:noinline
func sendSome(sock int32, m *msg.Message, c *C.struct_scm_cgo_message, flags int) C.ssize_t {
	var fds [msg.MaxFDs]C.int
	at, lengths := someBuffers(m.Buffers)
	put(fds[:], m.FDs)
	return C.scm_cgo_send_some(C.int(sock), c, at, &lengths[0], &fds[0], base(m.Name), C.int(flags))
}

//go:noinline
func recvSome(sock int32, m *msg.Message, c *C.struct_scm_cgo_message, flags int) C.ssize_t {
	var fds [msg.MaxFDs]C.int
	at, lengths := someBuffers(m.Buffers)
	r := C.scm_cgo_recv_some(C.int(sock), c, at, &lengths[0], &fds[0], base(m.Name), C.int(flags))
	take(m, c, fds[:])
	return r
}

//go:noinline
func sendMany(sock int32, m *msg.Message, c *C.struct_scm_cgo_message, flags int) C.ssize_t {
	var fds [msg.MaxFDs]C.int
	at, lengths := manyBuffers(m.Buffers)
	put(fds[:], m.FDs)
	return C.scm_cgo_send_many(C.int(sock), c, at, &lengths[0], &fds[0], base(m.Name), C.int(flags))
}

//go:noinline
func recvMany(sock int32, m *msg.Message, c *C.struct_scm_cgo_message, flags int) C.ssize_t {
	var fds [msg.MaxFDs]C.int
	at, lengths := manyBuffers(m.Buffers)
	r := C.scm_cgo_recv_many(C.int(sock), c, at, &lengths[0], &fds[0], base(m.Name), C.int(flags))
	take(m, c, fds[:])
	return r
}

// someBuffers and manyBuffers return the addresses and the lengths of buffers. They return them by value: cgo
// does not allow passing an iovec that contains Go pointers, and a helper that stores through a pointer would
// move every caller's buffers to the heap. The C library rejects a message with more buffers.
func someBuffers(bufs [][]byte) (at C.struct_scm_cgo_some, size [C.SCM_CGO_SOME]C.size_t) {
	for i, b := range bufs {
		at.p[i], size[i] = base(b), C.size_t(len(b))
	}
	return at, size
}

func manyBuffers(bufs [][]byte) (at C.struct_scm_cgo_many, size [C.SCM_MAX_IOV]C.size_t) {
	for i, b := range bufs[:min(len(bufs), len(size))] {
		at.p[i], size[i] = base(b), C.size_t(len(b))
	}
	return at, size
}

// put stores the descriptors to send in to. The C library rejects a message with more than msg.MaxFDs.
func put(to []C.int, fds []int) {
	for i, fd := range fds[:min(len(fds), len(to))] {
		to[i] = C.int(msg.Number(fd))
	}
}

// take stores the received descriptors in m.
func take(m *msg.Message, c *C.struct_scm_cgo_message, fds []C.int) {
	m.NFD = int(c.nfds)
	for i, fd := range fds[:m.NFD] {
		m.FDs[i] = int(fd)
	}
}

func first(m *msg.Message) []byte {
	if len(m.Buffers) == 0 {
		return nil
	}
	return m.Buffers[0]
}

// result converts the result of an entry point, a count or -errno, into a count and an error.
func result(r C.ssize_t) (int, error) {
	if r < 0 {
		return -1, syscall.Errno(-r)
	}
	return int(r), nil
}

func base(p []byte) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(p)))
}
