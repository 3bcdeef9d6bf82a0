package wire

import (
	"runtime"

	"github.com/scm-rights/scm"
)

// Python is the format of sendfds, recvfds, send_handle and recv_handle in Python's
// multiprocessing.reduction. A message has 1 to 253 descriptors. The payload is one byte with their
// number, which Recv checks.
//
// On macOS only, Recv acknowledges a message with a byte, and Send waits for it. If the acknowledgement is
// missing, Send fails, but the descriptors have been sent.
var Python Format = python{label{"python", "unix"}, runtime.GOOS == "darwin"}

type python struct {
	label
	acknowledge bool
}

const pythonAcknowledgement = "A"

func (f python) Send(sock Socket, text string, fds ...int) error {
	if err := f.noText(text); err != nil {
		return err
	}
	if err := f.count(fds, 1, scm.MaxFDs); err != nil {
		return err
	}
	if err := f.send(sock, []byte{byte(len(fds))}, fds, false); err != nil || !f.acknowledge {
		return err
	}
	var answer [len(pythonAcknowledgement)]byte
	if _, err := f.recvFull(sock, answer[:], 0); err != nil {
		return err
	}
	if string(answer[:]) != pythonAcknowledgement {
		return f.errorf("acknowledgement is %q, want %q", answer, pythonAcknowledgement)
	}
	return nil
}

func (f python) Recv(sock Socket) (text string, fds []int, err error) {
	var number [1]byte
	fds, err = f.recvFull(sock, number[:], scm.MaxFDs)
	if err != nil {
		return "", nil, err
	}
	if len(fds) == 0 {
		return "", nil, f.errorf("received no descriptor")
	}
	if len(fds) != int(number[0]) {
		return "", nil, f.refuse(fds, "received %s, but the message announces %d", plural(len(fds), "descriptor"), number[0])
	}
	if f.acknowledge {
		if err := f.send(sock, []byte(pythonAcknowledgement), nil, false); err != nil {
			scm.CloseFDs(fds...)
			return "", nil, err
		}
	}
	return "", fds, nil
}
