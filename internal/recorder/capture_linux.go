package recorder

import (
	"bytes"
	"slices"
)

// capture reads what the arguments point to, at the entry of the call.
func (c *Call) capture(r *reader) {
	if c.ViaSocketcall() {
		c.socketcall(r)
	}
	if c.sig == nil {
		return
	}
	c.captureBuffers(r)
	if i := c.sig.messages(); i >= 0 {
		c.captureMessages(r, i)
	}
}

// captureAgain reads the same memory, at the exit.
func (c *Call) captureAgain(r *reader) {
	c.Exit = slices.Clone(c.Entry)
	c.fill(r, c.Exit)
	for i := range c.Exit {
		if b := &c.Exit[i]; r.sum && b.What == Payload {
			if taken := c.filled(b); taken > uint64(len(b.Data)) {
				b.addSum(c.Thread, taken)
			}
		}
	}
}

func (c *Call) fill(r *reader, blobs []Blob) {
	if len(blobs) == 0 {
		return
	}
	if err := r.read(c.Thread, blobs); err != nil {
		c.Unread = err
	}
}

// socketcall makes c the call that it stands for, if that is a recorded one.
func (c *Call) socketcall(r *reader) {
	b := []Blob{{What: SocketcallArgs, Arg: 1, Addr: c.args[1], Size: 6 * 4}}
	c.fill(r, b)
	name := socketcalls[c.args[0]]
	if name == "" {
		return
	}
	c.sig = c.Arch.calls()[uint64(c.Arch.number(name))]
	// What lies behind the last argument is none of the call's.
	b[0].Size = uint64(4 * len(c.sig.args))
	b[0].Data = b[0].Data[:min(len(b[0].Data), int(b[0].Size))]
	c.args = [6]uint64{}
	for i := range c.sig.args {
		if b := b[0].Data[min(4*i, len(b[0].Data)):]; len(b) >= 4 {
			c.args[i] = uint64(order.Uint32(b))
		}
	}
	c.Entry = append(c.Entry, b...)
}

func (c *Call) captureBuffers(r *reader) {
	var fixed, sized []Blob
	for i, a := range c.sig.args {
		b := Blob{What: Buffer, Arg: i, Addr: c.args[i]}
		switch a.kind {
		case argP4:
			b.Size = 4
		case argFDs:
			b.Size = 8
		case argTimeout, argTimeout64:
			if b.Addr == 0 {
				continue
			}
			b.Size = uint64(c.Arch.timespec(a.kind).size())
		case argStr:
			b.Size = maxString
		case argBuf, argOut:
			b.Size = c.args[a.of]
			if c.sig.args[a.of].kind == argInt {
				b.Size = uint64(max(0, int32(b.Size)))
			}
		case argLenp:
			sized = append(sized, b)
			continue
		default:
			continue
		}
		fixed = append(fixed, b)
	}
	if len(fixed) == 0 {
		return
	}
	c.fill(r, fixed)
	for i := range fixed {
		if b := &fixed[i]; c.sig.args[b.Arg].kind == argStr {
			if end := bytes.IndexByte(b.Data, 0); end >= 0 {
				b.Data = b.Data[:end+1]
			}
			b.Size = uint64(len(b.Data))
		}
	}
	for i := range sized {
		if length := buffer(fixed, c.sig.args[sized[i].Arg].of).data(); len(length) == 4 {
			sized[i].Size = uint64(max(0, int32(order.Uint32(length))))
		}
	}
	if len(sized) > 0 {
		c.fill(r, sized)
	}
	c.Entry = append(append(c.Entry, fixed...), sized...)
}

// captureMessages reads the headers, then what they point to.
func (c *Call) captureMessages(r *reader, arg int) {
	count := 1
	if a := c.sig.args[arg]; a.kind == argMmsg {
		count = int(min(uint64(uint32(c.args[a.of])), maxVector))
	}
	l := c.header()
	size := l.size()
	headers := make([]Blob, count)
	for i := range headers {
		headers[i] = Blob{What: Header, Arg: arg, Msg: i, Addr: c.args[arg] + uint64(i*size), Size: uint64(size)}
		if c.args[arg] == 0 {
			headers[i].Addr = 0
		}
	}
	c.fill(r, headers)
	c.Entry = append(c.Entry, headers...)

	first := len(c.Entry)
	for i, h := range headers {
		n := min(l.uint(h.Data, "msg_iovlen"), maxVector)
		c.Entry = append(c.Entry, Blob{
			What: Iovecs, Arg: arg, Msg: i,
			Addr: l.uint(h.Data, "msg_iov"), Size: n * uint64(c.Arch.iovec().size()),
		})
	}
	c.fill(r, c.Entry[first:])

	first = len(c.Entry)
	for i, h := range headers {
		if n := l.uint(h.Data, "msg_namelen"); int32(n) > 0 {
			c.Entry = append(c.Entry, Blob{What: Address, Arg: arg, Msg: i, Addr: l.uint(h.Data, "msg_name"), Size: n})
		}
		if n := l.uint(h.Data, "msg_controllen"); n > 0 {
			c.Entry = append(c.Entry, Blob{What: Control, Arg: arg, Msg: i, Addr: l.uint(h.Data, "msg_control"), Size: n})
		}
		c.Entry = c.appendPayloads(c.Entry, i)
	}
	c.fill(r, c.Entry[first:])
}

// appendPayloads appends the buffers of message i, as its iovecs had them at the entry.
func (c *Call) appendPayloads(blobs []Blob, i int) []Blob {
	iovecs, v := find(c.Entry, Iovecs, i, 0), c.Arch.iovec()
	for j, b := 0, iovecs.data(); len(b) >= v.size(); j, b = j+1, b[v.size():] {
		blobs = append(blobs, Blob{
			What: Payload, Arg: iovecs.Arg, Msg: i, Index: j,
			Addr: v.uint(b, "iov_base"), Size: v.uint(b, "iov_len"),
		})
	}
	return blobs
}
