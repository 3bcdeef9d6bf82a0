package recorder

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	rawWidth = 100 // columns of a ruler
	rawChunk = 16  // bytes of a column that is no field
)

// Raw is the call's memory in hexadecimal, under rulers that name the fields.
// What the call has changed is there twice.
func (c *Call) Raw() string {
	var out strings.Builder
	fmt.Fprintf(&out, "  nr %d (%s), arguments", c.Nr, c.Arch.Name)
	for i := range c.arity() {
		fmt.Fprintf(&out, " %#x", c.Args[i])
	}
	out.WriteByte('\n')
	for i := range c.Entry {
		entry := &c.Entry[i]
		var exit *Blob
		if len(c.Exit) > 0 {
			exit = &c.Exit[i]
		}
		fmt.Fprintf(&out, "  %s, %d bytes at %#x%s\n", c.title(entry), entry.Size, entry.Addr, unread(entry))
		c.ruler(&out, entry, exit)
	}
	return out.String()
}

// arity is how many registers are arguments.
func (c *Call) arity() int {
	switch {
	case c.ViaSocketcall():
		return 2
	case c.sig == nil:
		return len(c.Args)
	}
	return len(c.sig.args)
}

func unread(b *Blob) string {
	if uint64(len(b.Data)) == b.Size {
		return ""
	}
	return fmt.Sprintf(", %d recorded", len(b.Data))
}

// title names the memory: "control", or in an array "message 2, payload 1".
func (c *Call) title(b *Blob) string {
	if b.What == Buffer && c.sig.timeout(b.Arg) {
		return "timeout"
	}
	if b.What == Buffer {
		return fmt.Sprintf("argument %d", b.Arg)
	}
	text := b.What.String()
	if b.What == Payload && (b.Index > 0 || find(c.Entry, Payload, b.Msg, 1) != nil) {
		text = fmt.Sprintf("%s %d", text, b.Index)
	}
	if c.many() {
		text = fmt.Sprintf("message %d, %s", b.Msg, text)
	}
	return text
}

func (c *Call) ruler(out *strings.Builder, entry, exit *Blob) {
	fields := c.fields(entry, entry.Data)
	changed := exit != nil && !bytes.Equal(entry.Data, exit.Data)
	if changed && entry.What == Control {
		// The kernel has written control messages of its own over it.
		writeRows(out, "entry", fields, entry.Data)
		writeRows(out, "exit", c.fields(exit, c.written(exit)), exit.Data)
		return
	}
	if !changed {
		writeRows(out, "entry", fields, entry.Data)
		return
	}
	writeRows(out, "entry", fields, entry.Data, exit.Data)
}

// written is what of a control buffer the kernel has filled at the exit.
func (c *Call) written(b *Blob) []byte {
	if c.sig.receives() {
		return c.received(b.Msg)
	}
	return b.Data
}

// fields takes memory apart, all of it: what is no field is a column of some
// bytes. Of control data those messages count that lie in control.
func (c *Call) fields(b *Blob, control []byte) (fields []Field) {
	end := 0
	chunks := func(name string, to int, kind fieldKind) {
		for ; end < to; end += min(rawChunk, to-end) {
			fields = append(fields, Field{name, end, min(rawChunk, to-end), kind})
			name = "+" + fmt.Sprint(end+min(rawChunk, to-end)-fields[0].Offset)
		}
	}
	put := func(l layout, at int) {
		for _, f := range l {
			if at+f.Offset+f.Size <= len(b.Data) {
				fields = append(fields, Field{f.Name, at + f.Offset, f.Size, f.kind})
				end = at + f.Offset + f.Size
			}
		}
	}
	switch b.What {
	case Header:
		put(c.header(), 0)
	case Buffer:
		if c.sig.timeout(b.Arg) {
			put(c.Arch.timespec(c.sig.args[b.Arg].kind), 0)
		}
	case Iovecs:
		for at := 0; at < len(b.Data); at += c.Arch.iovec().size() {
			put(c.Arch.iovec(), at)
		}
	case Control:
		list, _ := parseControl(c.Arch, control)
		for _, m := range list {
			put(c.Arch.cmsghdr(), m.Offset)
			fds := m.descriptors()
			for i := range fds {
				fields = append(fields, Field{fmt.Sprintf("fd %d", i), end, 4, descriptor})
				end += 4
			}
			chunks("data", m.Offset+len(m.Header)+len(m.Data), plain)
			chunks("padding", end+len(m.Padding), padding)
		}
		chunks("unused", len(b.Data), plain)
		return fields
	}
	chunks("bytes", len(b.Data), plain)
	return fields
}

// writeRows writes the fields in as many rows as it takes: a ruler, and under
// it the bytes at the entry and, if given, at the exit.
func writeRows(out *strings.Builder, first string, fields []Field, data ...[]byte) {
	labels := []string{first, "exit"}
	for len(fields) > 0 {
		n, width := 0, 0
		for n < len(fields) && (n == 0 || width+columns(fields[n]) <= rawWidth) {
			width += columns(fields[n])
			n++
		}
		line := fmt.Sprintf("    %-7s", "")
		for _, f := range fields[:n] {
			line += fmt.Sprintf("%-*s", columns(f), short(f))
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
		for i, d := range data {
			line := fmt.Sprintf("    %-7s", labels[i])
			for _, f := range fields[:n] {
				line += fmt.Sprintf("%-*s", columns(f), hex.EncodeToString(cut(d, f)))
			}
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
		fields = fields[n:]
	}
}

func columns(f Field) int { return max(2*f.Size, len(short(f))) + 2 }

// short is the name of a field without what its place shows.
func short(f Field) string {
	if f.kind == padding {
		return "padding"
	}
	return f.Name
}

// cut is the bytes of a field, as far as there are any.
func cut(b []byte, f Field) []byte {
	return b[min(f.Offset, len(b)):min(f.Offset+f.Size, len(b))]
}
