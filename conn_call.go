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
	"github.com/scm-rights/scm/internal/received"
	"github.com/scm-rights/scm/internal/sys"
)

// A call is the state of one call to a Conn's method: what the method sends or receives, and the functions
// that package net calls. It is reused, so that a method does not allocate.
type call struct {
	conn  *Conn
	sends bool
	now   bool                // whether the flags have MSG_DONTWAIT, so that the call does not wait
	once  func(k *call) error // makes one attempt, if that is more than one system call with msg and flags
	err   error               // the error of the last attempt

	msg   msg.Message
	flags int
	user  *Message // the argument of Send or Recv
	bufs  [][]byte // the caller's buffers; a send removes sent bytes from the front
	fds   []int
	own   int               // how many of fds are the caller's descriptors to send
	files []syscall.RawConn // the files to send
	held  bool              // whether hold was called for the current file
	sent  int
	cause error // why descriptors are missing, or nil if it is not known

	full bool // a datagram receiver's queue is full, which the poller does not report
	sock int32
	try  func(sock uintptr) bool
	hold func(fd uintptr)

	kept *keptCall // where put returns the call to, or nil for the pool
}

// A keptCall holds the call that a Conn keeps for one direction. A second, concurrent call takes its own
// from the pool.
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
			if received.On() {
				received.Message(&k.msg)
			}
			if k.truncated() && k.user == nil { // Recv does not report a cause
				k.cause = sys.TruncationCause(int(k.sock), k.msg.NFD, len(k.msg.FDs))
			}
		}
		return k.err == nil || k.failed()
	}
	k.hold = func(fd uintptr) { // fd is the next file's, which stays open during this function
		if !k.held { // ignore a second call
			k.msg.FDs = append(k.msg.FDs, int(fd))
			k.err = k.sendNext()
			k.held = true
		}
	}
	return k
}

// newCall returns the call that the Conn keeps for the direction. Sending and receiving are 2% faster than
// with a call from the pool.
func newCall(c *Conn, sends bool) *call {
	var kept *keptCall
	switch {
	case c == nil: // the method returns the error later
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
	if kept.call == nil || kept.call.kept != kept { // the Conn was copied, and the original owns kept.call
		kept.call = makeCall()
		kept.call.kept, kept.call.conn, kept.call.sends = kept, c, sends
	}
	return kept.call
}

// put makes the call available again. It first clears every pointer to the caller's data.
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

// failed reports whether a failed attempt ends the call. If not, the call waits in the poller.
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

// do makes the attempts of a call, once the Conn's other calls in the same direction are done and the
// socket is ready. A call with MSG_DONTWAIT does not wait for other calls, unless it could break up a
// stream's payload.
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

// doAgain repeats the attempts while a datagram receiver's queue is full. It returns the error of the whole
// call.
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

// send sends the payload in k.bufs with the descriptors. k.sent is the number of bytes sent.
func (k *call) send() error {
	k.msg.Buffers, k.flags = k.bufs, sys.SendFlags
	k.fds = slices.Grow(k.fds[:k.own], len(k.files))
	k.once = (*call).sendPayload
	return k.do()
}

// sendPayload sends the next part of the payload. On a stream it sends all of the rest.
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
		k.files, k.own = k.files[:0], 0 // the first byte carried them
	}
}

// advance removes n bytes from the front of the buffers to send, and reports whether none are left.
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

// sendNext holds the next file open and calls itself for the one after it. Once it holds all files, it
// sends. The files are held for one system call, not while the call waits.
func (k *call) sendNext() (err error) {
	at := len(k.msg.FDs) - k.own
	if at == len(k.files) {
		return sendMsg(k.sock, &k.msg, k.flags)
	}
	k.held = false
	closed := k.files[at].Control(k.hold)
	held := k.held
	k.held = true // k.hold, called later, does nothing
	switch {
	case held:
		return k.err
	case closed != nil:
		return &fileError{at, os.ErrClosed} // not net.ErrClosed: the Conn is open
	}
	return &fileError{at, os.ErrInvalid} // a caller's own type of connection, without a descriptor
}

// receive receives into k.bufs, with at most max descriptors.
func (k *call) receive(max int) error {
	k.msg.Buffers, k.flags = k.bufs, sys.RecvFlags
	k.msg.FDs = slices.Grow(k.fds[:0], max)[:max]
	k.fds = k.msg.FDs
	return k.do()
}

// received returns the received descriptors.
func (k *call) received() []int { return k.msg.FDs[:k.msg.NFD] }

// enforce closes the received descriptors and returns an *ExpectError unless they match Config.Expect.
func (k *call) enforce() error {
	if k.conn.config.Expect == nil {
		return nil
	}
	return k.conn.config.Expect.Enforce(k.received())
}

// truncated reports whether the kernel truncated the control data.
func (k *call) truncated() bool { return k.msg.Flags&sys.ControlTruncated != 0 }

// short reports whether the message was longer than k.bufs. Empty buffers ask for no bytes.
func (k *call) short() bool { return k.msg.Flags&sys.MsgTrunc != 0 && !isEmpty(k.bufs) }

// isEnd reports whether a receive reached the end of the connection. With SO_PASSCRED, Linux sets
// MSG_CTRUNC at the end of a stream, for credentials that no process sent.
func (k *call) isEnd() bool {
	switch {
	case k.msg.N > 0 || k.msg.NFD > 0 || k.conn.isDatagram():
		return false
	case k.conn.isStream():
		return true
	}
	return !k.truncated() && k.msg.Flags&sys.MsgTrunc == 0
}

// lossCause returns the Cause of the TruncatedError for a message that lacks bytes, descriptors (because of
// cause), or both.
func (k *call) lossCause(descriptors bool, cause error) error {
	switch {
	case !k.short():
		return cause
	case descriptors:
		return &bothError{cause}
	}
	return io.ErrShortBuffer
}

// truncatedError returns the error for a message that lost a part.
func (k *call) truncatedError(cause error) *TruncatedError {
	return &TruncatedError{N: k.msg.N, Received: k.msg.NFD, Room: len(k.msg.FDs), Cause: cause}
}

// closeReceived closes the received descriptors.
func (k *call) closeReceived() { sys.CloseAll(k.received()) }

// setMessage prepares the call to send or receive m with one system call.
func (k *call) setMessage(m *Message, flags, own int, once func(k *call) error) {
	k.user, k.now, k.flags = m, flags&sys.DontWait != 0, flags|own
	if m.Addr == nil && m.Cred == nil && m.PIDFD == nil {
		k.msg.Buffers, k.msg.FDs, k.msg.Unpadded = m.Buffers, m.FDs, m.Unpadded
	} else {
		k.once = once
	}
}

// sendMessage and receiveMessage are the attempts for messages with more than buffers and descriptors.
func (k *call) sendMessage() error    { return Send(int(k.sock), k.user, k.flags) }
func (k *call) receiveMessage() error { return Recv(int(k.sock), k.user, k.flags) }
