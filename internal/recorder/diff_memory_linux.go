package recorder

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// memory compares the memory that the arguments point to, at the entry or at the exit. It compares
// only memory that was recorded for both calls. If memory was recorded for one call only, the argument
// or the header that points to it differs, and that has been reported already.
func (cmp *comparison) memory(atExit bool) bool {
	a, b := &cmp.callA.Entry, &cmp.callB.Entry
	if atExit {
		a, b = &cmp.callA.Exit, &cmp.callB.Exit
	}
	return cmp.socketcallArgs(a, b) || cmp.timeout(a.Timeout, b.Timeout, atExit) || cmp.messages(a, b, atExit)
}

// piece returns the bytes of a Memory that are compared.
func (cmp *comparison) piece(a, b *Memory) piece {
	p := piece{where: cmp.callA.title(a), a: a.Data, b: b.Data}
	if slices.Contains(cmp.UsedOnly, a.Kind) {
		p.a, p.b = a.used(), b.used()
	}
	return p
}

// socketcallArgs compares only the length, because the values were compared as arguments.
func (cmp *comparison) socketcallArgs(a, b *Snapshot) bool {
	if a.SocketcallArgs == nil || b.SocketcallArgs == nil {
		return false
	}
	p := cmp.piece(a.SocketcallArgs, b.SocketcallArgs)
	return len(p.a) != len(p.b) && cmp.bytes(p.where, p)
}

// timeout compares a timespec at the entry. It ignores the remaining time that the kernel stores in
// the timespec, which differs from run to run. It also ignores this time if the program passes the
// same timespec to the next call.
func (cmp *comparison) timeout(a, b *Memory, atExit bool) bool {
	if a == nil || b == nil {
		return false
	}
	p := cmp.piece(a, b)
	if atExit {
		cmp.a.timeouts[a.Addr], cmp.b.timeouts[b.Addr] = string(p.a), string(p.b)
		return false
	}
	if len(p.a) > 0 && cmp.a.timeouts[a.Addr] == string(p.a) && cmp.b.timeouts[b.Addr] == string(p.b) {
		return false
	}
	return cmp.fields(p.where+", ", cmp.callA.timespec(), p)
}

// messages compares the headers of all messages, then the iovecs, then the rest.
func (cmp *comparison) messages(a, b *Snapshot, atExit bool) bool {
	both := min(len(a.Messages), len(b.Messages))
	for i := range both {
		x, y := &a.Messages[i].Header.Memory, &b.Messages[i].Header.Memory
		if cmp.fields(cmp.prefix(i), cmp.callA.headerLayout(), cmp.piece(x, y)) {
			return true
		}
	}
	for i := range both {
		if cmp.iovecs(i, cmp.piece(&a.Messages[i].Iovecs, &b.Messages[i].Iovecs)) {
			return true
		}
	}
	for i := range both {
		if cmp.message(&a.Messages[i], &b.Messages[i], i, atExit) {
			return true
		}
	}
	return false
}

// message compares the address, the control data and the payload.
func (cmp *comparison) message(a, b *Message, i int, atExit bool) bool {
	if a.Address.Size > 0 && b.Address.Size > 0 && cmp.address(a, b, atExit) {
		return true
	}
	if a.Control.Size > 0 && b.Control.Size > 0 && cmp.control(&a.Control, &b.Control, cmp.prefix(i), atExit) {
		return true
	}
	for j := range min(len(a.Payload), len(b.Payload)) {
		x, y := &a.Payload[j], &b.Payload[j]
		p := cmp.piece(x, y)
		if cmp.bytes(p.where, p) || atExit && cmp.sum(x, y) {
			return true
		}
	}
	return false
}

// prefix returns the index of the message if the call can have several, for the name of a field.
func (cmp *comparison) prefix(message int) string {
	if !cmp.callA.batch() {
		return ""
	}
	return fmt.Sprintf("message %d, ", message)
}

func (cmp *comparison) iovecs(message int, p piece) bool {
	l := cmp.callA.Arch.iovec()
	length := max(len(p.a), len(p.b))
	for i := 0; i*l.size() < length; i++ {
		prefix := cmp.prefix(message)
		if length > l.size() {
			prefix += fmt.Sprintf("iovec %d, ", i)
		}
		if cmp.fields(prefix, l, p.cut(i*l.size(), l.size())) {
			return true
		}
	}
	return false
}

// fields compares a structure field by field. Two pointers are equal if both or neither of them
// are NULL.
func (cmp *comparison) fields(prefix string, l layout, p piece) bool {
	for _, f := range l {
		field := p.cut(f.Offset, f.Size)
		if f.kind == pointer && len(field.a) == f.Size && len(field.b) == f.Size {
			null := string(make([]byte, f.Size))
			if (string(field.a) == null) == (string(field.b) == null) {
				continue
			}
		}
		if cmp.bytes(prefix+f.Name, field) {
			return true
		}
	}
	return false
}

