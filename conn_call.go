package scm

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// A call is one call of a Conn's method: what it sends or receives, and the functions that
// package net calls, made once. It is kept from call to call, so that none allocates.
type call struct {
	conn *Conn
	once func(k *call) error // one system call, or those of a whole payload
	err  error               // of once

	msg   msg.Message
	bufs  [][]byte // of the caller, of which a send cuts off what is sent
	fds   [MaxFDs]int32
	own   int               // of fds, the caller's numbers to send
	files []syscall.RawConn // to send
	sent  int
	cause error // of descriptors that are missing

	user  *Message // of Send and Recv
	flags int

	sends bool
	full  bool // a datagram's receiver is full, of which the poller has no sign
	sock  int32
	try   func(sock uintptr) bool
	now   func(sock uintptr)
	hold  func(fd uintptr)
}

var callPool = sync.Pool{New: func() any {
	k := new(call)
	k.try, k.hold = k.attempt, k.sendHolding
	k.now = func(sock uintptr) { k.attempt(sock) }
	return k
}}

func newCall(c *Conn) *call {
	k := callPool.Get().(*call)
	k.conn = c
	return k
}

// put gives the call back without a trace of what it pointed to.
func (k *call) put() {
	clear(k.files)
	clear(k.bufs)
	k.conn, k.once, k.err, k.cause, k.user = nil, nil, nil, nil, nil
	k.msg, k.bufs, k.own = msg.Message{}, k.bufs[:0], 0
	k.files, k.sent, k.flags, k.sends = k.files[:0], 0, 0, false
	callPool.Put(k)
}

// attempt is what package net calls while the socket is ready, or may be. It returns false
// to wait in the poller.
func (k *call) attempt(sock uintptr) bool {
	k.sock = int32(sock)
	for {
		k.err = k.once(k)
		switch {
		case k.err == nil:
			return true
		case sys.Interrupted(k.err):
			continue
		case !sys.Again(k.err) || k.flags&sys.DontWait != 0:
			return true
		}
		k.full = k.sends && k.conn.isDatagram() && sys.Writable(k.sock)
		return k.full
	}
}

// do calls once when the Conn's other calls of its direction are done and the socket is ready.
// A call with MSG_DONTWAIT waits for no other, but where it would break up a stream's payload.
func (k *call) do() (err error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		k.full = false
		switch {
		case k.flags&sys.DontWait != 0 && !(k.sends && k.conn.isStream()):
			err = k.conn.raw.Control(k.now)
		case k.sends:
			err = k.conn.raw.Write(k.try)
		default:
			err = k.conn.raw.Read(k.try)
		}
		if err != nil || !k.full {
			break
		}
		time.Sleep(pause)
	}
	switch {
	case err != nil:
		return cause(err)
	case !sys.IsErrno(k.err):
		return k.err
	case k.sends:
		return os.NewSyscallError("sendmsg", k.err)
	}
	return os.NewSyscallError("recvmsg", k.err)
}

// send sends the payload in k.bufs with the descriptors. k.sent is how much of it was sent.
func (k *call) send() error {
	k.msg.Buffers = k.bufs
	k.once, k.sends = (*call).sendPayload, true
	return k.do()
}

// sendPayload sends what is left of the payload, all of it on a stream.
func (k *call) sendPayload() error {
	for {
		k.msg.FDs = k.fds[:k.own]
		if err := k.sendNext(); err != nil {
			return err
		}
		k.sent += k.msg.N
		clear(k.files)
		k.files, k.own = k.files[:0], 0 // they went with the first byte
		k.advance(k.msg.N)
		if isEmpty(k.msg.Buffers) || !k.conn.isStream() {
			return nil
		}
	}
}

// advance cuts n bytes off the buffers to send.
func (k *call) advance(n int) {
	for len(k.msg.Buffers) > 1 && n >= len(k.msg.Buffers[0]) {
		n -= len(k.msg.Buffers[0])
		k.msg.Buffers = k.msg.Buffers[1:]
	}
	if len(k.msg.Buffers) > 0 {
		k.msg.Buffers[0] = k.msg.Buffers[0][n:]
	}
}

// sendNext takes hold of the next file and, once all are held, sends.
func (k *call) sendNext() (err error) {
	held := len(k.msg.FDs) - k.own
	if held == len(k.files) {
		return sendMsg(k.sock, &k.msg, sys.SendFlags)
	}
	k.err = errNotHeld
	closed := k.files[held].Control(k.hold)
	switch {
	case k.err != errNotHeld:
		return k.err
	case closed != nil:
		return &fileError{held, os.ErrClosed} // not net.ErrClosed: the Conn is open
	}
	return &fileError{held, os.ErrInvalid} // a caller's own connection, without a descriptor
}

// errNotHeld stands in call.err until sendHolding is called.
var errNotHeld = errors.New("scm: not held")

// sendHolding goes on to the next file while fd is held. The references last
// for one system call: nothing is held while the call waits.
func (k *call) sendHolding(fd uintptr) {
	if k.err != errNotHeld { // a second time
		return
	}
	k.msg.FDs = append(k.msg.FDs, number(int(fd)))
	k.err = k.sendNext()
}

// receive receives into k.bufs, with room for so many descriptors, which are
// k.fds[:k.msg.NFD].
func (k *call) receive(room int) error {
	k.msg.Buffers = k.bufs
	k.msg.FDs = k.fds[:room]
	k.once = (*call).receiveOnce
	return k.do()
}

func (k *call) receiveOnce() error {
	err := recvOne(k.sock, &k.msg, sys.RecvFlags)
	if err == nil && k.truncated() {
		k.cause = whyTruncated(k.sock, &k.msg)
	}
	return err
}

// truncated reports whether control data is missing from what was received.
func (k *call) truncated() bool { return k.msg.Flags&sys.ControlTruncated != 0 }

// isEnd reports whether a receive with room for a byte met the end. With SO_PASSCRED Linux
// sets MSG_CTRUNC at the end of a stream, for credentials that nobody sent.
func (k *call) isEnd() bool {
	switch {
	case k.msg.N > 0 || k.msg.NFD > 0 || k.conn.isDatagram():
		return false
	case k.conn.isStream():
		return true
	}
	return !k.truncated() && k.msg.Flags&sys.MsgTrunc == 0
}

// whyTruncated is the reason why descriptors are missing, as far as it can be known
// while the received ones are still open.
func whyTruncated(sock int32, m *msg.Message) error {
	if m.NFD == len(m.FDs) {
		return sys.EMSGSIZE
	}
	fd, err := sys.Dup(int(sock))
	if err != nil {
		return err
	}
	sys.Close(fd)
	return nil
}

// lost is the error of a message whose descriptors cannot all be returned.
func (k *call) lost(cause error) *TruncatedError {
	return &TruncatedError{N: k.msg.N, Received: k.msg.NFD, Room: len(k.msg.FDs), Cause: cause}
}

// closeReceived closes the received descriptors.
func (k *call) closeReceived() {
	for _, fd := range k.fds[:k.msg.NFD] {
		sys.Close(int(fd))
	}
}

// sendMessage and receiveMessage are Send and Recv of the caller's message.

func (k *call) sendMessage() error    { return Send(int(k.sock), k.user, k.flags|sys.SendFlags) }
func (k *call) receiveMessage() error { return Recv(int(k.sock), k.user, k.flags|sys.RecvFlags) }
