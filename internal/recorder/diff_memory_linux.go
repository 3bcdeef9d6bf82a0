package recorder

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// memory compares what the arguments point to. Which memory there is, and how
// long the buffers for control data are, is in arguments and headers, which were
// compared before it.
func (cmp *comparison) memory(atExit bool) bool {
	a, b := cmp.callA.Entry, cmp.callB.Entry
	if atExit {
		a, b = cmp.callA.Exit, cmp.callB.Exit
	}
	for i := range a {
		x := &a[i]
		y := counterpart(b, x)
		if y == nil {
			continue
		}
		p := piece{where: cmp.callA.title(x), a: x.Data, b: y.Data}
		if slices.Contains(cmp.Said, x.What) {
			p.a, p.b = cmp.callA.said(x, atExit), cmp.callB.said(y, atExit)
		}
		if x.What == Control {
			p = p.cut(0, int(min(x.Size, y.Size, callLimit)))
		}
		if cmp.blob(x, p, atExit) {
			return true
		}
	}
	return false
}

func counterpart(blobs []Blob, x *Blob) *Blob {
	if x.What == Buffer {
		return buffer(blobs, x.Arg)
	}
	return find(blobs, x.What, x.Msg, x.Index)
}

// said is the part of the memory that the kernel reads at the entry, or has
// read or written at the exit.
func (c *Call) said(b *Blob, atExit bool) []byte {
	upTo := func(n uint64) []byte { return b.Data[:min(uint64(len(b.Data)), n)] }
	switch b.What {
	case Buffer:
		switch kind := c.sig.args[b.Arg].kind; {
		case kind == argOut && !atExit, kind == argLenp && !atExit, kind == argFDs && !atExit:
			return nil
		case kind == argOut:
			return upTo(uint64(max(0, c.Result)))
		case kind == argLenp:
			length := buffer(c.Exit, c.sig.args[b.Arg].of).data()
			if c.Errno != 0 || len(length) < 4 {
				return nil
			}
			return upTo(uint64(order.Uint32(length)))
		}
	case Address, Control, Payload:
		switch {
		case !c.sig.receives():
		case !atExit || b.Msg >= c.done():
			return nil
		case b.What == Control:
			return c.received(b.Msg)
		case b.What == Address:
			return c.address(b.Msg)
		case b.What == Payload:
			return upTo(c.filled(b))
		}
	}
	return b.Data
}

// filled is how many bytes of the buffer of an iovec the kernel has sent or received.
func (c *Call) filled(b *Blob) uint64 {
	left := uint64(c.bytes(b.Msg))
	for i := range c.Exit {
		if x := &c.Exit[i]; x.What == Payload && x.Msg == b.Msg && x.Index < b.Index {
			left -= min(left, x.Size)
		}
	}
	return min(left, b.Size)
}

func (cmp *comparison) blob(x *Blob, p piece, atExit bool) bool {
	a := cmp.callA
	switch x.What {
	case SocketcallArgs:
		return len(p.a) != len(p.b) && cmp.bytes(p.where, p) // its values were compared as arguments
	case Header:
		return cmp.fields(a.header(), p, cmp.prefix(x))
	case Iovecs:
		size := a.Arch.iovec().size()
		for i := 0; i*size < max(len(p.a), len(p.b)); i++ {
			prefix := cmp.prefix(x)
			if max(len(p.a), len(p.b)) > size {
				prefix += fmt.Sprintf("iovec %d, ", i)
			}
			if cmp.fields(a.Arch.iovec(), p.cut(i*size, size), prefix) {
				return true
			}
		}
		return false
	case Control:
		return cmp.control(x, p, atExit)
	case Buffer:
		return cmp.buffer(x, p, atExit)
	case Address:
		if atExit || !a.sig.receives() {
			return cmp.address(x, p)
		}
	}
	return cmp.bytes(p.where, p) || x.What == Payload && atExit && cmp.sum(x)
}

// sum compares what is behind the bytes that were recorded.
func (cmp *comparison) sum(x *Blob) bool {
	y := counterpart(cmp.callB.Exit, x)
	if x.Sum == y.Sum {
		return false
	}
	p := piece{where: cmp.callA.title(x), offset: len(x.Data)}
	text := func(sum string) string { return fmt.Sprintf("SHA-256 %.8x", sum) }
	return cmp.differ(fmt.Sprintf("%s behind its first %d bytes", p.where, p.offset), p, text(x.Sum), text(y.Sum))
}

// address compares msg_name. A name that the kernel has chosen for a socket differs
// from run to run: it counts as the how many-th one it appears.
func (cmp *comparison) address(x *Blob, p piece) bool {
	const size = len(autobound{})
	if a, b := cmp.callA.address(x.Msg), cmp.callB.address(x.Msg); !cmp.Numbers &&
		isAutobound(a) && isAutobound(b) && len(p.a) >= size && len(p.b) >= size {
		a, b := cmp.a.name(autobound(a)), cmp.b.name(autobound(b))
		if a != b && cmp.differ(p.where, p.cut(0, size), a, b) {
			return true
		}
		p = p.cut(size, max(len(p.a), len(p.b))-size)
	}
	return cmp.bytes(p.where, p)
}

// prefix says which message a field is of, where there are several.
func (cmp *comparison) prefix(x *Blob) string {
	if !cmp.callA.many() {
		return ""
	}
	return fmt.Sprintf("message %d, ", x.Msg)
}

