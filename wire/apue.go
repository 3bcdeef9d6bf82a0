package wire

import (
	"bytes"
	"fmt"
	"strings"
)

// APUE is send_fd and recv_fd of Stevens' Advanced Programming in the UNIX
// Environment, §17.4. What send_err sends instead is [SendAPUEError]'s.
//
// Stream. Two bytes, 0 and the status 0, and one descriptor; Send has no text.
// Control of CMSG_LEN. The receiver takes text up to a 0 byte, then the status, and
// refuses anything behind it: there is one message at a time. With the status 0 it
// refuses any number of descriptors but one, and text that was received before is
// Recv's text; any other status is an [*APUEError]. No acknowledgement.
//
// [Format] says who owns descriptors, also on error.
var APUE Format = theAPUE

var theAPUE = apue{label{"apue", "unix"}}

type apue struct{ label }

const (
	apueBuffer = 4096  // the book's MAXLINE
	apueText   = 65536 // Recv takes no more; the book's receiver prints it as it comes
)

// APUEError is a failure that the other end reports in place of a descriptor.
type APUEError struct {
	Status byte   // not 0
	Text   string // what the user is to read
}

func (e *APUEError) Error() string {
	return fmt.Sprintf("wire: apue: the other end reports status %d: %q", e.Status, strings.TrimSpace(e.Text))
}

// SendAPUEError reports a failure on the stream sock, as send_err of the book:
// the text, then a 0 byte and the status. A status of 0 becomes 1, as there; a
// text with a 0 byte in it, or of more than 64 KiB, is a *FormatError, and nothing
// is sent.
func SendAPUEError(sock Socket, status byte, text string) error {
	if strings.ContainsRune(text, 0) {
		return theAPUE.errorf("a 0 byte in the text")
	}
	if len(text) > apueText {
		return theAPUE.errorf("text of %d bytes, not at most %d", len(text), apueText)
	}
	if text != "" {
		if err := theAPUE.send(sock, []byte(text), nil, false); err != nil {
			return err
		}
	}
	return theAPUE.send(sock, []byte{0, max(status, 1)}, nil, false)
}

func (f apue) Send(sock Socket, text string, fds ...int) error {
	if err := f.noText(text); err != nil {
		return err
	}
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	return f.send(sock, []byte{0, 0}, fds, true)
}

func (f apue) Recv(sock Socket) (text string, fds []int, err error) {
	var got []byte
	p := make([]byte, apueBuffer)
	for {
		n, more, err := f.recvText(sock, p, 1-len(fds))
		if err != nil {
			closeAll(fds)
			return "", nil, f.insideOf(len(got), err)
		}
		got = append(got, p[:n]...)
		fds = append(fds, more...)

		end := bytes.IndexByte(got, 0)
		switch {
		case end < 0 && len(got) > apueText, end > apueText:
			return "", nil, f.refuse(fds, "text of more than %d bytes", apueText)
		case end < 0 || end+1 == len(got):
			continue // the status is still to come
		case end+2 < len(got):
			return "", nil, f.refuse(fds, "%d bytes behind the status", len(got)-end-2)
		}
		text, status := string(got[:end]), got[end+1]
		if status != 0 {
			closeAll(fds)
			return "", nil, &APUEError{status, text}
		}
		return f.one(text, fds)
	}
}
