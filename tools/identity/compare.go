//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/scm-rights/scm/internal/recorder"
	"golang.org/x/sys/unix"
)

// aCall is the field of a difference where one side has made another call, or none.
const aCall = "the call"

// A difference is one field of one call.
type difference struct {
	section int
	call    string
	atExit  bool
	field   string // "padding after cmsg_data"
	a, b    string
	bytes   int // how many of them differ
	of      *recorder.Call
}

func (d difference) String() string {
	when := "entry"
	if d.atExit {
		when = "exit"
	}
	return fmt.Sprintf("call %d, %s, at its %s: %s: %s against %s", d.section, d.call, when, d.field, d.a, d.b)
}

// A comparison finds all differences between calls. What must differ from run to
// run is masked: of an address it counts whether it is NULL, and the number of
// the process counts as that. Descriptors are compared by number.
type comparison struct {
	// describe, if set, takes the place of descriptors' numbers.
	describe func(c *recorder.Call, fd int32, atExit bool) string

	found  []difference
	a, b   *recorder.Call
	atExit bool
}

// bySection sorts calls, so that one that is missing does not make all that follow
// it differ.
func bySection(list []recorder.Call) [][]recorder.Call {
	var sections [][]recorder.Call
	for i := range list {
		for len(sections) <= list[i].Section {
			sections = append(sections, nil)
		}
		sections[list[i].Section] = append(sections[list[i].Section], list[i])
	}
	return sections
}

func at[T any](list []T, i int) (none T) {
	if i < len(list) {
		return list[i]
	}
	return none
}

// calls compares lists call by call, up to where their names part.
func (cmp *comparison) calls(a, b []recorder.Call) {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i].Nr != b[i].Nr || a[i].Name() != b[i].Name() || a[i].Arch != b[i].Arch {
			section := 0
			for _, list := range [][]recorder.Call{a, b} {
				for j := range list {
					section = list[j].Section
				}
			}
			cmp.found = append(cmp.found, difference{section: section, call: names(a[i:min(i+1, len(a))], b[i:min(i+1, len(b))]),
				field: aCall, a: names(a), b: names(b), bytes: sizeOf(a[min(i, len(a)):]) + sizeOf(b[min(i, len(b)):])})
			return
		}
		cmp.a, cmp.b = &a[i], &b[i]
		cmp.call()
	}
}

