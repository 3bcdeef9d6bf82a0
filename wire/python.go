package wire

import (
	"runtime"

	"github.com/scm-rights/scm"
)

// Python is sendfds and recvfds, send_handle and recv_handle of Python's
// multiprocessing.reduction.
//
// Stream. One byte, the number of descriptors, and 1 to 253 descriptors; no text.
// Control of CMSG_SPACE. The receiver refuses a byte that is not the number that
// it received.
//
// On macOS the receiver acknowledges with the byte A: Send waits for it, and Recv
// sends it once it has accepted the message. If Send fails because there is none,
// the descriptors were sent.
//
// [Format] says who owns descriptors, also on error.
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
		return f.errorf("the acknowledgement is %q, not %q", answer, pythonAcknowledgement)
	}
	return nil
}

func (f python) Recv(sock Socket) (text string, fds []int, err error) {
	var number [1]byte
	fds, err = f.recvFull(sock, number[:], scm.MaxFDs)
	if err != nil {
		return "", nil, err
	}
	if len(fds) == 0 || len(fds) != int(number[0]) {
		return "", nil, f.refuse(fds, "%d descriptors came, and the number %d", len(fds), number[0])
	}
	if f.acknowledge {
		if err := f.send(sock, []byte(pythonAcknowledgement), nil, false); err != nil {
			closeAll(fds)
			return "", nil, err
		}
	}
	return "", fds, nil
}
