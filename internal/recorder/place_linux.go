package recorder

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// When says at which moment two calls differ.
type When string

const (
	AsAWhole When = "" // the records contain other calls here
	AtEntry  When = "entry"
	AtReturn When = "exit"
	AtExit   When = "exit of a process, or exec"
)

// A Place is what differs between two calls.
type Place struct {
	Message    int // in the array of sendmmsg or recvmmsg; -1 for other calls
	Memory     MemoryKind
	Index      int    // of the iovec, control message or payload buffer; -1 if there is only one
	Field      string // such as "padding after cmsg_data"
	Offset     int    // of the first byte that differs, in the memory
	From, To   int    // the bytes of the field that differ; To is 0 if it is compared as a whole
	LenA, LenB int    // the lengths of such a field in both calls

	padding  bool
	required bool // the comparison requires close-on-exec, and B has not set it
}

// The fields of differences that are not in memory.
const (
	OtherCall = "the call"
	Result    = "the result"
)

// place returns the place of a Memory of the call.
func (c *Call) place(m *Memory) Place {
	p := Place{Message: -1, Memory: m.Kind, Index: -1, Field: m.Kind.String()}
	if m.Kind == Payload && len(c.Entry.Messages[m.Message].Payload) > 1 {
		p.Index = m.Iovec
	}
	if c.batch() && m.Kind != Timeout {
		p.Message = m.Message
	}
	return p
}

// String returns the field, such as "message 0, iovec 1, iov_len".
func (p Place) String() string {
	text := p.Field
	switch {
	case p.Index < 0:
	case p.Memory == Payload:
		text = fmt.Sprintf("%s %d", text, p.Index)
	case p.Memory == Iovecs:
		text = fmt.Sprintf("iovec %d, %s", p.Index, text)
	default:
		text = fmt.Sprintf("control message %d, %s", p.Index, text)
	}
	if p.Message >= 0 {
		text = fmt.Sprintf("message %d, %s", p.Message, text)
	}
	return text
}

// bytes returns which bytes of the field differ, such as "[1:4] of 16".
func (p Place) bytes() string {
	switch {
	case p.To == 0:
		return ""
	case p.LenA != p.LenB:
		return fmt.Sprintf("[%d:%d] of %d and %d", p.From, p.To, p.LenA, p.LenB)
	}
	return fmt.Sprintf("[%d:%d] of %d", p.From, p.To, p.LenA)
}

// payloadBytes are bytes in each payload of one length that calls of one name pass.
type payloadBytes struct {
	call             string
	from, to, length int
}

// parsePayloadBytes returns what String has made text.
func parsePayloadBytes(text string) (b payloadBytes, ok bool) {
	_, err := fmt.Sscanf(text, "%s payload[%d:%d] of %d", &b.call, &b.from, &b.to, &b.length)
	b.call = strings.TrimSuffix(b.call, ":")
	return b, err == nil && text == b.String() && 0 <= b.from && b.from < b.to && b.to <= b.length
}

// String returns text such as "recvmsg: payload[1:4] of 16 on return".
func (b payloadBytes) String() string {
	text := fmt.Sprintf("%s: payload[%d:%d] of %d", b.call, b.from, b.to, b.length)
	if strings.HasPrefix(b.call, "recv") {
		text += " on return"
	}
	return text
}

// in reports whether the bytes are in a payload that the call has sent or received.
func (b payloadBytes) in(c *Call, p Place) bool {
	return b.call == c.Name() && p.Memory == Payload && p.LenA == b.length && p.LenB == b.length
}

// AllowUnset allows the bytes that differ in payloads of one length. It returns them as arguments of scm diff --allow,
// and all other differences.
func (o *Comparison) AllowUnset(found []*Difference) (lines []string, others []*Difference) {
	var list []payloadBytes
	for _, d := range found {
		if d.Memory != Payload || d.LenA != d.LenB || len(d.BytesA) == 0 {
			others = append(others, d)
			continue
		}
		for i := range min(len(d.BytesA), len(d.BytesB)) {
			known := slices.IndexFunc(list, func(b payloadBytes) bool { return b.in(d.call(), d.Place) && b.from <= i && i <= b.to })
			switch {
			case d.BytesA[i] == d.BytesB[i]:
			case known < 0:
				list = append(list, payloadBytes{d.call().Name(), i, i + 1, d.LenA})
			default:
				list[known].to = max(list[known].to, i+1)
			}
		}
	}
	for _, b := range list {
		o.anyBytes, lines = append(o.anyBytes, b), append(lines, b.String())
	}
	return lines, others
}

// Allow prepares a comparison for an argument of scm diff --allow. It reports whether the argument can allow a
// difference.
func (o *Comparison) Allow(line string) bool {
	if b, ok := parsePayloadBytes(line); ok {
		o.anyBytes = append(o.anyBytes, b)
		return true
	}
	if setsCloseOnExec.MatchString(line) {
		o.requireCloseOnExec = true
	}
	return strings.Contains(line, " against ") || anyValues(line)
}

// setsCloseOnExec matches arguments of scm diff --allow with which B can receive descriptors with close-on-exec, and A
// without.
var setsCloseOnExec = regexp.MustCompile(`^recv.*(flags|close-on-exec)( on return)?$|against .*MSG_CMSG_CLOEXEC|close-on-exec.* against set$`)

// Allowed reports whether an argument of scm diff --allow allows the difference. It must be the text of the
// difference, its key if anyValues returns true for the key, or bytes of a payload that contain all that differ. A key
// does not allow a descriptor without close-on-exec if the comparison requires it.
func (d *Difference) Allowed(line string) bool {
	if b, ok := parsePayloadBytes(line); ok {
		return b.in(d.call(), d.Place) && b.from <= d.From && d.To <= b.to
	}
	return line == d.Text() || line == d.Key() && anyValues(line) && !d.required
}

// anyValues reports whether a key allows any two values. It does so for flags, for the fields of msghdr and iovec, and
// for close-on-exec, but not for anything else that is sent or received, or for the call and its result.
func anyValues(key string) bool {
	fields := slices.Concat(layout{{Name: "flags"}, {Name: "close-on-exec"}}, msghdr64, layouts[8].iovec)
	return slices.ContainsFunc(fields, func(f Field) bool {
		return strings.HasSuffix(strings.TrimSuffix(key, " on return"), " "+f.Name)
	})
}
