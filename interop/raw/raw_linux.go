// Package raw holds the runner's own system calls: what it says to the kernel
// without any library that it judges.
package raw

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Message is a msghdr as it is: nothing is mended in it, and the lengths may be
// other than those of the buffers.
type Message struct {
	Name       []byte // msg_name
	NameLen    int    // msg_namelen; after a receive, as the kernel left it
	Buffers    [][]byte
	NoBuffers  bool   // msg_iov is NULL, and msg_iovlen 0
	Control    []byte // msg_control: of length 0 and not nil, it still has an address
	ControlLen int    // msg_controllen; after a receive, as the kernel left it
	Flags      int    // msg_flags, after a receive
	Len        int    // msg_len, after RecvMany
}

// NewMessage is a message whose lengths are those of its buffers.
func NewMessage(buffers [][]byte, control []byte) *Message {
	return &Message{Buffers: buffers, Control: control, ControlLen: len(control)}
}

// Send sends the message.
func (m *Message) Send(sock, flags int) (int, error) {
	return m.call(unix.SYS_SENDMSG, sock, flags)
}

// Recv receives into the message. Descriptors in its control buffer are the
// caller's: see Parse.
func (m *Message) Recv(sock, flags int) (int, error) {
	return m.call(unix.SYS_RECVMSG, sock, flags)
}

func (m *Message) call(trap uintptr, sock, flags int) (int, error) {
	hdr := m.header()
	n, _, errno := unix.Syscall(trap, uintptr(sock), uintptr(unsafe.Pointer(&hdr)), uintptr(flags))
	m.take(&hdr)
	return result(n, errno)
}

