package scm

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/msg"

	"github.com/scm-rights/scm/internal/sys"
)

// A call is one call of a Conn's method: what it sends or receives, and the
// functions that the poller calls, made once. It is kept from call to call, so
// that none allocates.
type call struct {
	conn *Conn
	once func(k *call) error // one system call, or those of a whole payload
	err  error               // of once

	msg   msg.Message
	bufs  [1][]byte
	fds   [MaxFDs]int32
	files []syscall.RawConn // to send
	bound *boundFile        // of the socket that is handed over
	sent  int
	cause error // of control data that was cut

	user  *Message // of Send and Recv
	flags int

	sends  bool
	nowait bool // EAGAIN is the caller's
	blind  bool // EAGAIN, and the poller has no sign of when it ends
	sock   int32
	try    func(sock uintptr) bool
	hold   func(fd uintptr)
}

var callPool = sync.Pool{New: func() any {
	k := new(call)
	k.try, k.hold = k.attempt, k.sendHolding
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
	k.conn, k.once, k.err, k.cause, k.user = nil, nil, nil, nil, nil
	k.msg, k.bufs, k.bound = msg.Message{}, [1][]byte{}, nil
	k.files, k.sent, k.flags, k.nowait = k.files[:0], 0, 0, false
	callPool.Put(k)
}

// attempt is what the poller calls while the socket is ready, or may be. It
// returns false to wait.
func (k *call) attempt(sock uintptr) bool {
	k.sock = int32(sock)
	for {
		k.err = k.once(k)
		switch {
		case k.err == nil:
			return true
		case sys.Interrupted(k.err):
		case !sys.Again(k.err):
			return true
		case k.nowait:
			_ = k.sends || k.atEnd()
			return true
		default:
			return k.waits()
		}
	}
}

// waits decides what to do about EAGAIN. It returns false to wait in the poller.
func (k *call) waits() bool {
	switch {
	case !k.sends:
		return k.atEnd()
	case k.conn.isDatagram() && sys.Writable(k.sock):
		k.blind = true
		return true
	}
	k.conn.sending.tryLater()
	return false
}

// atEnd finds the end of a datagram socket, of which recvmsg with MSG_DONTWAIT has no
// sign: after a shutdown nothing is sent to it, but there can be something before.
func (k *call) atEnd() bool {
	if !k.conn.isDatagram() || !sys.ReadShut(k.sock) {
		return false
	}
	for {
		k.err = k.once(k)
		switch {
		case k.err == nil:
		case sys.Interrupted(k.err):
			continue
		case sys.Again(k.err):
			k.err = io.EOF
		}
		return true
	}
}

// inTurn calls once when the Conn's other calls of its direction are done and
// the socket is ready, or ends with ctx.
func (k *call) inTurn(ctx context.Context, d *direction) error {
	k.sends = d == &k.conn.sending
	err := d.begin(ctx, !k.nowait)
	if err == nil {
		err = k.withTurn(ctx, d)
	}
	if err == nil {
		err = k.err
	} else {
		err = k.conn.pollError(err)
	}
	switch {
	case !sys.IsErrno(err):
		return err
	case k.sends:
		return os.NewSyscallError("sendmsg", err)
	}
	return os.NewSyscallError("recvmsg", err)
}

// withTurn gives the turn back also if a caller's connection panics.
func (k *call) withTurn(ctx context.Context, d *direction) error {
	defer d.end()
	if ctx.Done() == nil {
		return k.wait(d)
	}
	return d.until(ctx, func() error { return k.wait(d) })
}

// wait calls once when the socket is ready. The poller calls a datagram socket
// ready while there is room in it, though there may be none at the receiver's: then
// it tries again, ever more seldom.
func (k *call) wait(d *direction) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		k.blind = false
		err := d.wait(k.try)
		if err == nil && k.blind {
			err = d.sleep(pause)
		}
		if err != nil || !k.blind {
			return err
		}
	}
}

// send sends p with the files. k.sent is how much of it was sent.
func (k *call) send(ctx context.Context, p []byte) error {
	k.bufs[0], k.msg.Buffers = p, k.bufs[:]
	k.once = (*call).sendPayload
	return k.inTurn(ctx, &k.conn.sending)
}

// sendPayload sends what is left of the payload, all of it on a stream.
func (k *call) sendPayload() (err error) {
	for {
		k.msg.FDs = k.fds[:0]
		if k.bound != nil {
			err = k.bound.handOver(k.sendNext)
		} else {
			err = k.sendNext()
		}
		if err != nil {
			return err
		}
		k.sent += k.msg.N
		clear(k.files)
		k.files = k.files[:0] // they went with the first byte
		k.bufs[0] = k.bufs[0][k.msg.N:]
		if len(k.bufs[0]) == 0 || !k.conn.isStream() {
			return nil
		}
	}
}

// sendNext takes hold of the next file and, once all are held, sends.
func (k *call) sendNext() (err error) {
	held := len(k.msg.FDs)
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

// receive receives into p, with room for so many descriptors, which are
// k.fds[:k.msg.NFD].
func (k *call) receive(ctx context.Context, p []byte, room int) error {
	k.bufs[0], k.msg.Buffers = p, k.bufs[:]
	k.msg.FDs = k.fds[:room]
	k.once = (*call).receiveOnce
	return k.inTurn(ctx, &k.conn.receiving)
}

func (k *call) receiveOnce() error {
	err := recvOne(k.sock, &k.msg, sys.RecvFlags)
	if err == nil && k.cut() {
		k.cause = whyCut(k.sock, &k.msg)
	}
	return err
}

// cut reports whether control data is missing from what was received.
func (k *call) cut() bool { return k.msg.Flags&sys.ControlTruncated != 0 }

// isEnd reports whether a receive with room for a byte met the end. With SO_PASSCRED Linux
// sets MSG_CTRUNC at the end of a stream, for credentials of nobody.
func (k *call) isEnd() bool {
	switch {
	case k.msg.N > 0 || k.msg.NFD > 0 || k.conn.isDatagram():
		return false
	case k.conn.isStream():
		return true
	}
	return !k.cut() && k.msg.Flags&sys.MsgTrunc == 0
}

// whyCut is the reason why descriptors are missing, as far as it can be known
// while the received ones are still open.
func whyCut(sock int32, m *msg.Message) error {
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

// closeReceived closes the received descriptors.
func (k *call) closeReceived() {
	for _, fd := range k.fds[:k.msg.NFD] {
		sys.Close(int(fd))
	}
}

// takeFiles makes files of the received descriptors. It returns those before the
// first of which none can be made, so that each has the place that the sender gave it,
// and closes the others: err says why.
func (k *call) takeFiles() (files []*os.File, err error) {
	if k.msg.NFD == 0 {
		return nil, nil
	}
	files = make([]*os.File, 0, k.msg.NFD)
	for _, fd := range k.fds[:k.msg.NFD] {
		var f *os.File
		if err == nil {
			f, err = newFile(int(fd), "received")
		}
		if err != nil {
			sys.Close(int(fd))
			continue
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, err
	}
	return files, err
}

// sendMessage and receiveMessage are Send and Recv of the caller's message.

func (k *call) sendMessage() error    { return Send(int(k.sock), k.user, k.flags|sys.SendFlags) }
func (k *call) receiveMessage() error { return Recv(int(k.sock), k.user, k.flags|sys.RecvFlags) }
