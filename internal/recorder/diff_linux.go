package recorder

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Difference is one between two records.
type Difference struct {
	Process int    // from 1: the processes that made calls, in the order of the tree
	Call    int    // from 1: the calls of the process
	Threads bool   // several threads of the process made calls, on one side: their order is by chance
	Several bool   // several processes made calls, on one side: what passes between them is by chance
	A, B    *Call  // nil if that side made none
	When    string // "entry" or "exit"; empty if it is about the call as a whole
	Field   string // "padding after cmsg_data"
	Where   string // the memory that it is in: "control"; empty if it is in none
	Offset  int    // of the first byte that differs, in that memory
	TextA   string // what it is on each side
	TextB   string
	BytesA  []byte // the same as memory or a register holds it; empty if it is in neither
	BytesB  []byte
}

func (d *Difference) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "call %d of process %d", d.Call, d.Process)
	if c := d.made(); c != nil {
		fmt.Fprintf(&s, " (%s)", c.Name())
	}
	if d.When != "" {
		fmt.Fprintf(&s, ", at its %s", d.When)
	}
	fmt.Fprintf(&s, ": %s: %s against %s", d.Field, d.TextA, d.TextB)
	if a, b := length(d.Field, d.BytesA), length(d.Field, d.BytesB); a != b {
		fmt.Fprintf(&s, ", %d against %d", a, b)
	}
	if d.Where != "" {
		fmt.Fprintf(&s, " (byte %d of %s)", d.Offset, d.Where)
	}
	return s.String()
}