func (cmp *comparison) fields(l layout, p piece, prefix string) bool {
	for _, f := range l {
		part := p.cut(f.Offset, f.Size)
		if f.kind == address && len(part.a) == f.Size && len(part.b) == f.Size {
			null := make([]byte, f.Size)
			if (string(part.a) == string(null)) == (string(part.b) == string(null)) {
				continue
			}
		}
		if cmp.bytes(prefix+f.Name, part) {
			return true
		}
	}
	return false
}

// control compares message by message as long as both sides are alike, and
// what is no control message as it is.
func (cmp *comparison) control(x *Blob, p piece, atExit bool) bool {
	a := cmp.callA
	receives := a.sig.receives()
	written := p.a
	if receives {
		if written = nil; atExit {
			written = a.received(x.Msg)
		}
	}
	list, _ := parseControl(a.Arch, written)
	end := 0
	for i, m := range list {
		prefix := cmp.prefix(x)
		if len(list) > 1 {
			prefix += fmt.Sprintf("control message %d, ", i)
		}
		if cmp.fields(a.Arch.cmsghdr(), p.cut(m.Offset, len(m.Header)), prefix) {
			return true
		}
		data := p.cut(m.Offset+len(m.Header), len(m.Data))
		if cmp.controlData(&m, data, prefix, receives) {
			return true
		}
		end = m.Offset + len(m.Header) + len(m.Data) + len(m.Padding)
		if receives && slices.Contains(cmp.Said, Control) {
			continue // the kernel leaves the padding as it was
		}
		if cmp.bytes(prefix+"padding after cmsg_data", p.cut(m.Offset+int(m.Len), len(m.Padding))) {
			return true
		}
	}
	return cmp.bytes(cmp.prefix(x)+"control data", p.cut(end, max(len(p.a), len(p.b))))
}

// timestamps are the control messages that have a time, of 32 and of 64 bits.
var timestamps = []int32{
	unix.SO_TIMESTAMP_OLD, unix.SO_TIMESTAMPNS_OLD, unix.SO_TIMESTAMPING_OLD,
	unix.SO_TIMESTAMP_NEW, unix.SO_TIMESTAMPNS_NEW, unix.SO_TIMESTAMPING_NEW,
}

func (cmp *comparison) controlData(m *Cmsg, p piece, prefix string, received bool) bool {
	kind := typeName(m.Level, m.Type)
	socket := m.Level == unix.SOL_SOCKET && len(p.a) == len(p.b)
	switch {
	case socket && (m.Type == unix.SCM_RIGHTS || m.Type == scmPIDFD):
		i := 0
		for ; 4*i+4 <= len(p.a); i++ {
			part := p.cut(4*i, 4)
			field := fmt.Sprintf("%s%s, descriptor %d", prefix, kind, i)
			if cmp.descriptor(field, part, received) {
				return true
			}
		}
		return cmp.bytes(prefix+kind+", the rest", p.cut(4*i, 4))
	case socket && m.Type == unix.SCM_CREDENTIALS && len(p.a) >= 4 && len(p.a) <= unix.SizeofUcred:
		return cmp.credentials(p, prefix+kind+", ")
	case socket && cmp.AnyTime && slices.Contains(timestamps, m.Type):
		return false
	}
	return cmp.bytes(prefix+"cmsg_data", p)
}

// credentials compares a struct ucred, of which the end may be cut off.
func (cmp *comparison) credentials(p piece, prefix string) bool {
	return cmp.process(prefix+"pid", p.cut(0, 4)) ||
		cmp.bytes(prefix+"uid", p.cut(4, 4)) ||
		cmp.bytes(prefix+"gid", p.cut(8, 4))
}

// buffer compares what an argument points to that is no message.
func (cmp *comparison) buffer(x *Blob, p piece, atExit bool) bool {
	a := cmp.callA
	if a.sig.timeout(x.Arg) {
		// What the kernel leaves of it differs from run to run, also where the next call begins with that.
		atA, atB := a.args[x.Arg], cmp.callB.args[x.Arg]
		if atExit {
			cmp.a.left[atA], cmp.b.left[atB] = string(p.a), string(p.b)
			return false
		}
		if len(p.a) > 0 && cmp.a.left[atA] == string(p.a) && cmp.b.left[atB] == string(p.b) {
			return false
		}
		return cmp.fields(a.Arch.timespec(a.sig.args[x.Arg].kind), p, p.where+", ")
	}
	if len(p.a) != len(p.b) || !atExit || a.Errno != 0 {
		return cmp.bytes(p.where, p)
	}
	switch {
	case a.sig.args[x.Arg].kind == argFDs && len(p.a) == 8:
		for i := range 2 {
			part := p.cut(4*i, 4)
			field := fmt.Sprintf("descriptor %d", i)
			if cmp.descriptor(field, part, true) {
				return true
			}
		}
		return false
	case a.option() == unix.SO_PEERCRED && x.Arg == 3 && len(p.a) == unix.SizeofUcred:
		return cmp.credentials(p, "SO_PEERCRED, ")
	case a.option() == unix.SO_PEERPIDFD && x.Arg == 3 && len(p.a) == 4:
		return cmp.descriptor("SO_PEERPIDFD", p, true)
	}
	return cmp.bytes(p.where, p)
}
