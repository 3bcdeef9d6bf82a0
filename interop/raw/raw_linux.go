// Package raw makes system calls for the runner without using any of the libraries under test.
package raw

import (
	"encoding/binary"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Message is a msghdr. It is passed to the kernel unchanged, so its lengths may differ from
// those of the buffers.
type Message struct {
	Name       []byte // msg_name
	NameLen    int    // msg_namelen; after a receive, as the kernel left it
	Buffers    [][]byte
	NoBuffers  bool   // msg_iov is NULL, and msg_iovlen 0
	Control    []byte // msg_control; a non-nil slice of length 0 still has an address
	ControlLen int    // msg_controllen; after a receive, as the kernel left it
	Flags      int    // msg_flags after a receive
	Len        int    // msg_len after RecvMany
}

// NewMessage returns a message whose lengths are those of its buffers.
func NewMessage(buffers [][]byte, control []byte) *Message {
	return &Message{Buffers: buffers, Control: control, ControlLen: len(control)}
}

// Send sends the message.
func (m *Message) Send(sock, flags int) (int, error) {
	return m.call(unix.SYS_SENDMSG, sock, flags)
}

// Recv receives into the message. The caller owns the descriptors in the control buffer, and can
// use Parse to find them.
func (m *Message) Recv(sock, flags int) (int, error) {
	return m.call(unix.SYS_RECVMSG, sock, flags)
}

func (m *Message) call(trap uintptr, sock, flags int) (int, error) {
	hdr := m.header()
	n, _, errno := unix.Syscall(trap, uintptr(sock), uintptr(unsafe.Pointer(&hdr)), uintptr(flags))
	m.take(&hdr)
	return result(n, errno)
}

// result returns the results of a system call.
func result(n uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// take copies the fields that the kernel sets from the header.
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

// SendMany calls sendmmsg(2) and returns the number of messages sent.
func SendMany(sock int, ms []*Message, flags int) (int, error) {
	return many(unix.SYS_SENDMMSG, sock, ms, flags)
}

// RecvMany calls recvmmsg(2) and returns the number of messages received.
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

// Send sends bufs as one message, with fds in a single control message.
func Send(sock int, bufs [][]byte, fds []int, flags int) (int, error) {
	var control []byte
	if len(fds) > 0 {
		control = Rights(fds...)
	}
	return NewMessage(bufs, control).Send(sock, flags)
}

// Recv receives one message into bufs, with a control buffer for exactly room descriptors. The
// caller owns the descriptors, which are close-on-exec. If the kernel adds a pidfd to the
// message, Recv closes it.
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
	Len         *uint64 // cmsg_len to send, or nil for the length of Data
}

// Bytes encodes the control message and its padding for a control buffer.
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

// Int32s decodes the data as 32-bit integers. These are descriptors, or a process ID, a user ID
// and a group ID.
func (c Cmsg) Int32s() (list []int) {
	for data := c.Data; len(data) >= 4; data = data[4:] {
		list = append(list, int(int32(binary.NativeEndian.Uint32(data))))
	}
	return list
}

// Int32s encodes integers as the data of a control message.
func Int32s(list ...int) (data []byte) {
	for _, n := range list {
		data = binary.NativeEndian.AppendUint32(data, uint32(int32(n)))
	}
	return data
}

// Rights returns an encoded SCM_RIGHTS message with its padding.
func Rights(fds ...int) []byte {
	return Cmsg{Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS, Data: Int32s(fds...)}.Bytes()
}

// Parse returns the control messages in a received buffer. The data of a truncated message is the
// part that was received.
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

// Edge returns n bytes of memory that are followed by an inaccessible page. The memory is never
// unmapped.
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

// Sockaddr returns the bytes of a sockaddr_un for a path, or for an abstract name that starts with @ and ends, as the
// kernel lists it, with @ for each zero byte of padding. Package unix refuses a name that fills the address.
func Sockaddr(address string) []byte {
	name := binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX)
	if address, abstract := strings.CutPrefix(address, "@"); abstract {
		short := strings.TrimRight(address, "@")
		return append(append(append(name, 0), short...), make([]byte, len(address)-len(short))...)
	}
	return append(append(name, address...), 0)
}

// Bind binds a socket to an address. The name contains the raw bytes of a sockaddr.
func Bind(sock int, name []byte) error { return named(unix.SYS_BIND, sock, name) }

// Connect connects a socket to an address. The name contains the raw bytes of a sockaddr.
func Connect(sock int, name []byte) error { return named(unix.SYS_CONNECT, sock, name) }

func named(trap uintptr, sock int, name []byte) error {
	n, _, errno := unix.Syscall(trap, uintptr(sock), uintptr(unsafe.Pointer(unsafe.SliceData(name))), uintptr(len(name)))
	_, err := result(n, errno)
	return err
}
