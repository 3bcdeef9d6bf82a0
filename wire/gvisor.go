package wire

import (
	"io"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// GVisor is SendFD and RecvFD of gVisor's pkg/fdchannel. Package scm/fdchannel
// has its whole API.
//
// Seqpacket. No payload at all, and one descriptor; no text. Control of CMSG_LEN.
// The receiver refuses any other number of descriptors; here it refuses a payload
// too. No acknowledgement. An empty packet without a descriptor and the end look
// the same: both are io.EOF. On a stream a message without payload, and the
// descriptor with it, is lost without an error.
//
// [Format] says who owns descriptors, also on error.
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
		return "", nil, f.refuse(fds, "a payload came")
	case len(fds) == 0:
		return "", nil, io.EOF
	}
	return "", fds, nil
}
