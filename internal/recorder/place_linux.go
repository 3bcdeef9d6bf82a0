package recorder

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// When says at which moment two calls differ.
type When int

const (
	AsAWhole When = iota // the records contain other calls here
	AtEntry
	AtReturn
	AtExit // of a process, or at an exec
)

// A Place is what differs between two calls.
type Place struct {
	When       When
	Message    int // in the array of sendmmsg or recvmmsg; -1 for other calls
	Memory     MemoryKind
	Index      int    // of the iovec, control message or payload buffer; -1 if there is only one
	Field      string // such as "padding after cmsg_data"
	Offset     int    // of the first byte that differs, in the memory
	From, To   int    // the bytes of the field that differ; To is 0 if it is compared as a whole
	LenA, LenB int    // the lengths of such a field in both calls
	AnyBytes   string // the element of Comparison.AnyBytes that contains the bytes, as text

	padding bool
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

// PayloadBytes are bytes in each payload of one length that calls of one name pass.
type PayloadBytes struct {
	Call          string
	From, To, Len int
}

// ParsePayloadBytes returns what String has made text.
func ParsePayloadBytes(text string) (b PayloadBytes, ok bool) {
	_, err := fmt.Sscanf(text, "%s payload[%d:%d] of %d", &b.Call, &b.From, &b.To, &b.Len)
	b.Call = strings.TrimSuffix(b.Call, ":")
	return b, err == nil && text == b.String() && 0 <= b.From && b.From < b.To && b.To <= b.Len
}

// String returns text such as "recvmsg: payload[1:4] of 16 on return".
func (b PayloadBytes) String() string {
	text := fmt.Sprintf("%s: payload[%d:%d] of %d", b.Call, b.From, b.To, b.Len)
	if strings.HasPrefix(b.Call, "recv") {
		text += " on return"
	}
	return text
}

// of reports whether the bytes are in a payload that the call has sent or received.
func (b PayloadBytes) of(c *Call, p Place) bool {
	return b.Call == c.Name() && p.Memory == Payload && p.LenA == b.Len && p.LenB == b.Len
}

// InPayload reports whether bytes differ in payloads of one length.
func (d *Difference) InPayload() bool {
	return d.Memory == Payload && d.LenA == d.LenB && len(d.BytesA) > 0
}

// UnsetBytes returns the bytes that differ in payloads of one length.
func UnsetBytes(found []*Difference) (list []PayloadBytes) {
	set := map[PayloadBytes]bool{}
	for _, d := range found {
		for i := d.From; d.InPayload() && i < min(d.To, len(d.BytesA), len(d.BytesB)); i++ {
			if d.BytesA[i] != d.BytesB[i] {
				set[PayloadBytes{d.call().Name(), i, i + 1, d.LenA}] = true
			}
		}
	}
	for _, b := range slices.SortedFunc(maps.Keys(set), func(a, b PayloadBytes) int {
		return cmp.Or(cmp.Compare(a.Call, b.Call), a.Len-b.Len, a.From-b.From)
	}) {
		last := len(list) - 1
		if last >= 0 && list[last] == (PayloadBytes{b.Call, list[last].From, b.From, b.Len}) {
			list[last].To = b.To
		} else {
			list = append(list, b)
		}
	}
	return list
}

// Allowed reports whether an argument of scm diff --allow allows the difference. It must be the text of the
// difference, its key if AnyValues returns true for the key, or the PayloadBytes that contain it.
func (d *Difference) Allowed(line string) bool {
	return line == d.Text() || AnyValues(line) && (line == d.Key() || line == d.AnyBytes)
}

// AnyValues reports whether an argument of scm diff --allow allows any two values. It does so for flags, for the
// fields of msghdr and iovec, for close-on-exec, and for PayloadBytes, but not for anything else that is sent or
// received, or for the call and its result.
func AnyValues(line string) bool {
	fields := slices.Concat(layout{{Name: "flags"}, {Name: "close-on-exec"}}, msghdr64, layouts[8].iovec)
	_, isBytes := ParsePayloadBytes(line)
	return isBytes || slices.ContainsFunc(fields, func(f Field) bool {
		return strings.HasSuffix(strings.TrimSuffix(line, " on return"), " "+f.Name)
	})
}
