package scm

import (
	"io"
	"os"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/received"
	"github.com/scm-rights/scm/internal/sys"
)

// The functions in this file receive with the backend. No other file of the package calls its receives. The kernel
// makes received descriptors close-on-exec, because the backends (csrc, internal/pure) pass MSG_CMSG_CLOEXEC. On
// systems without that flag the backend does it after the receive, and no child process may be started in between.

func recvOne(sock int32, m *msg.Message, flags int) (err error) {
	if sys.RecvNeedsForkLock {
		err = sys.RecvWithForkLock(sock, flags, func(flags int) error { return recvMsg(sock, m, flags) })
	} else {
		err = recvMsg(sock, m, flags)
	}
	sys.AfterReceive(sock, err)
	if received.On() && err == nil {
		received.Message(m)
	}
	return err
}

func readOne(sock int32, p []byte) (n int, fd int32, err error) {
	if sys.RecvNeedsForkLock {
		return readOneWithFlags(sock, p)
	}
	n, fd, err = readFD(sock, p)
	sys.AfterReceive(sock, err)
	if received.On() {
		received.FD(fd)
	}
	return n, fd, err
}

// readOneWithFlags is readFD by way of recvOne, because readFD takes no flags.
func readOneWithFlags(sock int32, p []byte) (n int, fd int32, err error) {
	m := msg.Message{Buffers: [][]byte{p}, FDs: make([]int, 1)}
	err = recvOne(sock, &m, 0)
	switch {
	case err != nil:
		return -1, -1, err
	case m.Flags&sys.ControlTruncated != 0:
		if m.NFD == 1 {
			sys.Close(m.FDs[0])
		}
		return m.N, fdLost, nil
	case m.NFD == 0:
		return m.N, -1, nil
	}
	return m.N, int32(m.FDs[0]), nil
}

// recvError returns the error for err, which a receive with this capacity for descriptors returned.
func recvError(err error, capacity int) error {
	if sys.LostDescriptors(err) {
		return &TruncatedError{Room: capacity, Cause: err}
	}
	return os.NewSyscallError("recvmsg", err)
}

// An arrival says what a receive returned: whether the message is whole, whether it is empty, and whether it
// is the end of the connection.
type arrival struct {
	n, nfd int
	flags  int
	asked  bool // for at least one byte
	pidfd  bool // a pidfd was received too
}

// lostFDs reports whether the kernel truncated the control data.
func (a arrival) lostFDs() bool { return a.flags&sys.ControlTruncated != 0 }

// lostBytes reports whether the message was longer than the buffers. Empty buffers ask for no bytes.
func (a arrival) lostBytes() bool { return a.flags&sys.MsgTrunc != 0 && a.asked }

// isWhole reports whether no part of the message was lost.
func (a arrival) isWhole() bool { return !a.lostFDs() && !a.lostBytes() }

// isEmpty reports whether neither bytes nor descriptors were received.
func (a arrival) isEmpty() bool { return a.n == 0 && a.nfd == 0 && !a.pidfd }

// isEnd reports whether the receive reached the end of the connection. With SO_PASSCRED, Linux sets
// MSG_CTRUNC at the end of a stream, for credentials that no process sent.
func (a arrival) isEnd(network string) bool {
	switch {
	case !a.isEmpty():
		return false
	case network == "unix":
		return a.asked
	}
	return network == "unixpacket" && a.flags&(sys.ControlTruncated|sys.MsgTrunc) == 0
}

// lost returns the error for a message that lost bytes, descriptors, or both. capacity is the number of
// descriptors that the call requested. If descriptors were lost, cause is the reason, or nil if it is not known.
func (a arrival) lost(capacity int, descriptors bool, cause error) *TruncatedError {
	switch {
	case a.lostBytes() && descriptors:
		cause = &bothError{cause}
	case a.lostBytes():
		cause = io.ErrShortBuffer
	}
	return a.truncated(capacity, cause)
}

// truncated returns the error for a message that lost something because of cause.
func (a arrival) truncated(capacity int, cause error) *TruncatedError {
	return &TruncatedError{N: a.n, Received: a.nfd, Room: capacity, Cause: cause}
}
