//go:build linux

package fault

import (
	"encoding/binary"
	"errors"
	"slices"
	"unsafe"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// socket sends and receives with one system call each, except where the fault does it.
type socket struct {
	fd    int
	fault Fault

	// State that the faults keep between calls.
	fds     []int         // received last, or kept
	refused []int         // of the last send, if the socket was full
	rest    peer.Received // read, but not yet returned
}

func (s *socket) Send(m peer.Message) (int, error) {
	if s.fault.message != nil {
		s.fault.message(&m)
	}
	send := (*socket).send
	if s.fault.send != nil {
		send = s.fault.send
	}
	return send(s, m)
}

func (s *socket) Recv(r peer.Room) (got peer.Received, err error) {
	if s.fault.room != nil {
		s.fault.room(&r)
	}
	if s.fault.recv != nil {
		got, err = s.fault.recv(s, r)
	} else {
		got, err = s.recv(r)
	}
	if err == nil && s.fault.spoil != nil {
		s.fault.spoil(&got)
	}
	return got, err
}

// send sends correctly.
func (s *socket) send(m peer.Message) (int, error) {
	return s.sendControl(m, rights(m.FDs))
}

func (s *socket) sendControl(m peer.Message, control []byte) (int, error) {
	n, _, err := message(unix.SYS_SENDMSG, s.fd, m.Buffers, control, m.Flags)
	return n, err
}

func rights(fds []int) []byte {
	if len(fds) == 0 {
		return nil
	}
	return unix.UnixRights(fds...)
}

// recv receives correctly, with capacity for exactly the descriptors requested.
func (s *socket) recv(r peer.Room) (peer.Received, error) {
	got, _, err := s.recvAll(r)
	return got, err
}

// recvAll receives correctly and closes pidfds. It also returns all control messages.
func (s *socket) recvAll(r peer.Room) (peer.Received, []unix.SocketControlMessage, error) {
	got, messages, err := s.recvControl(r, r.FDs)
	if err != nil {
		return got, nil, err
	}
	for _, m := range messages {
		if isPidfd(m) {
			closeAll([]int{int(int32(binary.NativeEndian.Uint32(m.Data)))})
		}
	}
	got, err = s.rights(got, messages)
	return got, messages, err
}

// rights adds the descriptors of the SCM_RIGHTS messages to got.
func (s *socket) rights(got peer.Received, messages []unix.SocketControlMessage) (peer.Received, error) {
	for _, m := range messages {
		if !isRights(m) {
			continue
		}
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return got, err
		}
		got.FDs = append(got.FDs, fds...)
	}
	return got, nil
}

func isRights(m unix.SocketControlMessage) bool {
	return m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_RIGHTS
}

func isPidfd(m unix.SocketControlMessage) bool {
	return m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_PIDFD && len(m.Data) >= 4
}

// recvControl receives, and returns the control messages for the caller to parse.
func (s *socket) recvControl(r peer.Room, room int) (got peer.Received, messages []unix.SocketControlMessage, err error) {
	var control []byte
	if room > 0 {
		control = make([]byte, unix.CmsgLen(4*room))
	}
	n, h, err := message(unix.SYS_RECVMSG, s.fd, r.Buffers, control, r.Flags|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return got, nil, err
	}
	got = peer.Received{N: n, Payload: r.Filled(n), HasFlags: true, Flags: int(h.Flags)}
	messages, err = unix.ParseSocketControlMessage(control[:h.Controllen])
	return got, messages, err
}

// message makes one system call, and returns the msghdr as the kernel left it.
func message(trap uintptr, sock int, buffers [][]byte, control []byte, flags int) (int, unix.Msghdr, error) {
	iov := make([]unix.Iovec, len(buffers))
	for i, b := range buffers {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	var h unix.Msghdr
	h.Iov = unsafe.SliceData(iov)
	h.SetIovlen(len(iov))
	if len(control) > 0 {
		h.Control = &control[0]
		h.SetControllen(len(control))
	}
	n, _, errno := unix.Syscall(trap, uintptr(sock), uintptr(unsafe.Pointer(&h)), uintptr(flags))
	if errno != 0 {
		return -1, h, errno
	}
	return int(n), h, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// strict conforms to the contract, but rejects everything that a library may reject: control
// messages other than SCM_RIGHTS, a connection on which a message was truncated, and more
// buffers than one system call accepts.
type strict struct {
	socket
	over bool // the connection is given up
}

// mostBuffers is UIO_MAXIOV.
const mostBuffers = 1024

var (
	errTruncated = errors.New("a message was truncated")
	errControl   = errors.New("a control message other than SCM_RIGHTS")
)

func (s *strict) Send(m peer.Message) (int, error) {
	if s.over {
		return 0, peer.ErrUnsupported
	}
	m.Buffers = m.Buffers[:min(len(m.Buffers), mostBuffers)]
	return s.send(m)
}

func (s *strict) Recv(r peer.Room) (peer.Received, error) {
	if s.over {
		return peer.Received{}, peer.ErrUnsupported
	}
	got, messages, err := s.recvAll(r)
	if err != nil {
		return got, err
	}
	s.over = got.Flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0
	switch {
	case s.over:
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // the other end may be gone
		err = errTruncated
	case slices.ContainsFunc(messages, func(m unix.SocketControlMessage) bool { return !isRights(m) }):
		err = errControl
	}
	if err != nil {
		closeAll(got.FDs)
	}
	return got, err
}

// closing is a strict library that may close its socket when a call fails.
type closing struct {
	strict
	closes func(sock int)
}

func (s *closing) Send(m peer.Message) (int, error) {
	n, err := s.strict.Send(m)
	if err != nil {
		s.closes(s.fd)
	}
	return n, err
}

func (s *closing) Recv(r peer.Room) (peer.Received, error) {
	got, err := s.strict.Recv(r)
	if err != nil {
		s.closes(s.fd)
	}
	return got, err
}
