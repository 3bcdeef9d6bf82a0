package contract

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

const (
	// MaxPayload is the maximum total size, in bytes, of the buffers for one send or receive. No
	// scenario needs more, and the limit prevents a typing error in a size from exhausting memory.
	MaxPayload = 64 << 20

	longestHex = 4096 // a longer payload is compared with the pattern, not written out
	period     = 251  // of the pattern
)

// A Payload describes the contents of the buffers of a message to send.
type Payload []buffer

// A buffer contains either data or bytes of the pattern.
type buffer struct {
	data    []byte
	pattern int // how many bytes
}

// Buffers allocates and fills the buffers. The first byte of the first buffer corresponds to byte
// at of the pattern, and the pattern continues from one buffer to the next.
func (p Payload) Buffers(at int) [][]byte {
	var list [][]byte
	before := 0
	for _, b := range p {
		data := append([]byte{}, b.data...)
		for i := range b.pattern {
			data = append(data, pattern(at, before+i))
		}
		before += len(data)
		list = append(list, data)
	}
	return list
}

// pattern returns byte i of a payload that begins at byte at of the pattern.
func pattern(at, i int) byte { return byte((at%period + i) % period) }

// FormatPayload formats a received payload for an answer. It formats a short payload in hex, and
// compares a long one with the pattern, starting at byte at of the pattern. The result is @N if the
// payload consists of N bytes of the pattern, or !N if byte N is the first that differs.
func FormatPayload(p []byte, at int) string {
	switch {
	case len(p) == 0:
		return "-"
	case len(p) <= longestHex:
		return hex.EncodeToString(p)
	}
	for i, b := range p {
		if b != pattern(at, i) {
			return "!" + strconv.Itoa(i)
		}
	}
	return "@" + strconv.Itoa(len(p))
}

// ParsePayload parses a comma-separated list of buffers. Each buffer is written in hex, as @N for N
// bytes of the pattern, or as - if it is empty.
func ParsePayload(text string) (p Payload, ok bool) {
	for w := range strings.SplitSeq(text, ",") {
		var b buffer
		if count, ok := strings.CutPrefix(w, "@"); ok {
			n, ok := Integer(1, MaxPayload)(count)
			if !ok {
				return nil, false
			}
			b.pattern = n.(int)
		} else if w != "-" {
			if b.data, ok = ParseHex(w); !ok {
				return nil, false
			}
		}
		p = append(p, b)
	}
	return p, p.len() <= MaxPayload
}

func (p Payload) len() (total int) {
	for _, b := range p {
		total = min(total+len(b.data)+b.pattern, MaxPayload+1)
	}
	return total
}

// PayloadLen returns the length in bytes of the payload that a payload= value describes.
func PayloadLen(text string) int {
	p, _ := ParsePayload(text)
	return p.len()
}

// A Room contains the sizes of the buffers for a receive.
type Room []int

// Buffers allocates the buffers.
func (r Room) Buffers() [][]byte {
	list := make([][]byte, len(r))
	for i, n := range r {
		list[i] = make([]byte, n)
	}
	return list
}

// ParseRoom parses a comma-separated list of one or more buffer sizes.
func ParseRoom(text string) (Room, bool) {
	value, ok := IntegerList(Integer(0, MaxPayload), 1, math.MaxInt)(text)
	list, _ := value.([]int)
	total := 0
	for _, n := range list {
		total = min(total+n, MaxPayload+1)
	}
	return list, ok && total <= MaxPayload
}
