package scm

import (
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// A call is one call of a Conn's method: what it sends or receives, and the functions that
// package net calls, made once. It is kept from call to call, so that none allocates.
type call struct {
	conn  *Conn
	sends bool
	now   bool                // or never: with MSG_DONTWAIT
	once  func(k *call) error // a try, if it is not one system call with msg and flags
	err   error               // of the last try

	msg   msg.Message
	flags int
	user  *Message // of Send and Recv
	bufs  [][]byte // of the caller, of which a send cuts off what is sent
	fds   []int
	own   int               // of fds, the caller's numbers to send
	files []syscall.RawConn // to send
	held  bool              // the file that was asked for last is
	sent  int
	cause error // of descriptors that are missing

	full bool // a datagram's receiver is full, of which the poller has no sign
	sock int32
	try  func(sock uintptr) bool
	hold func(fd uintptr)

	kept *keptCall // where it is put back, nil for the pool
}

// A keptCall is what a Conn keeps for calls of one direction: one that runs beside another
// takes one from the pool.
type keptCall struct {
	busy atomic.Bool
	call *call
}

var callPool = sync.Pool{New: func() any { return makeCall() }}

func makeCall() *call {
	k := new(call)
	k.try = func(sock uintptr) bool {
		k.sock = int32(sock)
		switch {
		case k.once != nil:
			k.err = k.once(k)
		case k.sends:
			k.err = sendMsg(k.sock, &k.msg, k.flags)
		default:
			k.err = recvOne(k.sock, &k.msg, k.flags)
			if k.truncated() && k.user == nil { // not of Recv
				k.cause = k.whyTruncated()
			}
		}
		return k.err == nil || k.failed()
	}
	k.hold = func(fd uintptr) { // the next file's, which is held meanwhile
		if !k.held { // a second time
			k.msg.FDs = append(k.msg.FDs, int(fd))
			k.err = k.sendNext()
			k.held = true
		}
	}
	return k
}

// newCall takes the Conn's own call of the direction, which gains 2% of a send and a receive.
func newCall(c *Conn, sends bool) *call {
	var kept *keptCall
	switch {
	case c == nil: // whose error comes later
	case sends:
		kept = &c.sending
	default:
		kept = &c.receiving
	}
	if kept == nil || !kept.busy.CompareAndSwap(false, true) {
		k := callPool.Get().(*call)
		k.conn, k.sends = c, sends
		return k
	}
	if kept.call == nil || kept.call.kept != kept { // a copy of the Conn has it
		kept.call = makeCall()
		kept.call.kept, kept.call.conn, kept.call.sends = kept, c, sends
	}
	return kept.call
}

// put gives the call back without a trace of what it pointed to.
func (k *call) put() {
	k.msg.Buffers, k.msg.FDs, k.msg.Unpadded, k.err = nil, nil, false, nil
	if len(k.bufs)+len(k.files) > 0 {
		clear(k.bufs)
		clear(k.files)
		k.bufs, k.files, k.own, k.sent = k.bufs[:0], k.files[:0], 0, 0
	}
	k.once, k.user, k.cause, k.now, k.full = nil, nil, nil, false, false
	if k.kept != nil {
		k.kept.busy.Store(false)
		return
	}
	k.conn = nil
	callPool.Put(k)
}

// failed reports whether a try ended the call; if not, it is to wait in the poller.
func (k *call) failed() bool {
	switch {
	case sys.Interrupted(k.err):
		return k.try(uintptr(k.sock))
	case !sys.Again(k.err) || k.now:
		return true
	}
	k.full = k.sends && k.conn.isDatagram() && sys.Writable(k.sock)
	return k.full
}

// do tries when the Conn's other calls of its direction are done and the socket is ready.
// A call with MSG_DONTWAIT waits for no other, but where it would break up a stream's payload.
func (k *call) do() error {
	var err error
	switch {
	case k.now && !(k.sends && k.conn.isStream()):
		err = k.conn.raw.Control(func(sock uintptr) { k.try(sock) })
	case k.sends:
		err = k.conn.raw.Write(k.try)
	default:
		err = k.conn.raw.Read(k.try)
	}
	if err == nil && k.err == nil {
		return nil
	}
	return k.doAgain(err)
}

// doAgain tries on while a datagram's receiver is full, and is the error of do.
func (k *call) doAgain(err error) error {
	for pause := time.Millisecond; err == nil && k.full; pause = min(2*pause, 50*time.Millisecond) {
		time.Sleep(pause)
		k.full = false
		err = k.conn.raw.Write(k.try)
	}
	switch {
	case err != nil:
		return cause(err)
	case k.err == nil || !sys.IsErrno(k.err):
		return k.err
	case k.sends:
		return os.NewSyscallError("sendmsg", k.err)
	}
	return os.NewSyscallError("recvmsg", k.err)
}

// send sends the payload in k.bufs with the descriptors. k.sent is how much of it was sent.
func (k *call) send() error {
	k.msg.Buffers, k.flags = k.bufs, sys.SendFlags
	k.fds = slices.Grow(k.fds[:k.own], len(k.files))
	k.once = (*call).sendPayload
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
		if !k.conn.isStream() || k.advance(k.msg.N) {
			return nil
		}
		clear(k.files)
		k.files, k.own = k.files[:0], 0 // they went with the first byte
	}
}

