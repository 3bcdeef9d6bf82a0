package recorder

import (
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// memory compares the memory that the arguments point to, at the entry or at the exit. It does not compare
// a timeout or a header that only one of the calls has, because an argument differs.
func (c *comparison) memory(atExit bool) {
	a, b := &c.callA.Entry, &c.callB.Entry
	if atExit {
		a, b = &c.callA.Exit, &c.callB.Exit
	}
	if x, y := a.SocketcallArgs, b.SocketcallArgs; x != nil && y != nil && len(x.Data) != len(y.Data) {
		c.bytes(c.piece(x, y)) // of the same length, they were compared as arguments
	}
	if x, y := a.Timeout, b.Timeout; x != nil && y != nil {
		c.timeout(x, y, atExit)
	}
	c.messages(a, b, atExit)
}

// piece returns the bytes of a Memory that are compared.
func (c *comparison) piece(a, b *Memory) piece {
	call, m := c.callA, a
	if a.Size == 0 { // A may have no such memory
		call, m = c.callB, b
	}
	p := piece{call.place(m), a.Data, b.Data}
	p.LenA, p.LenB = c.length(a, m.Kind), c.length(b, m.Kind)
	if slices.Contains(c.UsedOnly, m.Kind) {
		p.a, p.b = a.used(), b.used()
	}
	return p
}

// length returns how many bytes of a Memory are compared.
func (o Comparison) length(m *Memory, kind MemoryKind) int {
	if slices.Contains(o.UsedOnly, kind) {
		return int(min(m.Size, m.Used))
	}
	return int(m.Size)
}

// timeout compares a timespec at the entry. It ignores the remaining time that the kernel stores in
// the timespec, which differs from run to run. It also ignores this time if the program passes the
// same timespec to the next call.
func (c *comparison) timeout(a, b *Memory, atExit bool) {
	p := c.piece(a, b)
	switch {
	case atExit:
		c.a.timeouts[a.Addr], c.b.timeouts[b.Addr] = string(p.a), string(p.b)
	case len(p.a) > 0 && c.a.timeouts[a.Addr] == string(p.a) && c.b.timeouts[b.Addr] == string(p.b):
	default:
		c.fields(c.callA.timespec(), p)
	}
}

// messages compares the headers of all messages, then the iovecs, then the rest. At the exit, it does not
// compare a message that only one of the calls has received.
func (c *comparison) messages(a, b *Snapshot, atExit bool) {
	skipped := func(i int) bool { return atExit && c.callA.received(i) != c.callB.received(i) }
	both := min(len(a.Messages), len(b.Messages))
	for i := range both {
		if !skipped(i) {
			x, y := &a.Messages[i].Header.Memory, &b.Messages[i].Header.Memory
			c.fields(c.callA.headerLayout(), c.piece(x, y))
		}
	}
	for i := range both {
		if !skipped(i) {
			c.iovecs(c.piece(&a.Messages[i].Iovecs, &b.Messages[i].Iovecs))
		}
	}
	for i := range max(len(a.Messages), len(b.Messages)) {
		if !skipped(i) {
			c.message(at(a.Messages, i), at(b.Messages, i), atExit)
		}
	}
}

// message compares the address, the control data and the payload. A message that one of the calls does not
// have is empty.
func (c *comparison) message(a, b Message, atExit bool) {
	if a.Address.Size > 0 || b.Address.Size > 0 {
		c.address(&a, &b, atExit)
	}
	c.control(&a.Control, &b.Control, atExit)
	for j := range max(len(a.Payload), len(b.Payload)) {
		x, y := at(a.Payload, j), at(b.Payload, j)
		p := c.piece(&x, &y)
		c.bytes(p)
		if atExit && x.Sum != y.Sum { // the payload after the recorded bytes
			rest := p.cut(max(len(p.a), len(p.b)), 0)
			rest.From, rest.To = rest.Offset, max(p.LenA, p.LenB)
			c.differ(rest, fmt.Sprintf("SHA-256 %x", x.Sum), fmt.Sprintf("SHA-256 %x", y.Sum))
		}
	}
}

func (c *comparison) iovecs(p piece) {
	l := c.callA.Arch.iovec()
	length := max(len(p.a), len(p.b))
	for i := 0; i*l.size() < length; i++ {
		if length > l.size() {
			p.Index = i
		}
		c.fields(l, p.cut(i*l.size(), l.size()))
	}
}

// fields compares a structure field by field. Two pointers are equal if both or neither of them
// are NULL.
func (c *comparison) fields(l layout, p piece) {
	for _, f := range l {
		field := p.cut(f.Offset, f.Size).named(f.Name)
		if f.kind == padding {
			field.padding = true
			c.bytes(field)
			continue
		}
		field.Offset += field.first()
		c.texts(field, f.text(field.a), f.text(field.b))
	}
}

// text returns the value of a field, or the bytes of it that exist.
func (f Field) text(b []byte) string {
	v := integer(Field{Size: f.Size}, b)
	switch {
	case len(b) < f.Size:
		return partText(b)
	case f.kind == pointer:
		return pointerText(v)
	case f.Name == "msg_flags":
		return FlagText(uint32(v))
	}
	return strconv.FormatUint(v, 10)
}

// address compares msg_name. Names that the kernel has chosen for sockets differ from run to run,
// so address compares only the order in which they first appear.
func (c *comparison) address(a, b *Message, atExit bool) {
	const size = len(autobound{})
	p := c.piece(&a.Address, &b.Address)
	decoded := atExit || !c.callA.receives()
	if nameA, nameB := a.address(), b.address(); decoded && !c.ExactIDs &&
		isAutobound(nameA) && isAutobound(nameB) && len(p.a) >= size && len(p.b) >= size {
		name := p.cut(0, size)
		name.ordinal = true
		c.texts(name, c.a.name(autobound(nameA)), c.b.name(autobound(nameB)))
		p = p.cut(size, max(len(p.a), len(p.b))-size)
	}
	c.bytes(p)
}

// control compares control data, message by message, then the bytes after the last one. Of buffers for a
// receive, it compares the bytes that exist in both.
func (c *comparison) control(a, b *Control, atExit bool) {
	p := c.piece(&a.Memory, &b.Memory)
	receives, usedOnly := c.callA.receives(), slices.Contains(c.UsedOnly, ControlData)
	if receives && !usedOnly {
		p = p.cut(0, int(min(a.Size, b.Size, callLimit)))
	}
	x, y := a.Cmsgs, b.Cmsgs
	if receives && !atExit {
		x, y = nil, nil // nothing is received yet
	}
	arch, messages := c.callA.Arch, max(len(x), len(y))
	for i := range messages {
		m, n := at(x, i), at(y, i) // empty after the last one
		if messages > 1 {
			p.Index = i
		}
		c.fields(arch.cmsghdr(), p.cut(0, arch.cmsghdr().size()))
		data := p.cut(arch.cmsghdr().size(), 0).Place
		if m.Level == n.Level && m.Type == n.Type {
			c.data(&m, piece{data, m.Data, n.Data})
		} else {
			c.data(&m, piece{data, m.Data, nil})
			c.data(&n, piece{data, nil, n.Data})
		}
		p = p.after(int(m.Len), int(n.Len))
		paddingA, paddingB := arch.align(int(m.Len))-int(m.Len), arch.align(int(n.Len))-int(n.Len)
		if !receives || !usedOnly { // a receive does not write the padding
			between := p.cut(0, min(paddingA, paddingB)).named("padding after cmsg_data")
			between.padding = true
			c.bytes(between)
		}
		p = p.after(paddingA, paddingB)
	}
	p.Index = -1
	c.bytes(p.named("control data"))
}

// data compares the data of a control message of the type of m.
func (c *comparison) data(m *Cmsg, data piece) {
	name := typeName(m.Level, m.Type)
	part := func(field string, offset, size int) piece { return data.cut(offset, size).named(name + ", " + field) }
	switch {
	case m.isRights() || m.isPIDFD():
		n := max(len(data.a), len(data.b)) / 4
		for i := range n {
			c.descriptor(part(fmt.Sprintf("descriptor %d", i), 4*i, 4), c.callA.receives())
			c.closeOnExec(part("close-on-exec", 4*i, 4))
		}
		c.bytes(part("the rest", 4*n, 4))
	case m.isCredentials(): // the kernel may have truncated the struct ucred
		c.process(part("pid", 0, 4))
		c.bytes(part("uid", 4, 4))
		c.bytes(part("gid", 8, 4))
		c.bytes(part("the rest", 12, callLimit))
	case c.AnyTime && m.isTimestamp():
	default:
		c.bytes(data.named("cmsg_data"))
	}
}

// isTimestamp reports whether the control message contains a time, with 32 or 64 bits.
func (m *Cmsg) isTimestamp() bool {
	return m.Level == unix.SOL_SOCKET && slices.Contains([]int32{
		unix.SO_TIMESTAMP_OLD, unix.SO_TIMESTAMPNS_OLD, unix.SO_TIMESTAMPING_OLD,
		unix.SO_TIMESTAMP_NEW, unix.SO_TIMESTAMPNS_NEW, unix.SO_TIMESTAMPING_NEW,
	}, m.Type)
}
