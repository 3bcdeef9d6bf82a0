package recorder

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"strings"
)

// A Difference describes a difference between two records.
type Difference struct {
	Process int   // from 1, in the order of the process tree; processes without calls are not counted
	Call    int   // from 1, among the calls of the process
	Threads bool  // in one record, several threads of the process made calls, whose order can vary
	Several bool  // in one record, several processes made calls, whose interaction can vary
	A, B    *Call // nil if the process has no more calls in that record
	When    When
	Place
	TextA  string // the two values as text
	TextB  string
	BytesA []byte // the two values in memory or in a register; empty if they are in neither
	BytesB []byte

	byConnection bool // Process counts connections
	time         int  // its place in the order of A's entries and exits
}

func (d *Difference) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "call %d of %s (%s)", d.Call, d.Who(), d.call().Name())
	if d.When == AtEntry || d.When == AtReturn {
		fmt.Fprintf(&s, ", at its %s", d.When)
	}
	fmt.Fprintf(&s, ": %s%s: %s", d.Place, d.bytes(), cmp.Or(d.Required(), d.TextA+" against "+d.TextB))
	if d.Memory != Registers && d.Memory != Payload && len(d.BytesA)+len(d.BytesB) > 0 {
		fmt.Fprintf(&s, " (byte %d of %v)", d.Offset, d.Memory)
	}
	return s.String()
}

// Who returns the process and its program, such as "process 2, port".
func (d *Difference) Who() string {
	who := fmt.Sprintf("process %d", d.Process)
	if d.byConnection {
		who = fmt.Sprintf("connection %d", d.Process)
	}
	if program := d.call().Program; program != "" {
		who += ", " + quotedName(path.Base(program))
	}
	return who
}

// Required returns a sentence if both values are the same, but an Allowance requires B to have another value.
func (d *Difference) Required() string {
	if d.required && d.TextA == d.TextB {
		return "B does not set close-on-exec, which --allow requires"
	}
	return ""
}

// InOrder reports whether a different order of calls, in several threads or processes, can be the cause. It can
// change which call comes next, its result, and in which order descriptors, processes and names first appear.
func (d *Difference) InOrder() bool { return d.Ends() || d.Field == Result || d.ordinal }

// Key returns the call and the field, such as "recvmsg: msg_flags on return".
func (d *Difference) Key() string { return d.key("") }

func (d *Difference) key(bytes string) string {
	key := d.call().Name() + ": " + d.Place.String() + bytes
	if d.When == AtReturn {
		key += " on return"
	}
	return key
}

// Text returns the key with the bytes that differ, and the two values. It is the same in each call that differs in the
// same way.
func (d *Difference) Text() string {
	return fmt.Sprintf("%s: %s against %s", d.key(d.bytes()), d.TextA, d.TextB)
}

// Ends reports whether the rest of the process is not compared, because it makes other calls.
func (d *Difference) Ends() bool { return d.When == AsAWhole }

// Ignored reports whether the kernel ignores the bytes. It neither reads nor writes padding, and does not
// read msg_len or msg_flags, except that sendmmsg takes MSG_EOR from msg_flags. If msg_name is NULL, it
// ignores msg_namelen.
func (d *Difference) Ignored() bool {
	message, a, b := max(d.Message, 0), d.A, d.B
	switch {
	case d.padding:
		return d.Memory != ControlData || !a.receives()
	case d.Memory != Header:
		return false
	case d.Field == "msg_flags":
		return a.Name() != "sendmmsg" && (d.When == AtEntry || !a.received(message) && !b.received(message))
	case d.Field == "msg_len":
		return d.When == AtEntry || message >= max(a.transferred(), b.transferred())
	case d.Field == "msg_namelen":
		return a.Entry.Messages[message].Header.Name == 0 && b.Entry.Messages[message].Header.Name == 0
	}
	return false
}

// call returns the call of A or, if A has none, of B.
func (d *Difference) call() *Call {
	if d.A != nil {
		return d.A
	}
	return d.B
}

// repeats reports whether d is a difference at the exit that already existed at the entry. If the kernel
// ignored the bytes at the entry and has written them since, the values are the same by chance.
func (d *Difference) repeats(entry *Difference) bool {
	return d.When == AtReturn && entry.When == AtEntry && d.Place == entry.Place &&
		bytes.Equal(d.BytesA, entry.BytesA) && bytes.Equal(d.BytesB, entry.BytesB) && d.Ignored() == entry.Ignored()
}