func names(lists ...[]recorder.Call) string {
	var words []string
	for _, list := range lists {
		for i := range list {
			name := list[i].Name()
			if list[i].ViaSocketcall() {
				name = "socketcall (" + name + ")"
			}
			words = append(words, name)
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// sizeOf is how many bytes calls say: the memory at the entry, or else the number
// of the call.
func sizeOf(list []recorder.Call) (n int) {
	for i := range list {
		n += 8
		for j := range list[i].Entry {
			n += len(list[i].Entry[j].Data)
		}
	}
	return n
}

func (cmp *comparison) call() {
	a, b := cmp.a, cmp.b
	kinds, ok := calls[a.Name()]
	if !ok {
		cmp.differ("arguments", "are not known", "are not known", 1)
		return
	}
	cmp.atExit = false
	if a.ViaSocketcall() != b.ViaSocketcall() {
		cmp.differ("socketcall", fmt.Sprint(a.ViaSocketcall()), fmt.Sprint(b.ViaSocketcall()), 4)
	}
	if !a.ViaSocketcall() {
		for i, kind := range kinds {
			cmp.argument(i, kind)
		}
	}
	cmp.memory(a.Entry, b.Entry)
	cmp.atExit = true
	if a.Unfinished != b.Unfinished || a.Errno != b.Errno {
		cmp.differ("errno", errno(a), errno(b), 4)
	} else if a.Result != b.Result {
		cmp.differ("result", fmt.Sprint(a.Result), fmt.Sprint(b.Result), 8)
	}
	cmp.memory(a.Exit, b.Exit)
}

func errno(c *recorder.Call) string {
	switch {
	case c.Unfinished:
		return "unfinished"
	case c.Errno == 0:
		return "none"
	}
	return unix.ErrnoName(c.Errno)
}

func (cmp *comparison) argument(i int, kind rune) {
	x, y := cmp.a.Args[i], cmp.b.Args[i]
	name := fmt.Sprintf("argument %d", i)
	switch kind {
	case 'p':
		if (x == 0) != (y == 0) {
			cmp.differ(name, null(x), null(y), 8)
		}
	case 'w':
		if x != y {
			cmp.differ(name, fmt.Sprintf("%#x", x), fmt.Sprintf("%#x", y), 8)
		}
	case 'f':
		if uint32(x) != uint32(y) {
			cmp.differ("flags", flagText(uint32(x)), flagText(uint32(y)), 4)
		}
	case 'd':
		if cmp.describe == nil && int32(x) != int32(y) {
			cmp.differ(name, fmt.Sprint(int32(x)), fmt.Sprint(int32(y)), 4)
		}
	default:
		if int32(x) != int32(y) {
			cmp.differ(name, fmt.Sprint(int32(x)), fmt.Sprint(int32(y)), 4)
		}
	}
}

func null(p uint64) string {
	if p == 0 {
		return "NULL"
	}
	return "an address"
}

func (cmp *comparison) differ(field, a, b string, n int) {
	if cmp.atExit {
		// What the kernel has left as it was differs once.
		for i := len(cmp.found) - 1; i >= 0 && cmp.found[i].of == cmp.a; i-- {
			if d := &cmp.found[i]; !d.atExit && d.field == field && d.a == a && d.b == b {
				return
			}
		}
	}
	cmp.found = append(cmp.found, difference{cmp.a.Section, cmp.a.Name(), cmp.atExit, field, a, b, n, cmp.a})
}

// memory compares what the arguments point to.
func (cmp *comparison) memory(a, b []recorder.Blob) {
	type key struct {
		what            recorder.What
		arg, msg, index int
	}
	keyOf := func(x *recorder.Blob) key { return key{x.What, x.Arg, x.Msg, x.Index} }
	other := map[key]*recorder.Blob{}
	for i := range b {
		other[keyOf(&b[i])] = &b[i]
	}
	for i := range a {
		x := &a[i]
		y := other[keyOf(x)]
		delete(other, keyOf(x))
		if y != nil {
			cmp.blob(x, y)
		}
	}
	// Memory that only one side has is in another number of the header's, or of
	// the call's arguments, which was found already.
}

func (cmp *comparison) blob(x, y *recorder.Blob) {
	l := layoutOf(cmp.a.Arch.Name)
	switch x.What {
	case recorder.SocketcallArgs:
		// They were recorded as arguments, too, and point to what is compared.
	case recorder.Header:
		fields := l.msghdr
		if x.Size == uint64(size(l.mmsghdr)) {
			fields = l.mmsghdr
		}
		cmp.fields(fields, x.Data, y.Data)
	case recorder.Iovecs:
		n := size(l.iovec)
		for i := 0; i < max(len(x.Data), len(y.Data)); i += n {
			cmp.fields(l.iovec, part(x.Data, i, n), part(y.Data, i, n))
		}
	case recorder.Control:
		cmp.control(l, x, y)
	case recorder.Payload:
		p, q := x.Data, y.Data
		if receives(cmp.a) {
			// What lies in the buffer where nothing came is neither read nor
			// written: the C has one piece of memory for many buffers.
			p, q = p[:cmp.filled(cmp.a, x)], q[:cmp.filled(cmp.b, y)]
		}
		cmp.bytes("payload", p, q)
	case recorder.Address:
		p, q := x.Data, y.Data
		if receives(cmp.a) {
			p, q = p[:cmp.named(cmp.a, x)], q[:cmp.named(cmp.b, y)]
		}
		cmp.bytes("bytes of msg_name", p, q)
	default:
		cmp.bytes(x.What.String(), x.Data, y.Data)
	}
}

func receives(c *recorder.Call) bool { return strings.HasPrefix(c.Name(), "recv") }

// part is n bytes from an offset, as far as there are any.
func part(b []byte, from, n int) []byte { return b[min(from, len(b)):min(from+n, len(b))] }

func (cmp *comparison) fields(list []field, a, b []byte) {
	for _, f := range list {
		x, y := part(a, f.offset, f.size), part(b, f.offset, f.size)
		p, q := word(x), word(y)
		switch {
		case f.address && (len(x) != len(y) || (p == 0) != (q == 0)):
			cmp.differ(f.name, null(p), null(q), f.size)
		case f.address || bytes.Equal(x, y):
		case len(x) != len(y) || strings.HasPrefix(f.name, "padding"):
			cmp.bytes(f.name, x, y)
		case f.name == "msg_flags":
			cmp.differ(f.name, flagText(uint32(p)), flagText(uint32(q)), unequal(x, y))
		default:
			cmp.differ(f.name, fmt.Sprint(p), fmt.Sprint(q), unequal(x, y))
		}
	}
}

// word is a number of up to 8 bytes; all that are recorded are little-endian.
func word(b []byte) uint64 {
	var w [8]byte
	copy(w[:], b)
	return binary.LittleEndian.Uint64(w[:])
}

// bytes compares bytes as they are, but for the number of the process.
func (cmp *comparison) bytes(name string, a, b []byte) {
	if bytes.Equal(a, b) {
		return
	}
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := 0; i < min(len(a), len(b)); i += 4 {
		x, y := part(a, i, 4), part(b, i, 4)
		if len(x) == 4 && word(x) == uint64(cmp.a.Process.PID) && word(y) == uint64(cmp.b.Process.PID) {
			continue
		}
		n += unequal(x, y)
	}
	if n > 0 {
		cmp.differ(name, short(a), short(b), n)
	}
}

// unequal counts bytes.
func unequal(a, b []byte) (n int) {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func short(b []byte) string {
	const most = 24
	switch {
	case len(b) == 0:
		return "nothing"
	case len(b) > most:
		return hex.EncodeToString(b[:most]) + "…"
	}
	return hex.EncodeToString(b)
}

// control compares a control buffer by its messages, those that a holds. How long
// it is is in the header.
func (cmp *comparison) control(l *layout, x, y *recorder.Blob) {
	n := min(len(x.Data), len(y.Data))
	a, b := x.Data[:n], y.Data[:n]
	written := n
	if receives(cmp.a) {
		written = 0
		if header := cmp.received(cmp.a, x.Msg); header != nil {
			written = int(min(get(cmp.a, header, "msg_controllen"), uint64(n)))
		}
	}
	end, header := 0, size(l.cmsghdr)
	for end+header <= written {
		length := int(word(part(a, end, l.word)))
		if length < header || length > written-end {
			break
		}
		cmp.fields(l.cmsghdr, part(a, end, header), part(b, end, header))
		data := length - header
		cmp.data(l, part(a, end, header), part(a, end+header, data), part(b, end+header, data))
		space := l.align(length) - length
		cmp.bytes("padding after cmsg_data", part(a, end+length, space), part(b, end+length, space))
		end = min(end+l.align(length), n)
	}
	name := "rest of the control buffer"
	if end == 0 {
		name = "control buffer"
	}
	cmp.bytes(name, a[end:], b[end:])
}

func (cmp *comparison) data(l *layout, header, a, b []byte) {
	level, kind := word(part(header, l.word, 4)), word(part(header, l.word+4, 4))
	if level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMP && len(a) == len(b) {
		return // the time
	}
	if cmp.describe == nil || level != unix.SOL_SOCKET || kind != unix.SCM_RIGHTS && kind != unix.SCM_PIDFD || len(a) != len(b) {
		cmp.bytes("cmsg_data", a, b)
		return
	}
	for i := 0; i+4 <= len(a); i += 4 {
		p := cmp.describe(cmp.a, int32(word(a[i:i+4])), receives(cmp.a))
		q := cmp.describe(cmp.b, int32(word(b[i:i+4])), receives(cmp.b))
		if p != q {
			cmp.differ("descriptor in cmsg_data", p, q, 4)
		}
	}
}

// received is the header of a message as it is when its receipt ends, or nil.
func (cmp *comparison) received(c *recorder.Call, msg int) []byte {
	if !cmp.atExit || c.Errno != 0 || c.Name() != "recvmsg" && int64(msg) >= c.Result {
		return nil
	}
	for i := range c.Exit {
		if h := &c.Exit[i]; h.What == recorder.Header && h.Msg == msg {
			return h.Data
		}
	}
	return nil
}

// get is a number of a header.
func get(c *recorder.Call, header []byte, name string) uint64 {
	for _, f := range layoutOf(c.Arch.Name).mmsghdr {
		if f.name == name {
			return word(part(header, f.offset, f.size))
		}
	}
	panic("no field " + name)
}

// filled is how many bytes a receipt has put into a buffer.
func (cmp *comparison) filled(c *recorder.Call, b *recorder.Blob) int {
	header := cmp.received(c, b.Msg)
	if header == nil {
		return 0
	}
	left := uint64(c.Result)
	if c.Name() != "recvmsg" {
		left = get(c, header, "msg_len")
	}
	for i := range c.Exit {
		if x := &c.Exit[i]; x.What == recorder.Payload && x.Msg == b.Msg && x.Index < b.Index {
			left -= min(left, x.Size)
		}
	}
	return int(min(left, uint64(len(b.Data))))
}

// named is how long an address is that a receipt has put into its buffer.
func (cmp *comparison) named(c *recorder.Call, b *recorder.Blob) int {
	header := cmp.received(c, b.Msg)
	if header == nil {
		return 0
	}
	return int(min(get(c, header, "msg_namelen"), uint64(len(b.Data))))
}

// flagText is flags by name.
func flagText(flags uint32) string {
	if flags == 0 {
		return "0"
	}
	var list []string
	for _, f := range []struct {
		bit  uint32
		name string
	}{
		{unix.MSG_OOB, "MSG_OOB"}, {unix.MSG_PEEK, "MSG_PEEK"}, {unix.MSG_CTRUNC, "MSG_CTRUNC"}, {unix.MSG_TRUNC, "MSG_TRUNC"},
		{unix.MSG_DONTWAIT, "MSG_DONTWAIT"}, {unix.MSG_EOR, "MSG_EOR"}, {unix.MSG_WAITALL, "MSG_WAITALL"},
		{unix.MSG_NOSIGNAL, "MSG_NOSIGNAL"}, {unix.MSG_MORE, "MSG_MORE"}, {unix.MSG_WAITFORONE, "MSG_WAITFORONE"},
		{unix.MSG_CMSG_CLOEXEC, "MSG_CMSG_CLOEXEC"},
	} {
		if flags&f.bit != 0 {
			list = append(list, f.name)
			flags &^= f.bit
		}
	}
	if flags != 0 {
		list = append(list, fmt.Sprintf("%#x", flags))
	}
	return strings.Join(list, " and ")
}
