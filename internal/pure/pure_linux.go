package pure

import (
	"syscall"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"
)

// pairControl is CMSG_SPACE(sizeof(int)), as in UNP §15.7. It is large enough for two
// descriptors on 64-bit systems.
const pairControl = (unix.SizeofCmsghdr + 4 + unix.SizeofPtr - 1) &^ (unix.SizeofPtr - 1)

// pairBuffer is the control buffer of WriteFD and ReadFD, and of messages for which it is large enough.
type pairBuffer struct {
	hdr unix.Cmsghdr
	fds [(pairControl - unix.SizeofCmsghdr) / 4]int32
}

func (c *pairBuffer) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(c)), unsafe.Sizeof(*c))
}

// WriteFD sends p and fd with one sendmsg and flags 0, like write_fd in csrc.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	c := pairBuffer{hdr: unix.Cmsghdr{Len: unix.SizeofCmsghdr + 4, Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS}}
	c.fds[0] = fd
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

// ReadFD receives into p with one recvmsg, like read_fd in csrc. fd is -1 or FDLost if there
// is no descriptor to return.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	var c pairBuffer
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

// fewBuffers is the most buffers for which Send and Recv have space on the stack. Almost all messages have
// fewer. With space for all that the kernel accepts, each goroutine's stack would grow to 32 KiB.
const fewBuffers = 8

// Send sends m with one sendmsg, like scm_rights_send in csrc.
func Send(sock int32, m *msg.Message, flags int) error {
	m.ClearResults()
	if len(m.Buffers) > fewBuffers {
		return sendMany(sock, m, flags)
	}
	if err := check(m); err != nil {
		return err
	}
	iov := iovecs[[fewBuffers]unix.Iovec](m.Buffers)
	if len(m.FDs) == 1 && m.Cred == nil {
		var c pairBuffer // see the limit for changes for speed in docs/performance.md
		return send(sock, &iov[0], c.bytes(), m, flags)
	}
	var c control
	return send(sock, &iov[0], c.bytes(), m, flags)
}

// Recv receives into m with one recvmsg, like scm_rights_recv in csrc.
func Recv(sock int32, m *msg.Message, flags int) error {
	m.ClearReceived()
	if len(m.Buffers) > fewBuffers {
		return recvMany(sock, m, flags)
	}
	if err := check(m); err != nil {
		return err
	}
	iov := iovecs[[fewBuffers]unix.Iovec](m.Buffers)
	room := ControlRoom(m)
	if room <= pairControl {
		var c pairBuffer
		return recv(sock, &iov[0], c.bytes()[:room], m, flags)
	}
	var c control
	return recv(sock, &iov[0], c.bytes()[:room], m, flags)
}

// sendMany and recvMany are Send and Recv with space for every buffer that the kernel accepts.
//
//go:noinline
func sendMany(sock int32, m *msg.Message, flags int) error {
	if err := check(m); err != nil {
		return err
	}
	var c control
	iov := iovecs[[msg.MaxBuffers]unix.Iovec](m.Buffers)
	return send(sock, &iov[0], c.bytes(), m, flags)
}

//go:noinline
func recvMany(sock int32, m *msg.Message, flags int) error {
	if err := check(m); err != nil {
		return err
	}
	var c control
	iov := iovecs[[msg.MaxBuffers]unix.Iovec](m.Buffers)
	return recv(sock, &iov[0], c.bytes()[:ControlRoom(m)], m, flags)
}

// iovecs returns the addresses and lengths of buffers. It returns them by value, because a helper that stores
// through a pointer would move every caller's buffers to the heap.
func iovecs[A [fewBuffers]unix.Iovec | [msg.MaxBuffers]unix.Iovec](bufs [][]byte) (iov A) {
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	return iov
}

// send sends m. iov holds its buffers, and room is zeroed memory for its control messages.
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
		hdr.SetControllen(PutControl(room, m))
	}
	r, errno := sendmsg(sock, &hdr, flags)
	if errno != 0 {
		return failed(errno)
	}
	m.N = int(r)
	return nil
}

// recv receives into m. iov holds its buffers, and room is zeroed memory for control messages, of
// the size that the kernel may use.
func recv(sock int32, iov *unix.Iovec, room []byte, m *msg.Message, flags int) error {
	var hdr unix.Msghdr
	if len(m.Buffers) > 0 {
		hdr.Iov = iov
	}
	hdr.SetIovlen(len(m.Buffers))
	if len(m.Name) > 0 {
		hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
	}
	if len(room) > 0 {
		hdr.Control = &room[0]
		hdr.SetControllen(len(room))
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

// ControlRoom returns the size of the control buffer for m, with its parts in the order in
// which the kernel writes them. For descriptors alone it is exact, so that the kernel drops
// those that exceed the capacity.
func ControlRoom(m *msg.Message) (room int) {
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

// received stores in m what the kernel reported in hdr and in the control buffer.
func received(m *msg.Message, hdr *unix.Msghdr, control []byte) {
	m.NameLen = int(hdr.Namelen)
	m.Flags = int(hdr.Flags) &^ unix.MSG_CMSG_CLOEXEC
	takeControl(control[:hdr.Controllen], m)
}

// sendmsg and recvmsg are inlined, and call package syscall because that has two frames less than
// package unix: the processor mispredicts each return after a system call. That saves 45
// instructions.
func sendmsg(sock int32, hdr *unix.Msghdr, flags int) (n uintptr, errno syscall.Errno) {
	n, _, errno = syscall.Syscall(unix.SYS_SENDMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))
	return n, errno
}

func recvmsg(sock int32, hdr *unix.Msghdr, flags int) (n uintptr, errno syscall.Errno) {
	n, _, errno = syscall.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))
	return n, errno
}

// failed returns the error for the errno of a system call.
//
//go:noinline
func failed(errno syscall.Errno) error {
	if errno == msg.RestartSys {
		return unix.EINTR
	}
	return errno
}
