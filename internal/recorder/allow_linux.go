package recorder

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An Allowance is an argument of scm diff --allow. It says which differences do not count.
type Allowance struct {
	connection  bool // stream is the number of a connection, not of a process
	stream      int  // 0: the Allowance is for all calls
	first, last int  // the numbers of the calls
	call        string
	place       Place
	onReturn    bool
	anyValues   bool
	anyBytes    bool   // any values of bytes of a payload
	textA       string // the texts of the values, unless anyValues is set
	textB       string
}

// closeOnExecFields are the fields that say whether a received descriptor is close-on-exec.
var closeOnExecFields = []string{
	typeName(unix.SOL_SOCKET, unix.SCM_RIGHTS) + ", close-on-exec",
	typeName(unix.SOL_SOCKET, unix.SCM_PIDFD) + ", close-on-exec",
}

// hasAnyValues reports whether --allow can allow any two values of the field. It can for flags, for the fields of
// msghdr and iovec, and for close-on-exec, but not for anything else that is sent or received, or for the call and
// its result.
func (p Place) hasAnyValues() bool {
	fields := slices.Concat(layout{{Name: "flags"}}, msghdr64, layouts[8].iovec)
	return slices.Contains(closeOnExecFields, p.Field) ||
		slices.ContainsFunc(fields, func(f Field) bool { return p.Field == f.Name })
}

var errForm = errors.New("needs a line such as 'sendmsg: flags: 0 against MSG_NOSIGNAL', " +
	"'call 3 of process 2, recvmsg: flags' or 'calls 3-9 of connection 1, sendmsg: payload[1:4] of 16'")

// ParseAllowance parses an argument of --allow. It is the text of a difference, as Difference.Text returns it, or
// without the values if any two are allowed. A prefix such as "call 3 of process 2, " or "calls 3-9 of connection
// 2, " can name the calls.
func ParseAllowance(line string) (*Allowance, error) {
	a, rest := &Allowance{}, line
	if head, tail, ok := strings.Cut(line, ", "); ok && strings.HasPrefix(head, "call") {
		var kind string
		if n, _ := fmt.Sscanf(head, "calls %d-%d of %s %d", &a.first, &a.last, &kind, &a.stream); n < 4 {
			_, _ = fmt.Sscanf(head, "call %d of %s %d", &a.first, &kind, &a.stream)
			a.last = a.first
		}
		a.connection, rest = kind == "connection", tail
	}
	a.call, rest, _ = strings.Cut(rest, ": ")
	if !slices.Contains(ancillary, a.call) && !strings.HasPrefix(a.call, "syscall ") { // as Call.Name returns it
		return nil, errForm
	}
	field, values, hasValues := strings.Cut(rest, ": ")
	a.textA, a.textB, _ = strings.Cut(values, " against ")
	field, a.onReturn = strings.CutSuffix(field, " on return")
	if err := a.place.parse(field); err != nil {
		return nil, err
	}
	a.anyValues = !hasValues
	a.anyBytes = a.anyValues && a.place.Memory == Payload && a.place.To > 0 && a.place.LenA == a.place.LenB
	valid := hasValues || a.anyBytes || a.place.To == 0 && a.place.hasAnyValues()
	switch {
	case !valid:
		return nil, errors.New("needs a difference with both values, as scm diff prints it")
	case a.String() != line || a.stream > 0 && a.first < 1 || a.first > a.last: // no part of the line is ignored
		return nil, errForm
	}
	return a, nil
}

// parse is the reverse of String and bytes.
func (p *Place) parse(text string) error {
	*p = Place{Message: -1, Index: -1}
	numbered := func(word string, n *int) bool {
		head, tail, ok := strings.Cut(text, ", ")
		if scanned, _ := fmt.Sscanf(head, word+" %d", n); !ok || scanned == 0 {
			return false
		}
		text = tail
		return true
	}
	numbered("message", &p.Message)
	switch {
	case numbered("iovec", &p.Index):
		p.Memory = Iovecs
	case numbered("control message", &p.Index):
		p.Memory = ControlData
	}
	p.Field = text
	if at := strings.IndexByte(text, '['); at >= 0 {
		p.Field = text[:at]
		n, _ := fmt.Sscanf(text[at:], "[%d:%d] of %d and %d", &p.From, &p.To, &p.LenA, &p.LenB)
		if n == 3 {
			p.LenB = p.LenA
		}
		if n < 3 || p.From < 0 || p.From >= p.To || p.To > max(p.LenA, p.LenB) {
			return errors.New("needs a range of bytes in the buffer, such as payload[1:4] of 16 for bytes 1 to 3 of 16")
		}
	}
	if name, index, ok := strings.Cut(p.Field, " "); name == Payload.String() {
		p.Memory, p.Field = Payload, name
		if ok {
			_, _ = fmt.Sscan(index, &p.Index)
		}
	}
	return nil
}

