package scm

import (
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// A call is the state of one call of a Conn's method. It is reused, so that a method does not allocate.
type call struct {
	conn  *Conn
	sends bool
	now   bool // whether the flags have MSG_DONTWAIT, so that the call does not wait
	flags int
	op    func(k *call) error // makes a system call, or on a stream all of a payload
	user  *Message            // the argument of Send or Recv, which do not use the transfer

	transfer

	err  error // the error of the last attempt
	full bool  // a datagram receiver's queue is full, which the poller does not report
	sock int32 // the Conn's socket, valid during an attempt

	try       func(sock uintptr) (done bool) // attempt
	addFile   func(fd uintptr)               // see sendHoldingFiles
	wantsFile bool                           // whether sendHoldingFiles waits for a call of addFile

	kept *keptCall // where put returns the call to, or nil for the pool
}

// A transfer is what the methods other than Send and Recv send or receive.
type transfer struct {
	msg   msg.Message // the message of one system call
	bufs  [][]byte    // the caller's buffers; a send removes sent bytes from the front
	fds   []int
	own   int        // how many of fds are the caller's descriptors to send
	files []sentFile // the files to send
	sent  int
	cause error // why descriptors are missing, or nil if it is not known
}

// A keptCall holds the call that a Conn keeps for one direction. A second, concurrent call takes its own from the pool.
type keptCall struct {
	busy atomic.Bool
	call *call
}

var callPool = sync.Pool{New: func() any { return makeCall() }}

func makeCall() *call {
	k := new(call)
	k.try = k.attempt // once, because a method value allocates
	return k
}

// newCall returns the call that the Conn keeps for the direction. With a call from the pool instead, WriteFiles and
// ReadFiles take 180 instructions more, and 0.02 to 0.04 more of a pass in C.
func newCall(c *Conn, sends bool) *call {
	var kept *keptCall
	switch {
	case c == nil: // the method returns the error later
	case c != c.base: // which WithContext often returned for one call
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
	clear(k.bufs)
	clear(k.files)
	k.bufs, k.files, k.own, k.sent = k.bufs[:0], k.files[:0], 0, 0
	k.msg.Buffers, k.msg.FDs = nil, nil
	k.user, k.now, k.err, k.full, k.cause = nil, false, nil, false, nil
	if k.kept != nil {
		k.kept.busy.Store(false)
		return
	}
	k.conn = nil
	callPool.Put(k)
}

// wait makes the system calls of op until one succeeds or fails, once the Conn's other calls in the same
// direction are done and the socket is ready. A call with MSG_DONTWAIT does not wait for other calls, unless it
// could break up a stream's payload. Package net calls k.try, and keeps the socket open until it returns.
func (k *call) wait(op func(k *call) error) error {
	k.op = op
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		var err error
		switch c := k.conn; {
		case k.now && !(k.sends && c.isStream()):
			if err = contextErr(c.ctx); err == nil {
				err = c.raw.Control(func(sock uintptr) { k.try(sock) })
			}
		case k.sends:
			err = c.first.writes.run(c.ctx, func() error { return c.raw.Write(k.try) })
		default:
			err = c.first.reads.run(c.ctx, func() error { return c.raw.Read(k.try) })
		}
		switch {
		case err != nil:
			return withoutOp(err)
		case k.full:
			k.full = false
			time.Sleep(pause)
		case k.err == nil || !sys.IsErrno(k.err):
			return k.err
		case k.sends:
			return os.NewSyscallError("sendmsg", k.err)
		case k.user != nil:
			return recvError(k.err, len(k.user.FDs))
		default:
			return recvError(k.err, len(k.msg.FDs))
		}
	}
}

// attempt makes system calls until one succeeds, fails, or would have to wait. It reports whether the call is
// done, or must sleep because k.full is set. Otherwise package net waits in the poller and calls it again.
func (k *call) attempt(sock uintptr) (done bool) {
	k.sock = int32(sock)
	for {
		k.err = k.op(k)
		switch {
		case k.err == nil:
			return true
		case sys.Interrupted(k.err):
			continue
		case k.sends && k.conn.isDatagram() && sys.QueueFull(k.err) && !k.now:
			k.full = true
			return true
		case !sys.Again(k.err) || k.now:
			return true
		}
		k.full = k.sends && k.conn.isDatagram() && sys.Writable(k.sock)
		return k.full
	}
}

// A sentFile gives sendHoldingFiles the descriptor of a file. It is a syscall.RawConn or an osFile.
type sentFile interface {
	Control(func(fd uintptr)) error
}

// An osFile is a sentFile. Its RawConn does not outlive Control, so it is not allocated.
type osFile struct{ *os.File }

func (f osFile) Control(use func(fd uintptr)) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(use)
}