// result is what a system call returns.
func result(n uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// take keeps what the kernel wrote into the header.
func (m *Message) take(hdr *unix.Msghdr) {
	m.NameLen, m.ControlLen, m.Flags = int(hdr.Namelen), int(hdr.Controllen), int(hdr.Flags)
}

func (m *Message) header() (hdr unix.Msghdr) {
	if !m.NoBuffers {
		iov := make([]unix.Iovec, len(m.Buffers))
		for i, b := range m.Buffers {
			iov[i].Base = unsafe.SliceData(b)
			iov[i].SetLen(len(b))
		}
		hdr.Iov = unsafe.SliceData(iov)
		hdr.SetIovlen(len(iov))
	}
	hdr.Name = unsafe.SliceData(m.Name)
	hdr.Namelen = uint32(m.NameLen)
	hdr.Control = unsafe.SliceData(m.Control)
	hdr.SetControllen(m.ControlLen)
	return hdr
}

// mmsghdr is struct mmsghdr of sys/socket.h.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// SendMany is sendmmsg(2). It returns how many messages were sent.
func SendMany(sock int, ms []*Message, flags int) (int, error) {
	return many(unix.SYS_SENDMMSG, sock, ms, flags)
}

// RecvMany is recvmmsg(2). It returns how many messages were received.
func RecvMany(sock int, ms []*Message, flags int) (int, error) {
	return many(unix.SYS_RECVMMSG, sock, ms, flags)
}

func many(trap uintptr, sock int, ms []*Message, flags int) (int, error) {
	headers := make([]mmsghdr, len(ms))
	for i, m := range ms {
		headers[i].hdr = m.header()
	}
	n, _, errno := unix.Syscall6(trap, uintptr(sock), uintptr(unsafe.Pointer(unsafe.SliceData(headers))),
		uintptr(len(headers)), uintptr(flags), 0, 0)
	for i := range headers {
		ms[i].take(&headers[i].hdr)
		ms[i].Len = int(headers[i].len)
	}
	return result(n, errno)
}

// Send sends one message: the buffers, and fds in one SCM_RIGHTS message.
func Send(sock int, bufs [][]byte, fds []int, flags int) (int, error) {
	var control []byte
	if len(fds) > 0 {
		control = Rights(fds...)
	}
	return NewMessage(bufs, control).Send(sock, flags)
}

// Recv receives one message into bufs, with room for exactly room descriptors,
// close-on-exec. They are the caller's. It closes a pidfd that the kernel adds.
func Recv(sock int, bufs [][]byte, room, flags int) (n int, fds []int, rflags int, err error) {
	var control []byte
	if room > 0 {
		control = make([]byte, unix.CmsgLen(4*room))
	}
	m := NewMessage(bufs, control)
	if n, err = m.Recv(sock, flags|unix.MSG_CMSG_CLOEXEC); err != nil {
		return -1, nil, 0, err
	}
	for _, c := range Parse(control[:m.ControlLen]) {
		switch {
		case c.Level == unix.SOL_SOCKET && c.Type == unix.SCM_RIGHTS:
			fds = append(fds, c.Int32s()...)
		case c.Level == unix.SOL_SOCKET && c.Type == unix.SCM_PIDFD:
			for _, fd := range c.Int32s() {
				_ = unix.Close(fd)
			}
		}
	}
	return n, fds, m.Flags &^ unix.MSG_CMSG_CLOEXEC, nil
}

// A Cmsg is one control message.
type Cmsg struct {
	Level, Type int32
	Data        []byte
	Len         *uint64 // cmsg_len to send, if it is not what the data makes it
}

// Bytes is the control message as it is sent, with its padding.
func (c Cmsg) Bytes() []byte {
	b := make([]byte, unix.CmsgSpace(len(c.Data)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = c.Level, c.Type
	h.SetLen(unix.CmsgLen(len(c.Data)))
	if c.Len != nil {
		h.SetLen(int(*c.Len))
	}
	copy(b[unix.CmsgLen(0):], c.Data)
	return b
}

// Int32s returns the data as integers: descriptors, or a process, a user and a group.
func (c Cmsg) Int32s() (list []int) {
	for data := c.Data; len(data) >= 4; data = data[4:] {
		list = append(list, int(int32(binary.NativeEndian.Uint32(data))))
	}
	return list
}

// Int32s returns the data of a control message that has these integers.
func Int32s(list ...int) (data []byte) {
	for _, n := range list {
		data = binary.NativeEndian.AppendUint32(data, uint32(int32(n)))
	}
	return data
}

// Rights is one SCM_RIGHTS message with its padding.
func Rights(fds ...int) []byte {
	return Cmsg{Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS, Data: Int32s(fds...)}.Bytes()
}

// Parse reads received control messages. A truncated one has the data that was received.
func Parse(control []byte) (list []Cmsg) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(min(uint64(h.Len), uint64(len(control))))
		if size < unix.SizeofCmsghdr {
			break
		}
		list = append(list, Cmsg{Level: h.Level, Type: h.Type, Data: control[unix.CmsgLen(0):size]})
		control = control[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(control)):]
	}
	return list
}

// Edge is memory of which the first n bytes are there, and what follows faults.
// It stays until the process ends.
func Edge(n int) ([]byte, error) {
	page := unix.Getpagesize()
	size := (n + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	if err := unix.Mprotect(mem[size:], unix.PROT_NONE); err != nil {
		return nil, err
	}
	return mem[size-n:], nil
}

// SameDescription asks kcmp(2) whether two numbers of two processes are the same open file description.
func SameDescription(pid1, fd1, pid2, fd2 int) (bool, error) {
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid1), uintptr(pid2), 0 /* KCMP_FILE */, uintptr(fd1), uintptr(fd2), 0)
	n, err := result(r, errno)
	return n == 0, err
}

// Bind binds a socket to a name as the kernel takes it.
func Bind(sock int, name []byte) error { return named(unix.SYS_BIND, sock, name) }

// Connect connects a socket to a name as the kernel takes it.
func Connect(sock int, name []byte) error { return named(unix.SYS_CONNECT, sock, name) }

func named(trap uintptr, sock int, name []byte) error {
	n, _, errno := unix.Syscall(trap, uintptr(sock), uintptr(unsafe.Pointer(unsafe.SliceData(name))), uintptr(len(name)))
	_, err := result(n, errno)
	return err
}
