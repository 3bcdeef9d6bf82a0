package wire

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/scm-rights/scm"
)

// object is a format whose payload is one JSON object, for 1 to most descriptors on a
// stream. If they are named, the object has a name for each in its array fds.
type object struct {
	label
	most  int
	names bool
}

// objectText is the most that an object may have.
const objectText = 1 << 20

// check refuses what is no object, and names that are not as many as the descriptors.
func (f object) check(text string, fds []int) error {
	var state struct{ FDs []string }
	switch {
	case !strings.HasPrefix(text, "{") || !json.Valid([]byte(text)):
		return f.errorf("the text is not a JSON object")
	case !f.names:
		return nil
	}
	if json.Unmarshal([]byte(text), &state) != nil || len(state.FDs) != len(fds) {
		return f.errorf("%d descriptors, and %d names in fds", len(fds), len(state.FDs))
	}
	return nil
}

func (f object) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, f.most); err != nil {
		return err
	}
	if len(text) > objectText {
		return f.errorf("text of %d bytes, not at most %d", len(text), objectText)
	}
	if err := f.check(text, fds); err != nil {
		return err
	}
	return f.send(sock, []byte(text), fds, false)
}

// Recv takes byte for byte: what is behind the object is not its own.
func (f object) Recv(sock Socket) (text string, fds []int, err error) {
	var got []byte
	var p [1]byte
	room, number := make([]int, f.most), 0
	for depth, quoted, escaped := 0, false, false; len(got) == 0 || depth > 0; {
		m := scm.Message{Buffers: [][]byte{p[:]}, FDs: room[number:]}
		err := f.recv(sock, &m)
		if err == nil && m.N == 0 && m.NFD == 0 {
			err = io.EOF
		}
		if err != nil {
			closeAll(room[:number])
			return "", nil, f.insideOf(len(got)+number, err)
		}
		number += m.NFD
		if m.N == 0 { // an empty message with descriptors, which only a socket of another type delivers
			continue
		}
		c := p[0]
		if len(got) == 0 && strings.IndexByte(" \t\r\n", c) >= 0 {
			continue
		}
		got = append(got, c)
		switch {
		case len(got) > objectText:
			return "", nil, f.refuse(room[:number], "text of more than %d bytes", objectText)
		case escaped:
			escaped = false
		case quoted:
			quoted, escaped = c != '"', c == '\\'
		case c == '"':
			quoted = true
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
	}
	text, fds = string(got), room[:number]
	if number == 0 {
		return "", nil, f.errorf("no descriptor came")
	}
	if err := f.check(text, fds); err != nil {
		closeAll(fds)
		return "", nil, err
	}
	return text, fds, nil
}