// address compares msg_name. Names that the kernel has chosen for sockets differ from run to run,
// so address compares only the order in which they first appear.
func (cmp *comparison) address(a, b *Message, atExit bool) bool {
	const size = len(autobound{})
	p := cmp.piece(&a.Address, &b.Address)
	decoded := atExit || !cmp.callA.receives()
	if nameA, nameB := a.address(), b.address(); decoded && !cmp.ExactIDs &&
		isAutobound(nameA) && isAutobound(nameB) && len(p.a) >= size && len(p.b) >= size {
		x, y := cmp.a.name(autobound(nameA)), cmp.b.name(autobound(nameB))
		if x != y && cmp.differ(p.where, p.cut(0, size), x, y) {
			return true
		}
		p = p.cut(size, max(len(p.a), len(p.b))-size)
	}
	return cmp.bytes(p.where, p)
}

// sum compares the payload after the recorded bytes.
func (cmp *comparison) sum(a, b *Memory) bool {
	if a.Sum == b.Sum {
		return false
	}
	p := piece{where: cmp.callA.title(a), offset: len(a.Data)}
	text := func(sum string) string { return fmt.Sprintf("SHA-256 %.8x", sum) }
	return cmp.differ(fmt.Sprintf("%s after its first %d bytes", p.where, p.offset), p, text(a.Sum), text(b.Sum))
}

// control compares control data, message by message. It compares the fields of the messages in A with
// the bytes at the same offsets in B. It reports a difference in cmsg_len before the differences that
// result from it.
func (cmp *comparison) control(a, b *Control, prefix string, atExit bool) bool {
	p := cmp.piece(&a.Memory, &b.Memory)
	p = p.cut(0, int(min(a.Size, b.Size, callLimit)))
	receives := cmp.callA.receives()
	cmsgs := a.Cmsgs
	if receives && !atExit {
		cmsgs = nil // nothing is received yet
	}
	if !receives {
		cmsgs = cmsgsWithin(cmsgs, len(p.a))
	}
	end := 0
	for i := range cmsgs {
		m := &cmsgs[i]
		message := prefix
		if len(cmsgs) > 1 {
			message += fmt.Sprintf("control message %d, ", i)
		}
		if cmp.cmsg(message, m, p) {
			return true
		}
		end = m.end()
		if receives && slices.Contains(cmp.UsedOnly, ControlData) {
			continue // the kernel does not write the padding
		}
		if cmp.bytes(message+"padding after cmsg_data", p.cut(m.Offset+int(m.Len), len(m.Padding))) {
			return true
		}
	}
	return cmp.bytes(prefix+"control data", p.cut(end, max(len(p.a), len(p.b))))
}

// cmsgsWithin returns the control messages that fit into the first bytes of the buffer, without their
// padding.
func cmsgsWithin(cmsgs []Cmsg, length int) []Cmsg {
	for i := range cmsgs {
		m := &cmsgs[i]
		if m.Offset+len(m.Header)+len(m.Data) > length {
			return cmsgs[:i]
		}
	}
	return cmsgs
}

// cmsg compares the header and the data of a control message.
func (cmp *comparison) cmsg(prefix string, m *Cmsg, p piece) bool {
	if cmp.fields(prefix, cmp.callA.Arch.cmsghdr(), p.cut(m.Offset, len(m.Header))) {
		return true
	}
	data := p.cut(m.Offset+len(m.Header), len(m.Data))
	name := typeName(m.Level, m.Type)
	sameLength := len(data.a) == len(data.b)
	switch {
	case sameLength && (m.isRights() || m.isPIDFD()):
		n := len(data.a) / 4
		for i := range n {
			field := fmt.Sprintf("%s%s, descriptor %d", prefix, name, i)
			if cmp.descriptor(field, data.cut(4*i, 4), cmp.callA.receives()) {
				return true
			}
		}
		return cmp.bytes(prefix+name+", the rest", data.cut(4*n, 4))
	case sameLength && m.isCredentials() && len(data.a) >= 4 && len(data.a) <= unix.SizeofUcred:
		prefix += name + ", " // the kernel may have truncated the struct ucred
		return cmp.process(prefix+"pid", data.cut(0, 4)) ||
			cmp.bytes(prefix+"uid", data.cut(4, 4)) ||
			cmp.bytes(prefix+"gid", data.cut(8, 4))
	case sameLength && cmp.AnyTime && m.isTimestamp():
		return false
	}
	return cmp.bytes(prefix+"cmsg_data", data)
}

// isTimestamp reports whether the control message contains a time, with 32 or 64 bits.
func (m *Cmsg) isTimestamp() bool {
	if m.Level != unix.SOL_SOCKET {
		return false
	}
	switch m.Type {
	case unix.SO_TIMESTAMP_OLD, unix.SO_TIMESTAMPNS_OLD, unix.SO_TIMESTAMPING_OLD,
		unix.SO_TIMESTAMP_NEW, unix.SO_TIMESTAMPNS_NEW, unix.SO_TIMESTAMPING_NEW:
		return true
	}
	return false
}
