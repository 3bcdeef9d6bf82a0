package recorder

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	rawWidth = 100 // columns of a ruler
	rawChunk = 16  // bytes per column, for bytes that belong to no field
)

// Raw returns the call's memory in hexadecimal, below rulers with the names of the fields. Memory
// that the call has changed appears twice, as it was at the entry and at the exit.
func (c *Call) Raw() string {
	var out strings.Builder
	fmt.Fprintf(&out, "  nr %d (%s), arguments", c.Nr, c.Arch.Name)
	used := len(c.Args)
	if c.ViaSocketcall() {
		used = 2
	}
	for _, value := range c.Registers[:used] {
		fmt.Fprintf(&out, " %#x", value)
	}
	out.WriteByte('\n')
	exits := c.Exit.memory() // empty if the call did not return
	for i, entry := range c.Entry.memory() {
		fmt.Fprintf(&out, "  %s, %d bytes at %#x%s\n", c.title(entry), entry.Size, entry.Addr, recorded(entry))
		exit := entry
		if len(exits) > 0 {
			exit = exits[i]
		}
		c.writeMemory(&out, entry, exit)
	}
	return out.String()
}

// recorded returns a note about how many bytes were recorded, or "" if all were.
func recorded(m *Memory) string {
	if uint64(len(m.Data)) == m.Size {
		return ""
	}
	return fmt.Sprintf(", %d recorded", len(m.Data))
}

// title returns the name of the memory, such as "control" or, in an array of messages,
// "message 2, payload 1".
func (c *Call) title(m *Memory) string { return c.place(m).String() }

// writeMemory writes memory at the entry and, if the call has changed it, at the exit.
func (c *Call) writeMemory(out *strings.Builder, entry, exit *Memory) {
	fields := c.fields(&c.Entry, entry)
	changed := !bytes.Equal(entry.Data, exit.Data)
	switch {
	case !changed:
		writeRows(out, "entry", fields, entry.Data)
	case entry.Kind == ControlData:
		// The kernel has overwritten the control messages, so the fields at the exit can differ
		// from those at the entry.
		writeRows(out, "entry", fields, entry.Data)
		writeRows(out, "exit", c.fields(&c.Exit, exit), exit.Data)
	default:
		writeRows(out, "entry", fields, entry.Data, exit.Data)
	}
}

// A fieldList lists the fields of recorded memory.
type fieldList struct {
	fields []Field
	size   int // of the memory
	end    int // of the last field
}

// structure appends the fields of a structure, as far as they were recorded.
func (l *fieldList) structure(fields layout, at int) {
	for _, f := range fields {
		if at+f.Offset+f.Size <= l.size {
			l.fields = append(l.fields, Field{f.Name, at + f.Offset, f.Size, f.kind})
			l.end = at + f.Offset + f.Size
		}
	}
}

// chunks appends columns for the bytes up to an offset.
func (l *fieldList) chunks(name string, to int, kind fieldKind) {
	for l.end < to {
		n := min(rawChunk, to-l.end)
		l.fields = append(l.fields, Field{name, l.end, n, kind})
		l.end += n
		name = fmt.Sprintf("+%d", l.end-l.fields[0].Offset)
	}
}

// fields returns the fields of memory in a snapshot, without gaps. Bytes that belong to no field are
// grouped into columns of up to 16 bytes.
func (c *Call) fields(s *Snapshot, m *Memory) []Field {
	l := fieldList{size: len(m.Data)}
	switch m.Kind {
	case Header:
		l.structure(c.headerLayout(), 0)
	case Timeout:
		l.structure(c.timespec(), 0)
	case Iovecs:
		for at := 0; at < len(m.Data); at += c.Arch.iovec().size() {
			l.structure(c.Arch.iovec(), at)
		}
	case ControlData:
		for _, cmsg := range s.Messages[m.Message].Control.Cmsgs {
			l.structure(c.Arch.cmsghdr(), cmsg.Offset)
			for i := range cmsg.FDs {
				l.fields = append(l.fields, Field{fmt.Sprintf("fd %d", i), l.end, 4, descriptor})
				l.end += 4
			}
			l.chunks("data", cmsg.Offset+len(cmsg.Header)+len(cmsg.Data), plain)
			l.chunks("padding", l.end+len(cmsg.Padding), padding)
		}
		l.chunks("unused", len(m.Data), plain)
		return l.fields
	}
	l.chunks("bytes", len(m.Data), plain)
	return l.fields
}

// writeRows writes a ruler with the names of the fields and below it the bytes at the entry
// and, if given, at the exit. It starts a new ruler when the line is full.
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
			line += fmt.Sprintf("%-*s", columns(f), rulerName(f))
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
		for i, d := range data {
			line := fmt.Sprintf("    %-7s", labels[i])
			for _, f := range fields[:n] {
				line += fmt.Sprintf("%-*s", columns(f), hex.EncodeToString(f.cut(d)))
			}
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
		fields = fields[n:]
	}
}

// columns returns the width of a field and the space after it.
func columns(f Field) int { return max(2*f.Size, len(rulerName(f))) + 2 }

// rulerName returns the name of a field. For padding, it omits the end of the name, such as
// "after msg_flags", because the ruler shows where the padding is.
func rulerName(f Field) string {
	if f.kind == padding {
		return "padding"
	}
	return f.Name
}
