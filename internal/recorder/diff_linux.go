package recorder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Difference describes a difference between two records.
type Difference struct {
	Process int    // from 1, in the order of the process tree; processes without calls are not counted
	Call    int    // from 1, among the calls of the process
	Threads bool   // in one record, several threads of the process made calls, whose order can vary
	Several bool   // in one record, several processes made calls, whose interaction can vary
	A, B    *Call  // nil if the process has no more calls in that record
	When    string // "entry" or "exit"; empty if the difference concerns the call as a whole
	Field   string // the name of the field, such as "padding after cmsg_data"
	Where   string // the memory that contains it, such as "control"; empty if it is not in memory
	Offset  int    // of the first byte that differs, in that memory
	TextA   string // the two values as text
	TextB   string
	BytesA  []byte // the two values in memory or in a register; empty if they are in neither
	BytesB  []byte
}

func (d *Difference) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "call %d of process %d", d.Call, d.Process)
	if c := d.call(); c != nil {
		fmt.Fprintf(&s, " (%s)", c.Name())
	}
	if d.When != "" {
		fmt.Fprintf(&s, ", at its %s", d.When)
	}
	fmt.Fprintf(&s, ": %s: %s against %s", d.Field, d.TextA, d.TextB)
	if d.Where != "" {
		fmt.Fprintf(&s, " (byte %d of %s)", d.Offset, d.Where)
	}
	return s.String()
}

// Key returns the call and the field, such as "recvmsg: msg_flags on return".
func (d *Difference) Key() string {
	key := d.call().Name() + ": " + d.Field
	if d.When == "exit" {
		key += " on return"
	}
	return key
}

// Text returns the key and the two values. It is the same in each call that differs in the same way.
func (d *Difference) Text() string {
	return fmt.Sprintf("%s: %s against %s", d.Key(), d.TextA, d.TextB)
}

// Ends reports whether the rest of the process is not compared, because it makes other calls.
func (d *Difference) Ends() bool { return d.When == "" && !strings.HasPrefix(d.Field, "received ") }

// Name returns the name of the field without the message, control message or iovec that contains it.
func (d *Difference) Name() string {
	parts := strings.Split(d.Field, ", ")
	return parts[len(parts)-1]
}

// Ignored reports whether the kernel ignores the bytes. It neither reads nor writes padding, and does not
// read msg_len or msg_flags, except that sendmmsg takes MSG_EOR from msg_flags. If msg_name is NULL, it
// ignores msg_namelen.
func (d *Difference) Ignored() bool {
	if d.A == nil || d.B == nil || d.When == "" {
		return false
	}
	message, a, b := 0, d.A, d.B
	_, _ = fmt.Sscanf(d.Field, "message %d, ", &message)
	switch name := d.Name(); {
	case name == "msg_flags":
		return a.Name() != "sendmmsg" && (d.When == "entry" || !a.received(message) && !b.received(message))
	case name == "msg_len":
		return d.When == "entry" || message >= max(a.transferred(), b.transferred())
	case name == "msg_namelen":
		return a.Entry.Messages[message].Header.Name == 0 && b.Entry.Messages[message].Header.Name == 0
	case name == "padding after cmsg_data":
		return !a.receives()
	default:
		return strings.HasPrefix(name, "padding")
	}
}

// Allowed reports whether an argument of scm diff --allow allows the difference. It must be the text of
// the difference, or its key if AnyValues returns true for the key.
func (d *Difference) Allowed(line string) bool {
	return line == d.Text() || line == d.Key() && AnyValues(line)
}

// AnyValues reports whether a key allows all differences in its field. It does so for flags, for the
// fields of msghdr and iovec, and for close-on-exec, but not for what is sent or received, or for the call
// and its result.
func AnyValues(key string) bool {
	_, field, _ := strings.Cut(strings.TrimSuffix(key, " on return"), ": ")
	name := (&Difference{Field: field}).Name()
	fields := slices.Concat(layout{{Name: "flags"}, {Name: "close-on-exec"}}, msghdr64, layouts[8].iovec)
	return slices.ContainsFunc(fields, func(f Field) bool { return f.Name == name })
}

