package pure

import (
	"syscall"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

const (
	fewBuffers = 8 // fit the iovec of most messages
	fewFDs     = 8 // fit the control buffer of most messages
)

// few is a control message of up to fewFDs descriptors.
type few struct {
	hdr unix.Cmsghdr
	fds [fewFDs]int32
}

func (c *few) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(c)), unsafe.Sizeof(*c)) }

// put makes the zeroed c of m's descriptors, and returns how much of it they are.
func (c *few) put(m *msg.Message) int {
	c.hdr.Level, c.hdr.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	c.hdr.SetLen(unix.CmsgLen(4 * len(m.FDs)))
	for i, fd := range m.FDs {
		c.fds[i] = msg.Number(fd)
	}
	if m.Unpadded {
		return unix.CmsgLen(4 * len(m.FDs))
	}
	return unix.CmsgSpace(4 * len(m.FDs))
}

// pairControl is CMSG_SPACE(sizeof(int)): as in the book, it admits two
// descriptors on 64-bit systems.
const pairControl = (unix.SizeofCmsghdr + 4 + unix.SizeofPtr - 1) &^ (unix.SizeofPtr - 1)

// WriteFD is csrc's write_fd: one sendmsg of p and fd, flags 0.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	c := few{unix.Cmsghdr{Len: unix.SizeofCmsghdr + 4, Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS}, [fewFDs]int32{fd}}
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	hdr := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&c))}
	hdr.SetIovlen(1)
	hdr.SetControllen(pairControl)
	r, errno := sendmsg(sock, &hdr, 0)
	if errno != 0 {
		return -1, failed(errno)
	}
	return int(r), nil
}

// ReadFD is csrc's read_fd: one recvmsg into p. fd is -1 or FDLost where
// there is no descriptor to hand over.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	var c few
	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	hdr := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&c))}
	hdr.SetIovlen(1)
	hdr.SetControllen(pairControl)
	r, errno := recvmsg(sock, &hdr, unix.MSG_CMSG_CLOEXEC)
	if errno != 0 {
		closeInstalled(c.bytes()[:hdr.Controllen])
		return -1, -1, failed(errno)
	}
	var one [1]int
	m := msg.Message{FDs: one[:]}
	received(&m, &hdr, c.bytes())
	return int(r), pairFD(&m), nil
}

// Send is csrc's scm_rights_send: one sendmsg of m. To touch only what one buffer and a few
// descriptors need, in place of 1.2 kB for all that a message can have, gains 3%, and as much in Recv.
func Send(sock int32, m *msg.Message, flags int) error {
	m.ClearResults()
	if len(m.Buffers) > 1 || len(m.FDs) > fewFDs || m.Cred != nil {
		return some(sock, m, flags, false)
	}
	var c few
	var iov unix.Iovec
	var hdr unix.Msghdr
	if len(m.Buffers) > 0 {
		iov.Base = unsafe.SliceData(m.Buffers[0])
		iov.SetLen(len(m.Buffers[0]))
		hdr.Iov = &iov
		hdr.SetIovlen(1)
	}
	if len(m.Name) > 0 {
		hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
	}
	if len(m.FDs) > 0 {
		hdr.Control = (*byte)(unsafe.Pointer(&c))
		hdr.SetControllen(c.put(m))
	}
	r, errno := sendmsg(sock, &hdr, flags)
	if errno != 0 {
		return failed(errno)
	}
	m.N = int(r)
	return nil
}

