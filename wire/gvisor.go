package wire

import (
	"io"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// GVisor is the format of SendFD and RecvFD in gVisor's pkg/fdchannel. Package scm/fdchannel provides the
// whole API of that package.
//
// The format uses a seqpacket socket. A message consists of one descriptor and no payload. The text to send
// must be empty. Send sets msg_controllen to CMSG_LEN. The receiver does not acknowledge messages. Do not
// use a stream socket: it drops a message without a payload, along with its descriptor, and reports no
// error.
//
// Recv rejects a message with more than one descriptor and, unlike gVisor, a message with a payload. It
// returns io.EOF for an empty message without a descriptor, because such a message looks the same as the
// end of the connection.
//
// See [Format] for who owns the descriptors on success and on error.
var GVisor Format = gvisor{label{"gvisor", "unixpacket"}}

type gvisor struct{ label }

func (f gvisor) Send(sock Socket, text string, fds ...int) error {
	if err := f.noText(text); err != nil {
		return err
	}
	if err := f.count(fds, 1, 1); err != nil {
		return err
	}
	return f.send(sock, nil, fds, true)
}

func (f gvisor) Recv(sock Socket) (text string, fds []int, err error) {
	m := scm.Message{FDs: make([]int, 1)}
	if err := f.recv(sock, &m); err != nil {
		return "", nil, err
	}
	fds = m.FDs[:m.NFD]
	switch {
	case m.Flags&sys.MsgTrunc != 0:
		return "", nil, f.refuse(fds, "received a payload, but the format allows none")
	case len(fds) == 0:
		return "", nil, io.EOF
	}
	return "", fds, nil
}