// A Comparison determines how two records are compared. The zero value compares everything that
// was recorded, except that it normalizes values that necessarily differ from run to run:
//
//   - Two addresses are equal if both or neither of them are NULL.
//   - Descriptors are numbered in the order in which they first appear in their process. The
//     comparison includes the kind of file, and whether the descriptor is open for reading, for
//     writing or as a path. Each descriptor that a call receives gets a new position in
//     the order. Its close-on-exec flag is compared as a field of its own.
//   - Process IDs are numbered in the order in which they first appear in the record.
//
// The calls of each process are compared in the order in which its threads entered them, up to the
// first call that the other record does not contain. If several threads of a process make calls,
// their order can vary even between two runs of the same program (Difference.Threads). Processes are
// paired by their position in the process tree, ignoring processes that make no calls. If several
// processes make calls, which of them receives a message or sends first can also vary
// (Difference.Several).
type Comparison struct {
	// UsedOnly lists kinds of memory: Payload, Address or ControlData. In memory of these kinds, only the
	// bytes that the kernel has read or written are compared. For a receiving call, this excludes the
	// contents of the buffers at the entry, and the bytes at the exit that the kernel has not written.
	UsedOnly []MemoryKind
	// ExactIDs compares descriptors and process IDs by value. The IDs of processes that
	// make recorded calls are still normalized.
	ExactIDs bool
	// Describe, if set, returns a text that describes a descriptor. Its file is nil if it was not looked
	// up. Two descriptors are equal if Describe returns the same text for both.
	Describe func(fd int32, f *File) string
	// AnyTime ignores the time in SCM_TIMESTAMP, SCM_TIMESTAMPNS and SCM_TIMESTAMPING.
	AnyTime bool
}

// UsedMemory is a Comparison that ignores timestamps, and memory that the kernel neither reads nor
// writes.
var UsedMemory = Comparison{UsedOnly: []MemoryKind{Payload, Address, ControlData}, AnyTime: true}

// All returns all differences, in the order in which the calls were entered. If a difference at the
// entry of a call is the same at its exit, All returns it only for the entry. If one call fails with
// an errno that the other does not have, All does not compare the memory at their exits.
func (o Comparison) All(a, b []Call) []*Difference {
	streamsA, streamsB := callsByProcess(a), callsByProcess(b)
	c := &comparison{Comparison: o, a: newNormalizer(streamsA), b: newNormalizer(streamsB)}
	processes := max(len(streamsA), len(streamsB))
	for i := range processes {
		c.a.nextProcess()
		c.b.nextProcess()
		c.place.Process, c.place.Several = i+1, processes > 1
		a, b := at(streamsA, i), at(streamsB, i)
		c.threads = severalThreads(a) || severalThreads(b)
		c.streams(a, b)
	}
	return byCall(c.found)
}

// Whole reports whether the recorder could read all memory that the comparison compares, and look up all
// descriptors of the call. It ignores memory that the kernel could not read either (EFAULT).
func (o Comparison) Whole(c *Call) bool {
	unknown := slices.ContainsFunc(c.Files, func(f File) bool { return f.Errno != 0 })
	if unknown || c.Unread != nil {
		return false
	}
	memory := slices.Concat(c.Entry.memory(), c.Exit.memory())
	return c.Errno == unix.EFAULT || !slices.ContainsFunc(memory, o.incomplete)
}

// incomplete reports whether bytes that are compared could not be read. Of a payload, the bytes after
// Options.Limit are not recorded.
func (o Comparison) incomplete(m *Memory) bool {
	size := m.Size
	if slices.Contains(o.UsedOnly, m.Kind) {
		size = min(size, m.Used)
	}
	return m.Addr != 0 && uint64(len(m.Data)) < size && (m.short || m.Kind != Payload)
}

// byCall sorts differences by the time at which their calls were entered.
func byCall(found []*Difference) []*Difference {
	slices.SortStableFunc(found, func(d, e *Difference) int { return d.call().seq - e.call().seq })
	return found
}

// severalThreads reports whether more than one thread made the calls.
func severalThreads(stream []*Call) bool {
	return slices.ContainsFunc(stream, func(c *Call) bool { return c.Thread != stream[0].Thread })
}

// call returns the call of A or, if A has none, of B.
func (d *Difference) call() *Call {
	if d.A != nil {
		return d.A
	}
	return d.B
}

// at returns an element, or the zero value after the end of the list.
func at[T any](list []T, i int) (none T) {
	if i < len(list) {
		return list[i]
	}
	return none
}

// A comparison walks through two records in parallel.
type comparison struct {
	Comparison
	a, b    *normalizer
	threads bool // Difference.Threads of the process

	callA, callB *Call
	place        Difference // the current place
	found        []*Difference
	before       int // how many were found before the current call
}

