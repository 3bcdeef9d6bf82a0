package recorder

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Comparison determines how two records are compared. The zero value compares everything that
// was recorded, except that it normalizes values that necessarily differ from run to run:
//
//   - Two addresses are equal if both or neither of them are NULL.
//   - Descriptors are numbered in the order in which they first appear in their process. The
//     comparison includes the kind of file, and whether the descriptor is open for reading, for
//     writing or as a path. A descriptor whose file has changed gets a new position in the order, and so does
//     each descriptor that a call receives. If Options.StillOpen was set, a received one keeps its position
//     after the program has moved or duplicated it. Its close-on-exec flag is compared as a field of its own.
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
	// Processes lists the processes to compare, by their numbers in A and in B. If it is empty, all are compared.
	Processes [2][]int
	// ByConnection groups calls by their socket instead of by process. So a server that forks for each connection can be
	// compared with one that does not. Of descriptors for files that several processes can open, only the received ones
	// are then numbered. A received descriptor that is still open then counts only in B, if another program received it.
	ByConnection bool
	// AnyTime ignores the time in SCM_TIMESTAMP, SCM_TIMESTAMPNS and SCM_TIMESTAMPING.
	AnyTime bool

	anyBytes           []*Allowance // whose bytes are reported by themselves, apart from the other bytes of their payload
	requireCloseOnExec bool         // report descriptors that another program receives in B without close-on-exec
}

// UsedMemory is a Comparison that ignores timestamps, and memory that the kernel neither reads nor
// writes.
var UsedMemory = Comparison{UsedOnly: []MemoryKind{Payload, Address, ControlData}, AnyTime: true}

// A Trace contains the calls of a program and, if they are compared, its received descriptors that were still open.
type Trace struct {
	Calls     []Call
	StillOpen []*StillOpen
}

// All returns all differences between calls, as Compare does.
func (o Comparison) All(a, b []Call) []*Difference {
	return o.Compare(Trace{Calls: a}, Trace{Calls: b})
}

