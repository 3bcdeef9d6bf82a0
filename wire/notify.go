package wire

import (
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// Notify is the format of sd_pid_notify_with_fds in libsystemd. A service uses it to notify its service
// manager, such as systemd. The environment variable NOTIFY_SOCKET contains the name of the manager's
// socket.
//
// The format uses a datagram socket. A message consists of the state (the text, 1 to 4096 bytes without a
// terminator) and 0 to 253 descriptors. The state contains assignments such as READY=1, separated by
// newlines. The manager uses the descriptors only with FDSTORE=1, BARRIER=1 and, since systemd 257,
// MAINPIDFD=1. Earlier versions of systemd close the descriptor of MAINPIDFD=1. Send sets msg_controllen to CMSG_SPACE,
// or to 0 if there are no descriptors.
//
// Recv removes one zero byte from the end of the text. It rejects a message that is longer than 4096 bytes
// or contains another zero byte.
//
// A manager acknowledges BARRIER=1 by closing the descriptor of that message. A program that receives
// BARRIER=1 must close the descriptor as soon as it has processed all earlier messages. The manager does
// not acknowledge other messages.
//
// [NotifyStore], [NotifyStoreFiles], [NotifyRemove], [NotifyMain] and [NotifyBarrier] send the states that
// concern descriptors. [NotifyReady] and [NotifyReloading] send the two that concern a reload.
//
// See [Format] for who owns the descriptors on success and on error.
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
