package wire

import (
	"io"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// GVisor is the format of SendFD and RecvFD in gVisor's pkg/fdchannel. Package scm/fdchannel has the whole
// API. The format uses a seqpacket socket, and has no payload. Send sets msg_controllen to CMSG_LEN.
//
// Unlike gVisor, Recv rejects a payload. An empty message without a descriptor looks like the end of the
// connection, and Recv returns io.EOF.
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
