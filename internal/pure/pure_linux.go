package pure

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// fewBuffers is how many buffers fit the small iovec.
const fewBuffers = 8

// pairControl is CMSG_SPACE(sizeof(int)): as in the book, it admits two
// descriptors on 64-bit systems.
const pairControl = (unix.SizeofCmsghdr + 4 + unix.SizeofPtr - 1) &^ (unix.SizeofPtr - 1)

// WriteFD is csrc's write_fd: one sendmsg of p and fd, flags 0.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	var c [pairControl / unix.SizeofPtr]uintptr
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&c)), pairControl)
	data, _ := put(buf, unix.SCM_RIGHTS, 4)
	binary.NativeEndian.PutUint32(data, uint32(fd))

	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	hdr := unix.Msghdr{Iov: &iov, Control: &buf[0]}
	hdr.SetIovlen(1)
	hdr.SetControllen(pairControl)
	return sendmsg(sock, &hdr, 0)
}

// ReadFD is csrc's read_fd: one recvmsg into p. fd is -1 or FDLost where
// there is no descriptor to hand over.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	var c [pairControl / unix.SizeofPtr]uintptr
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&c)), pairControl)

	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	hdr := unix.Msghdr{Iov: &iov, Control: &buf[0]}
	hdr.SetIovlen(1)
	hdr.SetControllen(pairControl)
	n, err = recvmsg(sock, &hdr, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		closeInstalled(buf[:hdr.Controllen])
		return -1, -1, err
	}
	var one [1]int32
	m := msg.Message{FDs: one[:], Flags: int(hdr.Flags)}
	takeControl(buf[:hdr.Controllen], &m)
	fd = pairFD(&m)
	return n, fd, nil
}

// Send is csrc's scm_rights_send: one sendmsg of m.
func Send(sock int32, m *msg.Message, flags int) (err error) {
	m.ClearResults()
	if err := check(m); err != nil {
		return err
	}
	if len(m.Buffers) > fewBuffers {
		return sendMany(sock, m, flags)
	}
	var iov [fewBuffers]unix.Iovec
	for i, b := range m.Buffers {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	return send(sock, &iov[0], m, flags)
}

// sendMany has room for every iovec that the kernel takes on its own stack. An
// empty buffer has no address then: csrc has many in one piece of memory.
// The loop is here again because a helper's store through a pointer would move
// every caller's buffers to the heap.
//
//go:noinline
func sendMany(sock int32, m *msg.Message, flags int) (err error) {
	var iov [msg.MaxBuffers]unix.Iovec
	for i, b := range m.Buffers {
		if len(b) > 0 {
			iov[i].Base = &b[0]
		}
		iov[i].SetLen(len(b))
	}
	return send(sock, &iov[0], m, flags)
}

func send(sock int32, iov *unix.Iovec, m *msg.Message, flags int) (err error) {
	var hdr unix.Msghdr
	if len(m.Buffers) > 0 {
		hdr.Iov = iov
	}
	hdr.SetIovlen(len(m.Buffers))
	if len(m.Name) > 0 {
		hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
	}
	if len(m.FDs) > 0 || m.Cred != nil {
		var c control
		buf := c.bytes()
		hdr.Control = &buf[0]
		hdr.SetControllen(putControl(buf, m))
		n, err := sendmsg(sock, &hdr, flags)
		m.N = max(n, 0)
		return err
	}
	n, err := sendmsg(sock, &hdr, flags)
	m.N = max(n, 0)
	return err
}

// Recv is csrc's scm_rights_recv: one recvmsg into m.
func Recv(sock int32, m *msg.Message, flags int) (err error) {
	m.ClearReceived()
	if err := check(m); err != nil {
		return err
	}
	if len(m.Buffers) > fewBuffers {
		return recvMany(sock, m, flags)
	}
	var iov [fewBuffers]unix.Iovec
	for i, b := range m.Buffers {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	return recv(sock, &iov[0], m, flags)
}

// recvMany is to Recv as sendMany is to Send.
//
//go:noinline
func recvMany(sock int32, m *msg.Message, flags int) (err error) {
	var iov [msg.MaxBuffers]unix.Iovec
	for i, b := range m.Buffers {
		if len(b) > 0 {
			iov[i].Base = &b[0]
		}
		iov[i].SetLen(len(b))
	}
	return recv(sock, &iov[0], m, flags)
}

func recv(sock int32, iov *unix.Iovec, m *msg.Message, flags int) (err error) {
	var c control
	var hdr unix.Msghdr
	if len(m.Buffers) > 0 {
		hdr.Iov = iov
	}
	hdr.SetIovlen(len(m.Buffers))
	if len(m.Name) > 0 {
		hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
	}
	if room := controlRoom(m); room > 0 {
		hdr.Control = &c.bytes()[0]
		hdr.SetControllen(room)
	}
	n, err := recvmsg(sock, &hdr, flags|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		closeInstalled(c.bytes()[:hdr.Controllen])
		return err
	}
	m.N = n
	received(m, &hdr, c.bytes())
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

// received takes what the kernel set in hdr into m.
func received(m *msg.Message, hdr *unix.Msghdr, control []byte) {
	m.NameLen = int(hdr.Namelen)
	m.Flags = int(hdr.Flags)
	takeControl(control[:hdr.Controllen], m)
	m.Flags &^= unix.MSG_CMSG_CLOEXEC
}

func sendmsg(sock int32, hdr *unix.Msghdr, flags int) (int, error) {
	sys.BeforeSend()
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))
	return result(n, errno)
}

func recvmsg(sock int32, hdr *unix.Msghdr, flags int) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))
	if errno == 0 {
		sys.AfterReceive()
	}
	return result(n, errno)
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	switch errno {
	case 0:
		return int(n), nil
	case msg.RestartSys:
		return -1, unix.EINTR
	}
	return -1, errno
}