// some is Send, or Recv, of a message with up to fewBuffers, and many of one with up to all.
//
//go:noinline
func some(sock int32, m *msg.Message, flags int, receive bool) error {
	if err := check(m); err != nil {
		return err
	}
	if len(m.Buffers) > fewBuffers {
		return many(sock, m, flags, receive)
	}
	var c control
	var iov [fewBuffers]unix.Iovec
	for i, b := range m.Buffers {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	if receive {
		return recv(sock, &iov[0], c.bytes(), m, flags)
	}
	return send(sock, &iov[0], c.bytes(), m, flags)
}

// many has room for every iovec that the kernel takes on its own stack. An
// empty buffer has no address then: csrc has many in one piece of memory.
// The loop is here again because a helper's store through a pointer would move
// every caller's buffers to the heap.
//
//go:noinline
func many(sock int32, m *msg.Message, flags int, receive bool) error {
	var c control
	var iov [msg.MaxBuffers]unix.Iovec
	for i, b := range m.Buffers {
		if len(b) > 0 {
			iov[i].Base = &b[0]
		}
		iov[i].SetLen(len(b))
	}
	if receive {
		return recv(sock, &iov[0], c.bytes(), m, flags)
	}
	return send(sock, &iov[0], c.bytes(), m, flags)
}

// send sends m with its buffers in iov and zeroed room for its control messages.
func send(sock int32, iov *unix.Iovec, room []byte, m *msg.Message, flags int) error {
	var hdr unix.Msghdr
	if len(m.Buffers) > 0 {
		hdr.Iov = iov
	}
	hdr.SetIovlen(len(m.Buffers))
	if len(m.Name) > 0 {
		hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
	}
	if len(m.FDs) > 0 || m.Cred != nil {
		hdr.Control = &room[0]
		hdr.SetControllen(putControl(room, m))
	}
	r, errno := sendmsg(sock, &hdr, flags)
	if errno != 0 {
		return failed(errno)
	}
	m.N = int(r)
	return nil
}

// Recv is csrc's scm_rights_recv: one recvmsg into m.
func Recv(sock int32, m *msg.Message, flags int) error {
	m.ClearReceived()
	if len(m.Buffers) > 1 || len(m.FDs) > fewFDs || m.Cred != nil || m.PIDFD != nil {
		return some(sock, m, flags, true)
	}
	var c few
	var iov unix.Iovec
	var hdr unix.Msghdr
	if len(m.Buffers) > 0 {
		iov.Base = unsafe.SliceData(m.Buffers[0])
		iov.SetLen(len(m.Buffers[0]))
		hdr.Iov = &iov
		hdr.SetIovlen(1)
	}
	if len(m.Name) > 0 {
		hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
	}
	if len(m.FDs) > 0 {
		hdr.Control = (*byte)(unsafe.Pointer(&c))
		hdr.SetControllen(unix.CmsgLen(4 * len(m.FDs)))
	}
	r, errno := recvmsg(sock, &hdr, flags|unix.MSG_CMSG_CLOEXEC)
	if errno != 0 {
		closeInstalled(c.bytes()[:hdr.Controllen])
		return failed(errno)
	}
	m.N = int(r)
	received(m, &hdr, c.bytes())
	return nil
}

// recv receives into m with its buffers in iov and zeroed room for control messages.
func recv(sock int32, iov *unix.Iovec, room []byte, m *msg.Message, flags int) error {
	var hdr unix.Msghdr
	if len(m.Buffers) > 0 {
		hdr.Iov = iov
	}
	hdr.SetIovlen(len(m.Buffers))
	if len(m.Name) > 0 {
		hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
	}
	if n := controlRoom(m); n > 0 {
		hdr.Control = &room[0]
		hdr.SetControllen(n)
	}
	r, errno := recvmsg(sock, &hdr, flags|unix.MSG_CMSG_CLOEXEC)
	if errno != 0 {
		closeInstalled(room[:hdr.Controllen])
		return failed(errno)
	}
	m.N = int(r)
	received(m, &hdr, room)
	return nil
}

// controlRoom is the room for control data that m asks for, in the order in
// which the kernel writes. For descriptors alone it is exact: the kernel then
// drops what the caller has no room for.
func controlRoom(m *msg.Message) (room int) {
	if m.Cred != nil {
		room += unix.CmsgSpace(credBytes)
	}
	switch {
	case len(m.FDs) > 0 && m.PIDFD != nil:
		room += unix.CmsgSpace(4 * len(m.FDs))
	case len(m.FDs) > 0:
		room += unix.CmsgLen(4 * len(m.FDs))
	}
	if m.PIDFD != nil {
		room += unix.CmsgSpace(4)
	}
	return room
}

// received takes what the kernel set in hdr into m, which has room for a descriptor or more.
func received(m *msg.Message, hdr *unix.Msghdr, control []byte) {
	m.NameLen = int(hdr.Namelen)
	m.Flags = int(hdr.Flags) &^ unix.MSG_CMSG_CLOEXEC
	takeControl(control[:hdr.Controllen], m)
}

// sendmsg and recvmsg are inlined, and package syscall has two frames less than package unix: each
// return behind a system call is predicted wrongly. It gains 1% of a send and a receive.
func sendmsg(sock int32, hdr *unix.Msghdr, flags int) (n uintptr, errno syscall.Errno) {
	sys.BeforeSend()
	n, _, errno = syscall.Syscall(unix.SYS_SENDMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))
	return n, errno
}

func recvmsg(sock int32, hdr *unix.Msghdr, flags int) (n uintptr, errno syscall.Errno) {
	n, _, errno = syscall.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))
	if errno == 0 {
		sys.AfterReceive()
	}
	return n, errno
}

// failed is the error of a system call.
//
//go:noinline
func failed(errno syscall.Errno) error {
	if errno == msg.RestartSys {
		return unix.EINTR
	}
	return errno
}
