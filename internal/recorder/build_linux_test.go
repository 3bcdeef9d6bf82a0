package recorder

import "golang.org/x/sys/unix"

// Calls that are put together by hand, for tests that trace nothing.

// built is a message: what a msghdr and all it points to hold.
type built struct {
	name       []byte
	payload    []string
	control    []byte
	controllen int // of a receipt; 0 stands for all of control
	msgFlags   uint32
	garbage    byte // in all padding and in msg_flags of the entry
}

const (
	atHeader  = 0x7ffe0000
	atIov     = 0x7ffe1000
	atPayload = 0x7ffe2000
	atControl = 0x7ffe3000
	atName    = 0x7ffe4000
)

// put writes a number into a field.
func put(l layout, b []byte, name string, v uint64) {
	f := l.field(b, name)
	for i := range f {
		f[i] = byte(v >> (8 * i))
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

func (m built) blobs(a *Arch) []Blob {
	blob := func(what What, index int, addr uint64, data []byte) Blob {
		return Blob{What: what, Arg: 1, Index: index, Addr: addr, Size: uint64(len(data)), Data: data}
	}
	v := a.iovec()
	iov := make([]byte, v.size()*len(m.payload))
	for i, p := range m.payload {
		one := iov[i*v.size():]
		put(v, one, "iov_base", atPayload+uint64(0x100*i))
		put(v, one, "iov_len", uint64(len(p)))
	}
	list := []Blob{blob(Header, 0, atHeader, m.header(a)), blob(Iovecs, 0, atIov, iov)}
	if len(m.name) > 0 {
		list = append(list, blob(Address, 0, atName, m.name))
	}
	if len(m.control) > 0 {
		list = append(list, blob(Control, 0, atControl, m.control))
	}
	for i, p := range m.payload {
		list = append(list, blob(Payload, i, atPayload+uint64(0x100*i), []byte(p)))
	}
	return list
}

// cmsg is one control message with its padding.
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

func numbered(values ...uint32) (b []byte) {
	for _, v := range values {
		b = order.AppendUint32(b, v)
	}
	return b
}

var someProcess = &Process{PID: 100}

// call is one of sendmsg or recvmsg over socket 3.
func call(a *Arch, name string, flags uint32, entry, exit built, result int64) Call {
	c := Call{
		Process: someProcess, Thread: 101, Arch: a, Nr: uint64(a.number(name)),
		Args:  [6]uint64{3, atHeader, uint64(flags), 0xdead, 0xbeef, 0xf00d},
		Entry: entry.blobs(a), Exit: exit.blobs(a), Result: result,
		Files: []File{{FD: 3, Kind: "unix stream", Name: "socket:[1]"}},
		sig:   a.calls()[uint64(a.number(name))],
	}
	c.args = c.Args
	return c
}

var devNull = File{Kind: "character device", Name: "/dev/null", Access: "read-write"}

func fileAt(fd int32, atExit, closeOnExec bool) File {
	f := devNull
	f.FD, f.AtExit, f.CloseOnExec = fd, atExit, closeOnExec
	return f
}

// sentOne sends "hello" and descriptor 5.
func sentOne(a *Arch) Call {
	m := built{payload: []string{"hel", "lo"}, control: cmsg(a, unix.SOL_SOCKET, unix.SCM_RIGHTS, numbered(5), 0)}
	c := call(a, "sendmsg", unix.MSG_NOSIGNAL, m, m, 5)
	c.Files = append(c.Files, fileAt(5, false, false))
	return c
}

// receivedOne receives "hello", credentials and descriptor 6, with room for more.
func receivedOne(a *Arch) Call {
	control := cmsg(a, unix.SOL_SOCKET, unix.SCM_CREDENTIALS, numbered(100, 1000, 1001), 0)
	control = append(control, cmsg(a, unix.SOL_SOCKET, unix.SCM_RIGHTS, numbered(6), 0x77)...)
	room := make([]byte, len(control)+8)
	for i := range room {
		room[i] = 0x55
	}
	after := append(control[:len(control):len(control)], room[len(control):]...)
	entry := built{payload: []string{"stale stale"}, control: room, name: make([]byte, 16)}
	exit := built{
		payload: []string{"hellostale!"}, control: after, controllen: len(control), name: []byte("\x01\x00\x00peer\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		msgFlags: unix.MSG_CMSG_CLOEXEC | unix.MSG_CTRUNC,
	}
	c := call(a, "recvmsg", unix.MSG_CMSG_CLOEXEC, entry, exit, 5)
	put(c.header(), c.Exit[0].Data, "msg_namelen", 7)
	c.Files = append(c.Files, fileAt(6, true, true))
	return c
}