// String returns the argument.
func (a *Allowance) String() string {
	var s strings.Builder
	switch kind := map[bool]string{false: "process", true: "connection"}[a.connection]; {
	case a.stream == 0:
	case a.first == a.last:
		fmt.Fprintf(&s, "call %d of %s %d, ", a.first, kind, a.stream)
	default:
		fmt.Fprintf(&s, "calls %d-%d of %s %d, ", a.first, a.last, kind, a.stream)
	}
	fmt.Fprintf(&s, "%s: %s%s", a.call, a.place, a.place.bytes())
	if a.onReturn {
		s.WriteString(" on return")
	}
	if !a.anyValues {
		fmt.Fprintf(&s, ": %s against %s", a.textA, a.textB)
	}
	return s.String()
}

// Meant returns an Allowance for the difference that differs from a only in its time, entry or return, or in the number
// of the buffer. It returns nil if there is none.
func (a *Allowance) Meant(d *Difference) *Allowance {
	atOtherTime, inOtherBuffer := *a, *a
	atOtherTime.onReturn = !a.onReturn
	if d.Memory == Payload {
		inOtherBuffer.place.Index = d.Index
	}
	for _, other := range []*Allowance{&atOtherTime, &inOtherBuffer} {
		if other.Allows(d) {
			return other
		}
	}
	return nil
}

// Allow prepares a comparison for an Allowance.
func (o *Comparison) Allow(a *Allowance) error {
	if a.stream > 0 && a.connection != o.ByConnection {
		return errors.New("needs the number of a process or, with --by connection, of a connection")
	}
	if a.anyBytes {
		o.anyBytes = append(o.anyBytes, a)
	}
	if a.setsCloseOnExec() {
		o.requireCloseOnExec = true
	}
	return nil
}

// setsCloseOnExec reports whether the Allowance lets B receive with close-on-exec what A receives without it.
func (a *Allowance) setsCloseOnExec() bool {
	switch {
	case !strings.HasPrefix(a.call, "recv"):
		return false
	case slices.Contains(closeOnExecFields, a.place.Field):
		return a.anyValues || a.textB == "set"
	case a.place.Field == "flags", a.place.Field == "msg_flags":
		return a.anyValues || slices.Contains(strings.Split(a.textB, "|"), FlagText(unix.MSG_CMSG_CLOEXEC))
	}
	return false
}

// Allows reports whether the difference does not count. Without values, an Allowance does not allow a descriptor
// without close-on-exec if the comparison requires it.
func (a *Allowance) Allows(d *Difference) bool {
	p := a.place
	switch {
	case !a.in(d):
		return false
	case a.anyBytes:
		return p.From <= d.From && d.To <= p.To
	case a.anyValues:
		return !d.required
	}
	sameBytes := p.From == d.From && p.To == d.To && (p.To == 0 || p.LenA == d.LenA && p.LenB == d.LenB)
	return sameBytes && a.textA == d.TextA && a.textB == d.TextB
}

// in reports whether the difference is in the calls and in the field of the Allowance. An Allowance for payload bytes
// that names no message, buffer or call is for each message and buffer.
func (a *Allowance) in(d *Difference) bool {
	p, each := a.place, a.anyBytes && a.stream == 0
	onReturn := d.When == AtReturn
	if a.anyBytes && !d.call().receives() { // the rest of a long payload is compared on return, although it is the same
		onReturn = onReturn && a.onReturn
	}
	switch {
	case a.call != d.call().Name(), p.Field != d.Field, a.onReturn != onReturn,
		a.stream > 0 && (a.stream != d.Process || a.connection != d.byConnection || d.Call < a.first || a.last < d.Call),
		a.anyBytes && (p.LenA != d.LenA || p.LenB != d.LenB):
		return false
	}
	return (p.Message == d.Message || each && p.Message < 0) && (p.Index == d.Index || each && p.Index < 0)
}

// Near reports whether a byte differs that is next to those of the Allowance, or separated from them by a single byte,
// such as a decimal point.
func (a *Allowance) Near(d *Difference) bool {
	if d.Memory != Payload || !a.in(d) {
		return false
	}
	for i := max(d.From, a.place.From-2); i < min(d.To, a.place.To+2, len(d.BytesA), len(d.BytesB)); i++ {
		if d.BytesA[i] != d.BytesB[i] && (i < a.place.From || i >= a.place.To) {
			return true
		}
	}
	return false
}