// streams compares the calls of a process.
func (c *comparison) streams(a, b []*Call) {
	for i := range max(len(a), len(b)) {
		c.callA, c.callB, c.before = at(a, i), at(b, i), len(c.found)
		c.place = Difference{
			Process: c.place.Process,
			Several: c.place.Several,
			Call:    i + 1,
			A:       c.callA,
			B:       c.callB,
		}
		if field, x, y := mismatch(c.callA, c.callB); field != "" {
			c.differ(field, piece{}, x, y)
			return
		}
		c.call()
	}
}

// texts adds a difference unless both texts are the same.
func (c *comparison) texts(field string, p piece, a, b string) {
	if a != b {
		c.differ(field, p, a, b)
	}
}

// differ adds a difference.
func (c *comparison) differ(field string, p piece, a, b string) {
	d := c.place
	d.Threads = c.threads
	d.Field, d.Where, d.Offset = field, p.where, p.offset
	d.TextA, d.TextB = a, b
	d.BytesA, d.BytesB = p.a, p.b
	if !slices.ContainsFunc(c.found[c.before:], d.repeats) {
		c.found = append(c.found, &d)
	}
}

// repeats reports whether d is a difference at the exit that already existed at the entry. If the kernel
// ignored the bytes at the entry and has written them since, the values are the same by chance.
func (d *Difference) repeats(entry *Difference) bool {
	return d.When == "exit" && entry.When == "entry" && d.Field == entry.Field && d.Where == entry.Where &&
		bytes.Equal(d.BytesA, entry.BytesA) && bytes.Equal(d.BytesB, entry.BytesB) && d.Ignored() == entry.Ignored()
}

// mismatch reports whether one call is missing, or the two calls differ in architecture, system call or
// section. If they match, field is empty.
func mismatch(a, b *Call) (field, x, y string) {
	switch {
	case a == nil || b == nil:
		return "the call", nameOf(a), nameOf(b)
	case a.Arch != b.Arch:
		return "the processor", a.Arch.Name, b.Arch.Name
	case a.Nr != b.Nr || a.Name() != b.Name():
		return "the call", nameOf(a), nameOf(b)
	case a.Section != b.Section:
		return "the section", fmt.Sprint(a.Section), fmt.Sprint(b.Section)
	}
	return "", "", ""
}

// call compares two calls of the same kind.
func (c *comparison) call() {
	c.place.When = "entry"
	c.arguments()
	c.memory(false)
	c.place.When = "exit"
	c.result()
	if a, b := c.callA, c.callB; !a.Unfinished && !b.Unfinished && a.Errno == b.Errno {
		c.memory(true)
	}
}

func nameOf(c *Call) string {
	switch {
	case c == nil:
		return "none"
	case c.ViaSocketcall():
		return "socketcall (" + c.Name() + ")"
	}
	return c.Name()
}

func (c *comparison) arguments() {
	a, b := c.callA, c.callB
	if a.sig == nil {
		c.differ("arguments", piece{}, "not known", "not known")
		return
	}
	for i, kind := range a.sig.params {
		va, vb := a.Args[i], b.Args[i]
		p := register(va, vb)
		field := fmt.Sprintf("argument %d", i)
		switch kind {
		case argFD:
			c.descriptor(field, p, false)
		case argPID:
			c.process(field, p)
		case argFlags:
			c.texts("flags", p, FlagText(uint32(va)), FlagText(uint32(vb)))
		case argInt:
			c.texts(field, p, fmt.Sprint(int32(va)), fmt.Sprint(int32(vb)))
		case argWord:
			c.texts(field, p, fmt.Sprintf("%#x", va), fmt.Sprintf("%#x", vb))
		default:
			c.texts(field, p, pointerText(va), pointerText(vb))
		}
	}
}

func pointerText(p uint64) string {
	if p == 0 {
		return "NULL"
	}
	return "an address"
}

func (c *comparison) result() {
	a, b := c.callA, c.callB
	p := register(uint64(a.Result), uint64(b.Result))
	switch {
	case a.Unfinished != b.Unfinished || a.Errno != b.Errno:
		c.differ("the result", p, a.resultText(), b.resultText())
	case a.Errno != 0, a.Unfinished, a.sig != nil && a.sig.result == argAddr:
	case a.sig != nil && a.sig.result == argPID:
		c.process("the result", p)
	default:
		c.texts("the result", p, fmt.Sprint(a.Result), fmt.Sprint(b.Result))
	}
}

