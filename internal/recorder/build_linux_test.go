package recorder

import (
	"encoding/hex"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

// Calls that tests build by hand, without a tracer.

// built is the content of a message: of a msghdr and the memory that it points to.
type built struct {
	name       []byte
	payload    []string
	control    []byte
	controllen int // msg_controllen after a receive; 0 means len(control)
	msgFlags   uint32
	garbage    byte // fills all padding, and msg_flags at the entry
}

const (
	atHeader  = 0x7ffe0000
	atIov     = 0x7ffe1000
	atPayload = 0x7ffe2000
	atControl = 0x7ffe3000
	atName    = 0x7ffe4000
)

// put writes the value of a field.
func put(l layout, b []byte, name string, v uint64) {
	switch f := l[slices.IndexFunc(l, func(f Field) bool { return f.Name == name })].cut(b); len(f) {
	case 4:
		order.PutUint32(f, uint32(v))
	default:
		order.PutUint64(f, v)
	}
}

func (m built) header(a *Arch) []byte {
	l := a.msghdr(false)
	b := make([]byte, l.size())
	for i := range b {
		b[i] = m.garbage
	}
	put(l, b, "msg_name", 0)
	put(l, b, "msg_namelen", uint64(len(m.name)))
	if len(m.name) > 0 {
		put(l, b, "msg_name", atName)
	}
	put(l, b, "msg_iov", atIov)
	put(l, b, "msg_iovlen", uint64(len(m.payload)))
	put(l, b, "msg_control", 0)
	if len(m.control) > 0 {
		put(l, b, "msg_control", atControl)
	}
	put(l, b, "msg_controllen", uint64(len(m.control)))
	if m.controllen > 0 {
		put(l, b, "msg_controllen", uint64(m.controllen))
	}
	if m.msgFlags != 0 {
		put(l, b, "msg_flags", uint64(m.msgFlags))
	}
	return b
}

// snapshot returns the memory of a call with this message.
func (m built) snapshot(a *Arch) Snapshot {
	memory := func(kind MemoryKind, addr uint64, data []byte) Memory {
		return Memory{Kind: kind, Addr: addr, Size: uint64(len(data)), Data: data}
	}
	var message Message
	message.Header.Memory = memory(Header, atHeader, m.header(a))
	message.Address = memory(Address, atName, m.name)
	message.Control.Memory = memory(ControlData, atControl, m.control)
	v := a.iovec()
	iov := make([]byte, v.size()*len(m.payload))
	for i, p := range m.payload {
		addr := atPayload + uint64(0x100*i)
		one := iov[i*v.size():]
		put(v, one, "iov_base", addr)
		put(v, one, "iov_len", uint64(len(p)))
		part := memory(Payload, addr, []byte(p))
		part.Iovec = i
		message.Payload = append(message.Payload, part)
	}
	message.Iovecs = memory(Iovecs, atIov, iov)
	return Snapshot{Messages: []Message{message}}
}

// redecode decodes the call again after a test has changed its bytes.
func (c *Call) redecode() {
	if c.sig != nil {
		c.Args = c.Registers[:len(c.sig.params)]
	}
	c.decode(&c.Entry, false)
	c.decode(&c.Exit, true)
}

// cmsg returns a control message with its padding.
func cmsg(a *Arch, level, typ int32, data []byte, pad byte) []byte {
	l := a.cmsghdr()
	b := make([]byte, l.size())
	put(l, b, "cmsg_len", uint64(l.size()+len(data)))
	put(l, b, "cmsg_level", uint64(level))
	put(l, b, "cmsg_type", uint64(typ))
	b = append(b, data...)
	for len(b)%a.word != 0 {
		b = append(b, pad)
	}
	return b
}

// words returns the values as memory.
func words(values ...uint32) (b []byte) {
	for _, v := range values {
		b = order.AppendUint32(b, v)
	}
	return b
}

var hexadecimal = regexp.MustCompile(`\b(?:[0-9a-f]{8}){1,3}\b`)

// native returns an expected text with the bytes of its integers in the order of this architecture. In the text, they
// are in little-endian order: 4 bytes, 8 bytes, or a structure of three integers of 4 bytes.
func native(text string) string {
	if lowHalf == 0 {
		return text
	}
	return hexadecimal.ReplaceAllStringFunc(text, func(digits string) string {
		b := unhex(digits)
		size := 4
		if len(b) == 8 {
			size = 8
		}
		for integer := range slices.Chunk(b, size) {
			slices.Reverse(integer)
		}
		return hex.EncodeToString(b)
	})
}

var someProcess = &Process{PID: 100}

// call returns a sendmsg or recvmsg on the socket 3.
func call(a *Arch, name string, flags uint32, entry, exit built, result int64) Call {
	c := Call{
		Process: someProcess, Thread: 101, Arch: a, Nr: uint64(a.syscallNumber(name)),
		Registers: [6]uint64{3, atHeader, uint64(flags), 0xdead, 0xbeef, 0xf00d},
		Entry:     entry.snapshot(a), Exit: exit.snapshot(a), Result: result,
		Files: []File{{FD: 3, Kind: "unix stream", Name: "socket:[1]"}},
		sig:   a.calls()[uint64(a.syscallNumber(name))],
	}
	c.redecode()
	return c
}

var devNull = File{Kind: "character device", Name: "/dev/null", Access: "read-write"}

func fileAt(fd int32, atExit, closeOnExec bool) File {
	f := devNull
	f.FD, f.AtExit, f.CloseOnExec = fd, atExit, closeOnExec
	return f
}

// sentOne returns a call that sends "hello" and the descriptor 5.
func sentOne(a *Arch) Call {
	m := built{payload: []string{"hel", "lo"}, control: cmsg(a, unix.SOL_SOCKET, unix.SCM_RIGHTS, words(5), 0)}
	c := call(a, "sendmsg", unix.MSG_NOSIGNAL, m, m, 5)
	c.Files = append(c.Files, fileAt(5, false, false))
	return c
}

// receivedOne returns a call that receives "hello", credentials and the descriptor 6, and has
// capacity for more.
func receivedOne(a *Arch) Call {
	control := cmsg(a, unix.SOL_SOCKET, unix.SCM_CREDENTIALS, words(100, 1000, 1001), 0)
	control = append(control, cmsg(a, unix.SOL_SOCKET, unix.SCM_RIGHTS, words(6), 0x77)...)
	buffer := make([]byte, len(control)+8)
	for i := range buffer {
		buffer[i] = 0x55
	}
	after := append(control[:len(control):len(control)], buffer[len(control):]...)
	entry := built{payload: []string{"stale stale"}, control: buffer, name: make([]byte, 16)}
	exit := built{
		payload: []string{"hellostale!"}, control: after, controllen: len(control),
		name:     append(order.AppendUint16(nil, unix.AF_UNIX), "\x00peer\x00\x00\x00\x00\x00\x00\x00\x00\x00"...),
		msgFlags: unix.MSG_CMSG_CLOEXEC | unix.MSG_CTRUNC,
	}
	c := call(a, "recvmsg", unix.MSG_CMSG_CLOEXEC, entry, exit, 5)
	put(c.headerLayout(), c.Exit.Messages[0].Header.Data, "msg_namelen", 7)
	c.redecode()
	c.Files = append(c.Files, fileAt(6, true, true))
	return c
}
