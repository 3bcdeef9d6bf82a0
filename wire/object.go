package wire

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/scm-rights/scm"
)

// An object is a stream format whose messages consist of a JSON object and 1 to most descriptors. If names
// is set, the "fds" array of the object contains a name for each descriptor.
type object struct {
	label
	most  int
	names bool
}

// objectText is the maximum length of an object.
const objectText = 1 << 20

// check returns an error if text is not a JSON object, or if it does not contain a name for each descriptor
// although f.names is set.
func (f object) check(text string, fds []int) error {
	var state map[string]json.RawMessage // a struct would ignore the case of its keys
	var names []json.RawMessage
	switch {
	case !strings.HasPrefix(text, "{") || !json.Valid([]byte(text)):
		return f.errorf("text is not a JSON object")
	case !f.names:
		return nil
	}
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		return f.errorf("text is not a JSON object: %v", err)
	}
	_ = json.Unmarshal(state["fds"], &names) // no names if it is missing, or no array
	if len(names) != len(fds) {
		return f.errorf("message has %s, but %s in \"fds\"", plural(len(fds), "descriptor"), plural(len(names), "name"))
	}
	for _, name := range names {
		if name[0] != '"' {
			return f.errorf("\"fds\" contains a value that is not a string")
		}
	}
	return nil
}

func (f object) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 1, f.most); err != nil {
		return err
	}
	if len(text) > objectText {
		return f.errorf("text is %d bytes long, but the format allows at most %d", len(text), objectText)
	}
	if err := f.check(text, fds); err != nil {
		return err
	}
	return f.send(sock, []byte(text), fds, false)
}

// Recv receives one byte at a time, because the bytes after the object belong to the next message.
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
			scm.CloseFDs(room[:number]...)
			return "", nil, f.insideOf(len(got)+number, err)
		}
		number += m.NFD
		if m.N == 0 { // an empty message with descriptors, which a stream cannot deliver
			continue
		}
		c := p[0]
		if len(got) == 0 && strings.IndexByte(" \t\r\n", c) >= 0 {
			continue
		}
		got = append(got, c)
		switch {
		case len(got) > objectText:
			return "", nil, f.refuse(room[:number], "received text is longer than %d bytes", objectText)
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
		return "", nil, f.errorf("received no descriptor")
	}
	if err := f.check(text, fds); err != nil {
		scm.CloseFDs(fds...)
		return "", nil, err
	}
	return text, fds, nil
}
