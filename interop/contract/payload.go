package contract

import (
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	// MaxPayload is how long a payload may be, all buffers together, and the room of a
	// receive: no scenario needs more, and a wrong digit must not end a process.
	MaxPayload = 64 << 20

	longestHex = 4096 // of a payload: a longer one is written as the pattern
	period     = 251  // of the pattern
)

// A Payload is the buffers of a message to send.
type Payload []buffer

// A buffer is bytes, or so many of the pattern.
type buffer struct {
	data    []byte
	pattern int
}

// Buffers returns the buffers. The pattern begins at byte at, and runs on from one buffer to
// the next, as the receiver will see it.
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

// pattern is byte i of a payload that begins at byte at.
func pattern(at, i int) byte { return byte((at%period + i) % period) }

// FormatPayload writes what was received, compared with the pattern from byte at.
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

// payload reads buffers: HEX, @N or -.
func payload(text string) (any, bool) {
	var p Payload
	for w := range strings.SplitSeq(text, ",") {
		var b buffer
		if count, ok := strings.CutPrefix(w, "@"); ok {
			n, ok := number(1, MaxPayload)(count)
			if !ok {
				return nil, false
			}
			b.pattern = n.(int)
		} else if w != "-" {
			data, ok := hexBytes(w)
			if !ok {
				return nil, false
			}
			b.data = data.([]byte)
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

// PayloadLen returns how many bytes payload= stands for.
func PayloadLen(text string) int {
	value, _ := payload(text)
	p, _ := value.(Payload)
	return p.len()
}

// A Room is the sizes of the buffers of a receive.
type Room []int

// Buffers makes the buffers.
func (r Room) Buffers() [][]byte {
	list := make([][]byte, len(r))
	for i, n := range r {
		list[i] = make([]byte, n)
	}
	return list
}

func room(text string) (any, bool) {
	value, ok := numbers(number(0, MaxPayload), 1, some)(text)
	total := 0
	list, _ := value.([]int)
	for _, n := range list {
		total = min(total+n, MaxPayload+1)
	}
	return Room(list), ok && total <= MaxPayload
}
