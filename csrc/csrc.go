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
#cgo noescape scm_cgo_send_few
#cgo nocallback scm_cgo_send_few
#cgo noescape scm_cgo_recv_few
#cgo nocallback scm_cgo_recv_few
#cgo noescape scm_cgo_args
#cgo nocallback scm_cgo_args
#cgo noescape scm_cgo_some
#cgo nocallback scm_cgo_some
#cgo noescape scm_cgo_many
#cgo nocallback scm_cgo_many
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

// These constants select the function that an entry point calls.
const (
	toSend C.int = iota
	toReceive
)

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

// fewFDs is the maximum number of descriptors in a message that Send and Recv pass to C
// without a list of buffers.
const fewFDs = 8

// Send calls scm_rights_send, which sends m with a single sendmsg(2) call.
func Send(sock int32, m *msg.Message, flags int) (err error) {
	m.ClearResults()
	if len(m.Buffers) > 1 || len(m.FDs) > fewFDs || m.Cred != nil {
		m.N, err = call(toSend, sock, m, flags)
		return err
	}
	var fds [fewFDs]C.int
	of, p := few(m)
	for i, fd := range m.FDs {
		fds[i] = C.int(msg.Number(fd))
	}
	if m.Unpadded {
		of.flags = C.SCM_UNPADDED
	}
	m.N, err = result(C.scm_cgo_send_few(C.int(sock), &of, base(p), &fds[0], base(m.Name), C.int(flags)))
	m.N = max(m.N, 0)
	return err
}

// Recv calls scm_rights_recv, which receives into m with a single recvmsg(2) call.
func Recv(sock int32, m *msg.Message, flags int) (err error) {
	m.ClearResults()
	if len(m.Buffers) > 1 || len(m.FDs) > fewFDs || m.Cred != nil || m.PIDFD != nil {
		m.N, err = call(toReceive, sock, m, flags)
		return err
	}
	var fds [fewFDs]C.int
	of, p := few(m)
	m.N, err = result(C.scm_cgo_recv_few(C.int(sock), &of, base(p), &fds[0], base(m.Name), C.int(flags)))
	m.N, m.NFD, m.Flags, m.NameLen = max(m.N, 0), int(of.nfds), int(of.flags), int(of.namelen)
	for i, fd := range fds[:m.NFD] {
		m.FDs[i] = int(fd)
	}
	return err
}

// few prepares a message that is passed without a list of buffers. That saves 497 instructions
// of a pass with Send and Recv, and 0.03 of a pass in C.
func few(m *msg.Message) (of C.struct_scm_cgo_few, p []byte) {
	if len(m.Buffers) > 0 {
		p = m.Buffers[0]
	}
	of.iovlen, of.len = C.size_t(len(m.Buffers)), C.size_t(len(p))
	of.nfds, of.namelen = C.size_t(len(m.FDs)), C.uint(len(m.Name))
	return of, p
}

// call is separate from Send and Recv because it needs a larger stack.
//
//go:noinline
func call(which C.int, sock int32, m *msg.Message, flags int) (n int, err error) {
	var c C.struct_scm_cgo_message
	setParts(&c, m)
	var fds [msg.MaxFDs]C.int
	for i, fd := range m.FDs[:min(len(m.FDs), len(fds))] {
		fds[i] = C.int(msg.Number(fd))
	}
	if len(m.Buffers) > C.SCM_CGO_ARGS {
		n, err = callMany(which, sock, m, &c, &fds[0], flags)
	} else {
		var p [C.SCM_CGO_ARGS]*C.char
		var length [C.SCM_CGO_ARGS]C.size_t
		for i, b := range m.Buffers {
			p[i], length[i] = base(b), C.size_t(len(b))
		}
		n, err = result(C.scm_cgo_args(which, C.int(sock), &c, &length[0], &fds[0], base(m.Name), C.int(flags),
			p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]))
	}
	if which == toReceive {
		received(m, &c, fds[:])
	}
	return max(n, 0), err
}

// setParts copies to c the fields of m that contain no pointers.
func setParts(c *C.struct_scm_cgo_message, m *msg.Message) {
	*c = C.struct_scm_cgo_message{pidfd: -1}
	c.iovlen, c.nfds, c.namelen = C.size_t(len(m.Buffers)), C.size_t(len(m.FDs)), C.uint(len(m.Name))
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
}

// received stores the results of a receive in m.
func received(m *msg.Message, c *C.struct_scm_cgo_message, fds []C.int) {
	m.NFD, m.Flags, m.NameLen = int(c.nfds), int(c.flags), int(c.namelen)
	for i, fd := range fds[:m.NFD] {
		m.FDs[i] = int(fd)
	}
	if m.Cred != nil {
		*m.Cred = msg.Cred{PID: int32(c.pid), UID: uint32(c.uid), GID: uint32(c.gid)}
	}
	if m.PIDFD != nil {
		*m.PIDFD = int(c.pidfd)
	}
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