// length is the number in the bytes of a field that has a length, and 0 in others.
func length(field string, b []byte) uint64 {
	switch {
	case strings.HasSuffix(field, "len") && len(b) == 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case strings.HasSuffix(field, "len") && len(b) == 8:
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

// A Comparison says how two records are compared. The zero one compares all
// that was recorded. What must differ from run to run is masked, and nothing
// else: of an address it counts whether it is NULL; of a descriptor what kind
// of file it is, whether it was opened to read, to write or as a path, and as the
// how many-th of its process it appears, where each one that a call has installed
// is another; of a process as the how many-th it appears.
//
// The calls of each process are compared in their order, up to one that the
// other side has not. That is the order in which its threads entered them: a
// process with several threads that make calls can differ from itself, and
// Difference.Threads tells. Processes are paired by their place in the tree,
// those without calls left out. Which of several receives a message, or sends
// first, is by chance too: Difference.Several.
type Comparison struct {
	// Said is the memory of which only that counts what the kernel has read or
	// written: not a buffer for a receipt at its entry, nor what the receipt
	// left of it at its exit.
	Said []What
	// Numbers has descriptors count by their numbers, and processes too, but
	// those of which there are calls.
	Numbers bool
	// Describe, if set, says of a descriptor what counts.
	Describe func(c *Call, fd int32, atExit bool) string
	// AnyTime masks the time in SCM_TIMESTAMP, SCM_TIMESTAMPNS and SCM_TIMESTAMPING.
	AnyTime bool
}

// Diff returns the first difference of the zero Comparison; nil if there is none.
func Diff(a, b []Call) *Difference { return Comparison{}.First(a, b) }

// OfSaid compares without the memory that the kernel has neither read nor written, and
// without the time.
var OfSaid = Comparison{Said: []What{Payload, Address, Control, Buffer}, AnyTime: true}

// All returns all differences, process by process. What the kernel has left as
// it was differs once, at the entry.
func (o Comparison) All(a, b []Call) []*Difference { return o.compare(a, b, false) }

// First returns the difference that was made first; nil if there is none.
func (o Comparison) First(a, b []Call) *Difference { return earliest(o.compare(a, b, true)) }

// earliest is the one that was made first.
func earliest(found []*Difference) *Difference {
	if len(found) == 0 {
		return nil
	}
	return slices.MinFunc(found, func(d, e *Difference) int { return d.made().seq - e.made().seq })
}

// compare finds all differences, or the first of each process.
func (o Comparison) compare(a, b []Call, first bool) []*Difference {
	c := &comparison{Comparison: o, first: first, a: newSide(a), b: newSide(b)}
	processes := max(len(c.a.streams), len(c.b.streams))
	for i := range processes {
		c.a.begin()
		c.b.begin()
		c.d.Process, c.d.Several = i+1, processes > 1
		a, b := at(c.a.streams, i), at(c.b.streams, i)
		c.threads = severalThreads(a) || severalThreads(b)
		c.streams(a, b)
	}
	return c.found
}

// severalThreads reports whether not all calls are of one thread.
func severalThreads(stream []*Call) bool {
	return slices.ContainsFunc(stream, func(c *Call) bool { return c.Thread != stream[0].Thread })
}

// made is the call, of the first side that made it.
func (d *Difference) made() *Call { return cmp.Or(d.A, d.B) }

// at returns nothing behind the end.
func at[T any](list []T, i int) (none T) {
	if i < len(list) {
		return list[i]
	}
	return none
}

// A comparison goes through two records in step. Its methods return true to
// end it.
type comparison struct {
	Comparison
	first   bool // the first difference of a process ends it
	a, b    *side
	threads bool // Difference.Threads of the process

	callA, callB *Call
	d            Difference // where it is
	found        []*Difference
}

func (cmp *comparison) streams(a, b []*Call) {
	for i := range max(len(a), len(b)) {
		cmp.callA, cmp.callB = at(a, i), at(b, i)
		cmp.d = Difference{Process: cmp.d.Process, Several: cmp.d.Several, Call: i + 1, A: cmp.callA, B: cmp.callB}
		if field, x, y := cmp.parted(); field != "" {
			cmp.differ(field, piece{}, x, y)
			return
		}
		if cmp.call() {
			return
		}
	}
}

// differ notes a difference.
func (cmp *comparison) differ(field string, p piece, a, b string) bool {
	d := cmp.d
	d.Threads = cmp.threads
	d.Field, d.Where, d.Offset, d.TextA, d.TextB, d.BytesA, d.BytesB = field, p.where, p.offset, a, b, p.a, p.b
	if !slices.ContainsFunc(cmp.found, d.left) {
		cmp.found = append(cmp.found, &d)
	}
	return cmp.first
}

// left reports whether d, at the exit, is what another was at the entry.
func (d *Difference) left(entry *Difference) bool {
	return d.When == "exit" && entry.When == "entry" && d.A == entry.A && d.Field == entry.Field &&
		d.Where == entry.Where && bytes.Equal(d.BytesA, entry.BytesA) && bytes.Equal(d.BytesB, entry.BytesB)
}

// parted tells where the sides have not made the same call; no field if they have.
func (cmp *comparison) parted() (field, x, y string) {
	switch a, b := cmp.callA, cmp.callB; {
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

func (cmp *comparison) call() bool {
	cmp.d.When = "entry"
	if cmp.arguments() || cmp.memory(false) {
		return true
	}
	cmp.d.When = "exit"
	return cmp.result() || !cmp.callA.Unfinished && !cmp.callB.Unfinished && cmp.memory(true)
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

func (cmp *comparison) arguments() bool {
	a, b := cmp.callA, cmp.callB
	if a.sig == nil {
		return cmp.differ("arguments", piece{}, "not known", "not known")
	}
	for i, arg := range a.sig.args {
		va, vb := a.args[i], b.args[i]
		p := register(va, vb)
		field := fmt.Sprintf("argument %d", i)
		stop := false
		switch arg.kind {
		case argFD:
			stop = cmp.descriptor(field, p, false)
		case argPID:
			stop = cmp.process(field, p)
		case argFlags:
			stop = uint32(va) != uint32(vb) && cmp.differ("flags", p, FlagText(uint32(va)), FlagText(uint32(vb)))
		case argInt:
			stop = int32(va) != int32(vb) && cmp.differ(field, p, fmt.Sprint(int32(va)), fmt.Sprint(int32(vb)))
		case argWord:
			stop = va != vb && cmp.differ(field, p, fmt.Sprintf("%#x", va), fmt.Sprintf("%#x", vb))
		default:
			stop = (va == 0) != (vb == 0) && cmp.differ(field, p, pointerText(va), pointerText(vb))
		}
		if stop {
			return true
		}
	}
	return false
}

func pointerText(p uint64) string {
	if p == 0 {
		return "NULL"
	}
	return "an address"
}

func (cmp *comparison) result() bool {
	a, b := cmp.callA, cmp.callB
	p := register(uint64(a.Result), uint64(b.Result))
	switch {
	case a.Unfinished != b.Unfinished || a.Errno != b.Errno:
		return cmp.differ("the result", p, string(a.appendResult(nil)), string(b.appendResult(nil)))
	case a.Errno != 0 || a.Unfinished:
		return false
	case a.makesFD():
		return cmp.descriptor("the result", p, true)
	case a.sig != nil && a.sig.result == argPID:
		return cmp.process("the result", p)
	case a.sig != nil && a.sig.result == argAddr:
		return false
	case a.Result != b.Result:
		return cmp.differ("the result", p, fmt.Sprint(a.Result), fmt.Sprint(b.Result))
	}
	return false
}

// piece is a part of memory under comparison, or a register, on both sides.
type piece struct {
	where  string
	offset int // in that memory
	a, b   []byte
}

func register(a, b uint64) piece {
	return piece{a: order.AppendUint64(nil, a), b: order.AppendUint64(nil, b)}
}

// cut is a part of the part.
func (p piece) cut(offset, size int) piece {
	f := Field{Offset: offset, Size: size}
	return piece{p.where, p.offset + offset, cut(p.a, f), cut(p.b, f)}
}

// bytes compares a piece as it is.
func (cmp *comparison) bytes(field string, p piece) bool {
	if bytes.Equal(p.a, p.b) {
		return false
	}
	first := 0
	for first < min(len(p.a), len(p.b)) && p.a[first] == p.b[first] {
		first++
	}
	p.offset += first
	return cmp.differ(field, p, around(p.a, first), around(p.b, first))
}

// around is the bytes from the first that differs, or all of a short field.
func around(b []byte, first int) string {
	const most = 16
	if len(b) == 0 {
		return "nothing"
	}
	if len(b) <= most {
		return hex.EncodeToString(b)
	}
	b = b[min(first, len(b)):]
	if len(b) <= most {
		return hex.EncodeToString(b)
	}
	return hex.EncodeToString(b[:most]) + "…"
}

// descriptor compares numbers of descriptors.
func (cmp *comparison) descriptor(field string, p piece, atExit bool) bool {
	a, b := int32(order.Uint32(p.a)), int32(order.Uint32(p.b))
	x := cmp.file(cmp.a, cmp.callA, a, atExit)
	y := cmp.file(cmp.b, cmp.callB, b, atExit)
	return x != y && cmp.differ(field, p, x, y)
}

func (cmp *comparison) file(s *side, c *Call, fd int32, atExit bool) string {
	switch {
	case cmp.Describe != nil:
		return cmp.Describe(c, fd, atExit)
	case cmp.Numbers:
		return strconv.Itoa(int(fd))
	}
	return s.fd(c, fd, atExit)
}

// process compares numbers of processes.
func (cmp *comparison) process(field string, p piece) bool {
	x := cmp.a.pid(int32(order.Uint32(p.a)), cmp.Numbers)
	y := cmp.b.pid(int32(order.Uint32(p.b)), cmp.Numbers)
	return x != y && cmp.differ(field, p, x, y)
}