// advance cuts n bytes off the buffers to send, and reports whether that was all.
func (k *call) advance(n int) bool {
	for len(k.msg.Buffers) > 0 && n >= len(k.msg.Buffers[0]) {
		n -= len(k.msg.Buffers[0])
		k.msg.Buffers = k.msg.Buffers[1:]
	}
	if len(k.msg.Buffers) == 0 {
		return true
	}
	k.msg.Buffers[0] = k.msg.Buffers[0][n:]
	return false
}

// sendNext takes hold of the next file and, once all are held, sends. The references last
// for one system call: nothing is held while the call waits.
func (k *call) sendNext() (err error) {
	at := len(k.msg.FDs) - k.own
	if at == len(k.files) {
		return sendMsg(k.sock, &k.msg, k.flags)
	}
	k.held = false
	closed := k.files[at].Control(k.hold)
	held := k.held
	k.held = true // what comes now is too late
	switch {
	case held:
		return k.err
	case closed != nil:
		return &fileError{at, os.ErrClosed} // not net.ErrClosed: the Conn is open
	}
	return &fileError{at, os.ErrInvalid} // a caller's own connection, without a descriptor
}

// receive receives into k.bufs, with room for so many descriptors, which are k.fds[:k.msg.NFD].
func (k *call) receive(room int) error {
	k.msg.Buffers, k.flags = k.bufs, sys.RecvFlags
	k.msg.FDs = slices.Grow(k.fds[:0], room)[:room]
	k.fds = k.msg.FDs
	return k.do()
}

// truncated reports whether control data is missing from what was received.
func (k *call) truncated() bool { return k.msg.Flags&sys.ControlTruncated != 0 }

// short reports whether the message was longer than k.bufs. If these have no byte, the caller
// asked for none.
func (k *call) short() bool { return k.msg.Flags&sys.MsgTrunc != 0 && !isEmpty(k.bufs) }

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

// whyTruncated is the reason why descriptors are missing, as far as it can be known while the received ones are open.
func (k *call) whyTruncated() error {
	if k.msg.NFD == len(k.msg.FDs) {
		return sys.EMSGSIZE
	}
	fd, err := sys.Dup(int(k.sock))
	if err != nil {
		return err
	}
	sys.Close(fd)
	return nil
}

// why is the Cause of a TruncatedError of a message that lacks bytes, descriptors (for cause), or both.
func (k *call) why(descriptors bool, cause error) error {
	switch {
	case !k.short():
		return cause
	case descriptors:
		return &bothError{cause}
	}
	return io.ErrShortBuffer
}

// lost is the error of a message whose descriptors cannot all be returned.
func (k *call) lost(cause error) *TruncatedError {
	return &TruncatedError{N: k.msg.N, Received: k.msg.NFD, Room: len(k.msg.FDs), Cause: cause}
}

// closeReceived closes the received descriptors.
func (k *call) closeReceived() { sys.CloseAll(k.msg.FDs[:k.msg.NFD]) }

// setMessage has the call send or receive m, by one system call.
func (k *call) setMessage(m *Message, flags, own int, once func(k *call) error) {
	k.user, k.now, k.flags = m, flags&sys.DontWait != 0, flags|own
	if m.Addr == nil && m.Cred == nil && m.PIDFD == nil {
		k.msg.Buffers, k.msg.FDs, k.msg.Unpadded = m.Buffers, m.FDs, m.Unpadded
	} else {
		k.once = once
	}
}

// sendMessage and receiveMessage are for messages with more than buffers and descriptors.
func (k *call) sendMessage() error    { return Send(int(k.sock), k.user, k.flags) }
func (k *call) receiveMessage() error { return Recv(int(k.sock), k.user, k.flags) }