// addFiles appends the files to k.files.
func (k *call) addFiles(files []*os.File) error {
	if len(files) > MaxFDs {
		return ErrTooManyFDs
	}
	for i, f := range files {
		if f == nil {
			return nilError("file " + strconv.Itoa(i))
		}
		k.files = append(k.files, osFile{f})
	}
	return nil
}

// send sends the payload in k.bufs with the descriptors. k.sent is the number of bytes sent.
func (k *call) send() error {
	k.msg.Buffers, k.flags = k.bufs, sys.SendFlags
	k.fds = slices.Grow(k.fds[:k.own], len(k.files))
	return k.wait((*call).sendPayload)
}

// sendPayload sends the next part of the payload. On a stream it sends all of the rest.
func (k *call) sendPayload() error {
	for {
		k.msg.FDs = k.fds[:k.own]
		if err := k.sendHoldingFiles(); err != nil {
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

// sendHoldingFiles makes one sendmsg(2) call, while no other goroutine can close the files in k.files.
//
// An os.File keeps its descriptor open only during a call of its RawConn's Control method. So the calls of
// Control are nested: each one passes the descriptor of its file to addFile, which appends it to k.msg.FDs
// and calls sendHoldingFiles for the next file. When k.msg.FDs has the descriptors of all files, every
// Control is still running, and the innermost sendHoldingFiles sends them. The files are held for one system
// call, not while the Conn waits for its socket.
func (k *call) sendHoldingFiles() error {
	next := len(k.msg.FDs) - k.own
	if next == len(k.files) {
		sys.BeforeSend()
		return sendMsg(k.sock, &k.msg, k.flags)
	}
	if k.addFile == nil { // made once, because it allocates
		k.addFile = func(fd uintptr) {
			if k.wantsFile {
				k.wantsFile = false
				k.msg.FDs = append(k.msg.FDs, int(fd))
				k.err = k.sendHoldingFiles()
			}
		}
	}
	k.wantsFile = true
	err := k.files[next].Control(k.addFile)
	k.wantsFile = false // a caller's own RawConn may call addFile again, or later
	switch {
	case len(k.msg.FDs)-k.own > next:
		return k.err
	case err != nil:
		return &fileError{next, os.ErrClosed} // not net.ErrClosed: the Conn is open
	}
	return &fileError{next, sys.Error("no descriptor", os.ErrInvalid)} // a caller's own type of connection
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

// receive receives into k.bufs, with at most max descriptors.
func (k *call) receive(max int) error {
	k.msg.Buffers, k.flags = k.bufs, sys.RecvFlags
	k.msg.FDs = slices.Grow(k.fds[:0], max)[:max]
	k.fds = k.msg.FDs
	return k.wait((*call).receiveFiles)
}

// sendUser and recvUser are the operations of Send and Recv.
func (k *call) sendUser() error { return sendMessage(k.sock, k.user, k.flags) }
func (k *call) recvUser() error { return recvMessage(k.sock, k.user, k.flags) }

// receiveFiles makes one recvmsg(2) call, and finds out why descriptors are missing.
func (k *call) receiveFiles() error {
	err := recvOne(k.sock, &k.msg, k.flags)
	if k.arrival().lostFDs() {
		k.cause = sys.TruncationCause(int(k.sock), k.msg.NFD, len(k.msg.FDs))
		if k.cause == error(sys.EMSGSIZE) && (k.msg.NFD == 0 || !k.conn.config.KeepTruncated) {
			k.cause = k.conn.tooMany(len(k.msg.FDs))
		}
	}
	return err
}

// arrival returns what receiveFiles stored in k.msg.
func (k *call) arrival() arrival {
	return arrival{n: k.msg.N, nfd: k.msg.NFD, flags: k.msg.Flags, asked: !msg.IsEmpty(k.bufs)}
}

// received returns the received descriptors.
func (k *call) received() []int { return k.msg.FDs[:k.msg.NFD] }
