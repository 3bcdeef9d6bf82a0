package recorder

import "fmt"

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
	ordinal  bool // the values count, in the order of first appearance
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
