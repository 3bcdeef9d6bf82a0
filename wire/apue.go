package wire

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/scm-rights/scm"
)

// APUE is the format of send_fd and recv_fd in Stevens' Advanced Programming in the UNIX Environment,
// §17.4. The payload is a zero byte and the status 0. Send sets msg_controllen to CMSG_LEN.
//
// Recv returns the text before the zero byte (at most 64 KiB), or an [*APUEError]. It rejects bytes after
// the status, so the partner must not send ahead.
var APUE Format = theAPUE

var theAPUE = apue{label{"apue", "unix"}}

type apue struct{ label }

const (
	apueBuffer = 4096 // MAXLINE in APUE
	// the maximum length that Recv accepts; recv_fd in APUE prints text as it arrives and has no limit
	apueText = 65536
)

// APUEError is an error that the other end reported with [SendAPUEError], or with send_err in APUE,
// instead of sending a descriptor. The conversation can continue.
type APUEError struct {
	Status byte   // never 0
	Text   string // a message for the user
}

func (e *APUEError) Error() string {
	return fmt.Sprintf("wire: apue: the other end reports status %d: %q", e.Status, strings.TrimSpace(e.Text))
}

// SendAPUEError reports an error on the stream socket sock, like send_err in APUE. It sends the text, a
// zero byte and the status, which is 1 if status is 0. If the text contains a zero byte or is longer than
// 64 KiB, the error is a *FormatError, and nothing is sent. Other errors are those of sock.Send.
func SendAPUEError(sock Socket, status byte, text string) error {
	if strings.ContainsRune(text, 0) {
		return theAPUE.errorf("text contains a zero byte")
	}
	if len(text) > apueText {
		return theAPUE.errorf("text is %d bytes long, but the format allows at most %d", len(text), apueText)
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
			scm.CloseFDs(fds...)
			return "", nil, f.insideOf(len(got), err)
		}
		got = append(got, p[:n]...)
		fds = append(fds, more...)

		end := bytes.IndexByte(got, 0)
		switch {
		case end < 0 && len(got) > apueText, end > apueText:
			return "", nil, f.refuse(fds, "received text is longer than %d bytes", apueText)
		case end < 0 || end+1 == len(got):
			continue // the status has not arrived yet
		case end+2 < len(got):
			return "", nil, f.refuse(fds, "received %s after the status", plural(len(got)-end-2, "byte"))
		}
		text, status := string(got[:end]), got[end+1]
		if status != 0 {
			scm.CloseFDs(fds...)
			return "", nil, &APUEError{status, text}
		}
		return f.one(text, fds)
	}
}
