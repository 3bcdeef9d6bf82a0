package wire

import (
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// Notify is what a service sends to the socket that NOTIFY_SOCKET names, and
// systemd and others receive there: sd_pid_notify_with_fds of libsystemd.
//
// Datagram. The text is the state, assignments such as READY=1 that are separated
// by newlines, 1 to 4096 bytes, without a terminator. 0 to 253 descriptors, which
// the manager uses with FDSTORE=1 and BARRIER=1 alone. Control of CMSG_SPACE, and
// none without descriptors. The receiver refuses a longer text and one with a 0
// byte in it, but for a last one, which it takes off. The acknowledgement of a
// barrier is the close of its descriptor: a receiver has to close what it got with
// BARRIER=1 as soon as it has dealt with all that was received before.
//
// [NotifyStore], [NotifyRemove] and [NotifyBarrier] send the states that have to do
// with descriptors.
//
// [Format] says who owns descriptors, also on error.
var Notify Format = theNotify

var theNotify = notify{label{"notify", "unixgram"}}

type notify struct{ label }

// notifyText is the manager's NOTIFY_BUFFER_MAX.
const notifyText = 4096

func (f notify) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 0, scm.MaxFDs); err != nil {
		return err
	}
	if text == "" || len(text) > notifyText {
		return f.errorf("a state of %d bytes, not 1 to %d", len(text), notifyText)
	}
	if strings.ContainsRune(text, 0) {
		return f.errorf("a 0 byte in the state")
	}
	return f.send(sock, []byte(text), fds, false)
}

func (f notify) Recv(sock Socket) (text string, fds []int, err error) {
	p := make([]byte, notifyText)
	m := scm.Message{Buffers: [][]byte{p}, FDs: make([]int, scm.MaxFDs)}
	if err := f.recv(sock, &m); err != nil {
		return "", nil, err
	}
	fds = m.FDs[:m.NFD]
	text = strings.TrimSuffix(string(p[:m.N]), "\x00")
	switch {
	case m.Flags&sys.MsgTrunc != 0:
		return "", nil, f.refuse(fds, "a state of more than %d bytes", notifyText)
	case strings.ContainsRune(text, 0):
		return "", nil, f.refuse(fds, "a 0 byte in the state")
	}
	return text, fds, nil
}
