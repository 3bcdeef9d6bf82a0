package recorder

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

// A Difference is the first one between two records.
type Difference struct {
	Process int    // from 1: the processes that made calls, in the order of the tree
	Call    int    // from 1: the calls of the process
	A, B    *Call  // nil if that side made none
	When    string // "entry" or "exit"; empty if it is about the call as a whole
	Field   string // "padding after cmsg_data"
	Where   string // the memory that it is in: "control"; empty if it is in none
	Offset  int    // of the first byte that differs, in that memory
	TextA   string // what it is on each side
	TextB   string
}

func (d *Difference) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "call %d of process %d", d.Call, d.Process)
	if c := d.A; c != nil || d.B != nil {
		if c == nil {
			c = d.B
		}
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

// Diff returns the first difference between two records, of all that was
// recorded; nil if there is none. What must differ from run to run is masked,
// and nothing else: of an address it counts whether it is NULL; of a
// descriptor what kind of file it is, how it was opened, and as the how many-th
// of its process it appears; of a process as the how many-th it appears.
//
// The calls of each process are compared in their order. Processes are paired
// by their place in the tree, those without calls left out.
func Diff(a, b []Call) *Difference { return diff(a, b, true) }

// DiffSaid is Diff without the memory that the kernel has neither read nor
// written: a buffer for a receipt at its entry, and what the receipt left of it
// at its exit.
func DiffSaid(a, b []Call) *Difference { return diff(a, b, false) }

func diff(a, b []Call, all bool) *Difference {
	cmp := &comparison{a: newSide(a), b: newSide(b), all: all}
	var found *Difference
	for i := range max(len(cmp.a.streams), len(cmp.b.streams)) {
		cmp.a.fds, cmp.b.fds = map[string]int{}, map[string]int{}
		if d := cmp.streams(at(cmp.a.streams, i), at(cmp.b.streams, i)); d != nil {
			d.Process = i + 1
			if found == nil || d.seq() < found.seq() {
				found = d
			}
		}
	}
	return found
}

func (d *Difference) seq() int {
	if d.A != nil {
		return d.A.seq
	}
	return d.B.seq
}

// at returns nothing behind the end.
func at[T any](list []T, i int) (none T) {
	if i < len(list) {
		return list[i]
	}
	return none
}

// A comparison goes through two records in step. Its methods return true when
// they have found a difference and noted it.
type comparison struct {
	a, b *side
	all  bool

	callA, callB *Call
	d            *Difference
}

func (cmp *comparison) streams(a, b []*Call) *Difference {
	for i := range max(len(a), len(b)) {
		cmp.callA, cmp.callB = at(a, i), at(b, i)
		cmp.d = &Difference{Call: i + 1, A: cmp.callA, B: cmp.callB}
		if cmp.call() {
			return cmp.d
		}
	}
	return nil
}

// differ notes a difference that is not in memory.
func (cmp *comparison) differ(field, a, b string) bool {
	cmp.d.Field, cmp.d.TextA, cmp.d.TextB = field, a, b
	return true
}

func (cmp *comparison) call() bool {
	a, b := cmp.callA, cmp.callB
	switch {
	case a == nil || b == nil:
		return cmp.differ("the call", nameOf(a), nameOf(b))
	case a.Arch != b.Arch:
		return cmp.differ("the processor", a.Arch.Name, b.Arch.Name)
	case a.Nr != b.Nr || a.Name() != b.Name():
		return cmp.differ("the call", nameOf(a), nameOf(b))
	case a.Section != b.Section:
		return cmp.differ("the section", fmt.Sprint(a.Section), fmt.Sprint(b.Section))
	}
	cmp.d.When = "entry"
	if cmp.arguments() || cmp.memory(false) {
		return true
	}
	cmp.d.When = "exit"
	return cmp.result() || !a.Unfinished && cmp.memory(true)
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
		return false // which registers are arguments is not known
	}
	for i, arg := range a.sig.args {
		va, vb := a.args[i], b.args[i]
		field := fmt.Sprintf("argument %d", i)
		switch arg.kind {
		case argFD:
			if cmp.descriptor(field, int32(va), int32(vb), false) {
				return true
			}
		case argPID:
			if cmp.process(field, int32(va), int32(vb)) {
				return true
			}
		case argFlags:
			if uint32(va) != uint32(vb) {
				return cmp.differ("flags", flagText(uint32(va)), flagText(uint32(vb)))
			}
		case argInt:
			if int32(va) != int32(vb) {
				return cmp.differ(field, fmt.Sprint(int32(va)), fmt.Sprint(int32(vb)))
			}
		case argWord:
			if va != vb {
				return cmp.differ(field, fmt.Sprintf("%#x", va), fmt.Sprintf("%#x", vb))
			}
		default:
			if (va == 0) != (vb == 0) {
				return cmp.differ(field, pointerText(va), pointerText(vb))
			}
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

func (cmp *comparison) descriptor(field string, a, b int32, atExit bool) bool {
	ia, ib := cmp.a.fd(cmp.callA, a, atExit), cmp.b.fd(cmp.callB, b, atExit)
	if ia == ib {
		return false
	}
	return cmp.differ(field, ia.String(), ib.String())
}

func (cmp *comparison) process(field string, a, b int32) bool {
	pa, pb := cmp.a.pid(a), cmp.b.pid(b)
	if pa == pb {
		return false
	}
	return cmp.differ(field, fmt.Sprintf("process %d", pa), fmt.Sprintf("process %d", pb))
}

func (cmp *comparison) result() bool {
	a, b := cmp.callA, cmp.callB
	switch {
	case a.Unfinished != b.Unfinished || a.Errno != b.Errno:
		return cmp.differ("the result", string(a.appendResult(nil)), string(b.appendResult(nil)))
	case a.Errno != 0 || a.Unfinished:
		return false
	case a.makesFD():
		return cmp.descriptor("the result", int32(a.Result), int32(b.Result), true)
	case a.sig != nil && a.sig.result == argPID:
		return cmp.process("the result", int32(a.Result), int32(b.Result))
	case a.sig != nil && a.sig.result == argAddr:
		return false
	case a.Result != b.Result:
		return cmp.differ("the result", fmt.Sprint(a.Result), fmt.Sprint(b.Result))
	}
	return false
}

// piece is a part of memory under comparison, on both sides.
type piece struct {
	where  string
	offset int // in that memory
	a, b   []byte
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
	cmp.d.Where, cmp.d.Offset = p.where, p.offset+first
	return cmp.differ(field, around(p.a, first), around(p.b, first))
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

// within notes where a difference is that another method has found.
func (cmp *comparison) within(p piece, found bool) bool {
	if found {
		cmp.d.Where, cmp.d.Offset = p.where, p.offset
	}
	return found
}
