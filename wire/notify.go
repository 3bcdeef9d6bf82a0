package wire

import (
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// Notify is the format of sd_pid_notify_with_fds in libsystemd, with which a service notifies its service
// manager. It uses a datagram socket. The payload is the state (the text, 1 to 4096 bytes): assignments
// such as READY=1, separated by newlines. A message has 0 to 253 descriptors.
//
// Recv removes one zero byte from the end. A program that receives BARRIER=1 must close the descriptor
// when it has processed all earlier messages.
var Notify Format = theNotify

var theNotify = notify{label{"notify", "unixgram"}}

type notify struct{ label }

// notifyText is NOTIFY_BUFFER_MAX in systemd.
const notifyText = 4096

func (f notify) Send(sock Socket, text string, fds ...int) error {
	if err := f.count(fds, 0, scm.MaxFDs); err != nil {
		return err
	}
	if text == "" || len(text) > notifyText {
		return f.errorf("state is %d bytes long, want 1 to %d", len(text), notifyText)
	}
	if strings.ContainsRune(text, 0) {
		return f.errorf("state contains a zero byte")
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
		return "", nil, f.refuse(fds, "received state is longer than %d bytes", notifyText)
	case strings.ContainsRune(text, 0):
		return "", nil, f.refuse(fds, "received state contains a zero byte")
	}
	return text, fds, nil
}