// Compare returns all differences, in the order in which A entered the calls or, for a difference on return, left them.
// A call that only B makes comes after the one before it in its process. If a difference at the
// entry of a call is the same at its exit, Compare returns it only for the entry. If one call fails with
// an errno that the other does not have, Compare does not compare the memory at their exits. It compares what is still
// open only of processes, or connections, that make the same calls in both traces.
func (o Comparison) Compare(a, b Trace) []*Difference {
	streamsA, streamsB := o.streams(a.Calls, o.Processes[0]), o.streams(b.Calls, o.Processes[1])
	c := &comparison{Comparison: o, a: newNormalizer(streamsA), b: newNormalizer(streamsB)}
	c.openA, c.openB = o.openByCall(streamsA, a.StillOpen), o.openByCall(streamsB, b.StillOpen)
	processes := max(len(streamsA), len(streamsB))
	for i := range processes {
		c.a.next(o.ByConnection)
		c.b.next(o.ByConnection)
		a, b := at(streamsA, i), at(streamsB, i)
		c.current = Difference{
			Process: o.number(i), byConnection: o.ByConnection, time: math.MaxInt,
			Threads: severalThreads(a) || severalThreads(b), Several: processes > 1 && !o.ByConnection,
		}
		c.streams(a, b)
	}
	slices.SortStableFunc(c.found, func(d, e *Difference) int { return cmp.Compare(d.time, e.time) })
	return c.found
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

// severalThreads reports whether more than one thread made the calls.
func severalThreads(stream []*Call) bool {
	return slices.ContainsFunc(stream, func(c *Call) bool { return c.Thread != stream[0].Thread })
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
	a, b         *normalizer
	openA, openB map[int][]openAt // by Call.seq

	callA, callB *Call
	current      Difference // the current calls
	found        []*Difference
	before       int // how many were found before the current call
}

// streams compares the calls of a process.
func (c *comparison) streams(a, b []*Call) {
	same := slices.EqualFunc(a, b, func(x, y *Call) bool { field, _, _ := mismatch(x, y); return field == "" })
	d := &c.current
	for i := range max(len(a), len(b)) {
		c.callA, c.callB, c.before = at(a, i), at(b, i), len(c.found)
		d.Call, d.A, d.B, d.When = i+1, c.callA, c.callB, AsAWhole
		if c.callA != nil { // otherwise, it is the end of the call before
			d.time = c.callA.seq
		}
		if field, x, y := mismatch(c.callA, c.callB); field != "" {
			c.differ(inCall(field), x, y)
			return
		}
		c.call()
		if same {
			c.stillOpen()
		}
	}
}

// texts adds a difference unless both texts are the same. A text must identify one value, and must be the same in
// every run, because --allow compares texts, too.
func (c *comparison) texts(p piece, a, b string) {
	if a != b {
		c.differ(p, a, b)
	}
}

// differ adds a difference.
func (c *comparison) differ(p piece, a, b string) {
	d := c.current
	d.Place = p.Place
	d.TextA, d.TextB = a, b
	d.BytesA, d.BytesB = p.a, p.b
	if !slices.ContainsFunc(c.found[c.before:], d.repeats) {
		c.found = append(c.found, &d)
	}
}

// mismatch reports whether one call is missing, or the two calls differ in architecture, system call or
// section. If they match, field is empty.
func mismatch(a, b *Call) (field, x, y string) {
	switch {
	case a == nil || b == nil:
		return OtherCall, nameOf(a), nameOf(b)
	case a.Arch != b.Arch:
		return "the processor", a.Arch.Name, b.Arch.Name
	case a.Nr != b.Nr || a.Name() != b.Name():
		return OtherCall, nameOf(a), nameOf(b)
	case a.Section != b.Section:
		return "the section", fmt.Sprint(a.Section), fmt.Sprint(b.Section)
	}
	return "", "", ""
}

// call compares two calls of the same kind.
func (c *comparison) call() {
	c.current.When = AtEntry
	c.arguments()
	c.memory(false)
	c.current.When, c.current.time = AtReturn, c.callA.end
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
		c.differ(inCall("arguments"), "not known", "not known")
		return
	}
	for i, kind := range a.sig.params {
		va, vb := a.Args[i], b.Args[i]
		p := register(fmt.Sprintf("argument %d", i), va, vb)
		switch kind {
		case argFD:
			c.descriptor(p, false)
		case argPID:
			c.process(p)
		case argFlags:
			c.texts(p.named("flags"), FlagText(uint32(va)), FlagText(uint32(vb)))
		case argInt:
			c.texts(p, fmt.Sprint(int32(va)), fmt.Sprint(int32(vb)))
		case argWord:
			c.texts(p, fmt.Sprintf("%#x", va), fmt.Sprintf("%#x", vb))
		default:
			c.texts(p, pointerText(va), pointerText(vb))
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
	p := register(Result, uint64(a.Result), uint64(b.Result))
	switch {
	case a.Unfinished != b.Unfinished || a.Errno != b.Errno:
		c.texts(p, a.resultText(), b.resultText())
	case a.Errno != 0, a.Unfinished, a.sig != nil && a.sig.result == argAddr:
	case a.sig != nil && a.sig.result == argPID:
		c.process(p)
	default:
		c.texts(p, fmt.Sprint(a.Result), fmt.Sprint(b.Result))
	}
}

// A piece contains the bytes of a part of memory, or of a register, from both records.
type piece struct {
	Place
	a, b []byte
}

// inCall returns a piece without bytes.
func inCall(field string) piece { return piece{Place: Place{Message: -1, Index: -1, Field: field}} }

func register(field string, a, b uint64) piece {
	return piece{inCall(field).Place, order.AppendUint64(nil, a), order.AppendUint64(nil, b)}
}

// named returns the piece as the field of that name.
func (p piece) named(field string) piece {
	p.Field = field
	return p
}

// int32Of returns the int in a register or in 4 bytes of memory.
func int32Of(b []byte) int32 { return int32(integer(Field{Size: len(b)}, b)) }

// cut returns a part of the piece.
func (p piece) cut(offset, size int) piece {
	f := Field{Offset: offset, Size: size}
	p.Offset += offset
	return piece{p.Place, f.cut(p.a), f.cut(p.b)}
}

// after returns the piece after the first bytes of each record.
func (p piece) after(a, b int) piece {
	p.Offset += a
	return piece{p.Place, p.a[min(a, len(p.a)):], p.b[min(b, len(p.b)):]}
}

// bytes compares a piece byte by byte. It reports the bytes of each of c.anyBytes by themselves. A difference extends
// from the first to the last byte that differs.
func (c *comparison) bytes(p piece) {
	if bytes.Equal(p.a, p.b) {
		return
	}
	if p.Memory != Payload { // whose rest may not be recorded
		p.LenA, p.LenB = len(p.a), len(p.b)
	}
	p.Offset += p.first()
	n := max(len(p.a), len(p.b))
	a, b := hexBytes(p.a, n), hexBytes(p.b, n)
	d := c.current
	d.Place = p.Place
	parts := []Place{}
	for _, allowed := range c.anyBytes {
		if allowed.in(&d) {
			parts = append(parts, allowed.place)
		}
	}
	for _, part := range append(parts, Place{To: n}) {
		p.From, p.To = n, 0
		for i := part.From; i < min(part.To, n); i++ {
			if a[i] != b[i] {
				p.From, p.To = min(p.From, i), i+1
			}
		}
		if p.To > 0 {
			c.differ(p, joined(a[p.From:p.To]), joined(b[p.From:p.To]))
		}
		for i := part.From; i < min(part.To, n); i++ {
			a[i], b[i] = "..", ".."
		}
	}
}

// hexBytes returns n bytes in hexadecimal, with empty texts after the last one.
func hexBytes(b []byte, n int) []string {
	texts := make([]string, n)
	for i, x := range b {
		texts[i] = hex.EncodeToString([]byte{x})
	}
	return texts
}

// mostBytes is how many bytes a text shows.
const mostBytes = 16

// joined returns the text of bytes. Its checksum tells apart texts that differ only later.
func joined(texts []string) string {
	text := strings.Join(texts, "")
	if len(text) > 2*mostBytes {
		return fmt.Sprintf("%s… (SHA-256 %.8x)", text[:2*mostBytes], sha256.Sum256([]byte(text)))
	}
	return cmp.Or(text, "nothing")
}

// first returns the index of the first byte that differs.
func (p piece) first() (i int) {
	for i < min(len(p.a), len(p.b)) && p.a[i] == p.b[i] {
		i++
	}
	return i
}

// descriptor compares descriptors. One that is new in only one of the calls does not change how later descriptors are
// numbered.
func (c *comparison) descriptor(p piece, atExit bool) {
	x := numberText(p.a, func(fd int32) string { return c.describe(c.a, c.callA, fd, atExit) })
	y := numberText(p.b, func(fd int32) string { return c.describe(c.b, c.callB, fd, atExit) })
	if x != y {
		seen := max(c.a.seenFDs, c.b.seenFDs)
		c.a.seenFDs, c.b.seenFDs = seen, seen
	}
	p.ordinal = true
	c.texts(p, x, y)
}

// closeOnExec compares the flag of received descriptors, which is not in memory.
func (c *comparison) closeOnExec(p piece) {
	a, b := c.callA.file(int32Of(p.a), true), c.callB.file(int32Of(p.b), true)
	if a == nil || b == nil || a.Access == "" || b.Access == "" {
		return
	}
	p.required = c.requireCloseOnExec && c.callA.Program != c.callB.Program && !b.CloseOnExec
	if a.CloseOnExec != b.CloseOnExec || p.required {
		text := map[bool]string{false: "not set", true: "set"}
		p.a, p.b = nil, nil
		c.differ(p, text[a.CloseOnExec], text[b.CloseOnExec])
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
func (c *comparison) process(p piece) {
	x := numberText(p.a, func(pid int32) string { return c.a.process(pid, c.ExactIDs) })
	y := numberText(p.b, func(pid int32) string { return c.b.process(pid, c.ExactIDs) })
	p.ordinal = true
	c.texts(p, x, y)
}

// numberText returns the text of an int, or the bytes of it that exist.
func numberText(b []byte, text func(int32) string) string {
	if len(b) < 4 {
		return partText(b)
	}
	return text(int32Of(b))
}

// partText returns the bytes of a number that exist. Without the word, they could be the digits of another number.
func partText(b []byte) string {
	if len(b) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("bytes %x", b)
}