// A piece contains the bytes of a part of memory, or of a register, from both records.
type piece struct {
	where  string // the title of the memory
	offset int    // in that memory
	a, b   []byte
}

func register(a, b uint64) piece {
	return piece{a: order.AppendUint64(nil, a), b: order.AppendUint64(nil, b)}
}

// int32Of returns the int in a register or in 4 bytes of memory.
func int32Of(b []byte) int32 { return int32(integer(Field{Size: len(b)}, b)) }

// cut returns a part of the piece.
func (p piece) cut(offset, size int) piece {
	f := Field{Offset: offset, Size: size}
	return piece{p.where, p.offset + offset, f.cut(p.a), f.cut(p.b)}
}

// after returns the piece after the first bytes of each record.
func (p piece) after(a, b int) piece {
	return piece{p.where, p.offset + a, p.a[min(a, len(p.a)):], p.b[min(b, len(p.b)):]}
}

// bytes compares a piece byte by byte.
func (c *comparison) bytes(field string, p piece) {
	if !bytes.Equal(p.a, p.b) {
		first := p.first()
		p.offset += first
		if max(len(p.a), len(p.b)) <= mostBytes {
			first = -1
		}
		c.differ(field, p, bytesText(p.a, first), bytesText(p.b, first))
	}
}

// first returns the index of the first byte that differs.
func (p piece) first() (i int) {
	for i < min(len(p.a), len(p.b)) && p.a[i] == p.b[i] {
		i++
	}
	return i
}

// mostBytes is how many bytes a text shows.
const mostBytes = 16

// bytesText returns all bytes of a short field, for which first is -1. Of a longer field, it returns the
// bytes from the first one that differs, with its index and the length of the field, because other fields
// can differ in the same bytes.
func bytesText(b []byte, first int) string {
	rest := b[min(max(first, 0), len(b)):]
	switch {
	case len(b) == 0:
		return "nothing"
	case first < 0:
		return hex.EncodeToString(b)
	case len(rest) == 0:
		return fmt.Sprintf("nothing after %d bytes", len(b))
	case len(rest) > mostBytes: // the checksum tells texts apart that differ only later
		return fmt.Sprintf("%x… (byte %d of %d, SHA-256 %.8x)", rest[:mostBytes], first, len(b), sha256.Sum256(rest))
	}
	return fmt.Sprintf("%x (byte %d of %d)", rest, first, len(b))
}

// descriptor compares descriptors. One that only one of the calls passes does not change how later
// descriptors are numbered.
func (c *comparison) descriptor(field string, p piece, atExit bool) {
	x := numberText(p.a, func(fd int32) string { return c.describe(c.a, c.callA, fd, atExit) })
	y := numberText(p.b, func(fd int32) string { return c.describe(c.b, c.callB, fd, atExit) })
	if len(p.a) != len(p.b) {
		seen := max(c.a.seenFDs, c.b.seenFDs)
		c.a.seenFDs, c.b.seenFDs = seen, seen
	}
	c.texts(field, p, x, y)
}

// closeOnExec compares the flag of received descriptors, which is not in memory.
func (c *comparison) closeOnExec(field string, p piece) {
	a, b := c.callA.file(int32Of(p.a), true), c.callB.file(int32Of(p.b), true)
	if a != nil && b != nil && a.Access != "" && b.Access != "" && a.CloseOnExec != b.CloseOnExec {
		text := map[bool]string{false: "not set", true: "set"}
		c.differ(field, piece{}, text[a.CloseOnExec], text[b.CloseOnExec])
	}
}

func (c *comparison) describe(n *normalizer, by *Call, fd int32, atExit bool) string {
	switch {
	case c.Describe != nil:
		return c.Describe(fd, by.file(fd, atExit))
	case c.ExactIDs:
		return strconv.Itoa(int(fd))
	}
	return n.descriptor(by, fd, atExit)
}

// process compares process IDs.
func (c *comparison) process(field string, p piece) {
	x := numberText(p.a, func(pid int32) string { return c.a.process(pid, c.ExactIDs) })
	y := numberText(p.b, func(pid int32) string { return c.b.process(pid, c.ExactIDs) })
	c.texts(field, p, x, y)
}

// numberText returns the text of an int, or the bytes of it that exist.
func numberText(b []byte, text func(int32) string) string {
	if len(b) < 4 {
		return bytesText(b, -1)
	}
	return text(int32Of(b))
}
