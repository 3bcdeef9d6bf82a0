package scm

import (
	"io"
	"os"
	"strconv"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// WriteFiles sends p and the files, which stay open. On a stream, it sends all of p, and the first byte carries the
// files, so with files, p must not be empty ([ErrEmptyPayload]). On other sockets p is one message. If n > 0, the
// files were sent too: after an error, send only p[n:]. If the partner calls CloseRead, a call that is waiting
// continues to wait.
func (c *Conn) WriteFiles(p []byte, files ...*os.File) (n int, err error) {
	k := newCall(c, true)
	k.bufs = append(k.bufs, p)
	n, err = k.write(files)
	k.put()
	return n, err
}

// WriteBuffers is like [Conn.WriteFiles], but sends the contents of several buffers, in order.
func (c *Conn) WriteBuffers(buffers [][]byte, files ...*os.File) (n int, err error) {
	k := newCall(c, true)
	k.bufs = append(k.bufs, buffers...)
	n, err = k.write(files)
	k.put()
	return n, err
}

// WriteFDs is like [Conn.WriteFiles], but takes descriptors.
func (c *Conn) WriteFDs(p []byte, fds ...int) (n int, err error) {
	k := newCall(c, true)
	k.bufs, k.own, k.fds = append(k.bufs, p), len(fds), append(k.fds[:0], fds...)
	n, err = k.write(nil)
	k.put()
	return n, err
}

// write sends k.bufs with the files, or with the descriptors in k.fds.
func (k *call) write(files []*os.File) (n int, err error) {
	c := k.conn
	err = c.usable()
	switch {
	case err != nil:
	case len(k.bufs) > MaxBuffers:
		err = ErrTooManyBuffers
	case k.own > MaxFDs:
		err = ErrTooManyFDs
	default:
		err = k.addFiles(files)
	}
	if err == nil && c.isStream() && msg.IsEmpty(k.bufs) {
		if k.own+len(files) == 0 {
			return 0, nil
		}
		err = ErrEmptyPayload
	}
	if err == nil {
		err = k.send()
	}
	if err != nil {
		err = c.fail("write", err)
	}
	return k.sent, err
}

// ReadFiles receives up to len(p) bytes and at most max files, which the caller must close, with a single recvmsg(2)
// call. It creates files as [NewFile] does, named "received". p[:n] contains the bytes received. On error, all files
// are closed and files is nil, except with [Config].KeepTruncated:
//
//   - [io.EOF]: the end of a connection, or an empty seqpacket message without files.
//   - [*TruncatedError]: more than max files, or part of the message was lost.
//   - [*ExpectError]: the message does not match [Config].Expect.
//   - [ErrEmptyPayload]: p is empty, on a stream. On other sockets, this loses the payload without an error.
func (c *Conn) ReadFiles(p []byte, max int) (n int, files []*os.File, err error) {
	k := newCall(c, false)
	k.bufs = append(k.bufs, p)
	n, files, err = k.readFiles(max)
	k.put()
	return n, files, err
}

// ReadBuffers is like [Conn.ReadFiles], but fills several buffers, in order.
func (c *Conn) ReadBuffers(buffers [][]byte, max int) (n int, files []*os.File, err error) {
	k := newCall(c, false)
	k.bufs = append(k.bufs, buffers...)
	n, files, err = k.readFiles(max)
	k.put()
	return n, files, err
}

// ReadFDs is like [Conn.ReadFiles], but stores at most len(fds) descriptors in fds. The caller must close
// fds[:nfd]. To implement [io.Reader] with ReadFDs on a stream, return 0, nil yourself if p is empty.
func (c *Conn) ReadFDs(p []byte, fds []int) (n, nfd int, err error) {
	k := newCall(c, false)
	k.bufs = append(k.bufs, p)
	n, nfd, err = k.readFDs(fds)
	k.put()
	return n, nfd, err
}

func (k *call) readFiles(max int) (n int, files []*os.File, err error) {
	n, err = k.read(max)
	if err != nil {
		return n, nil, err
	}
	files, err = makeFiles(k.received())
	a := k.arrival()
	if err == nil && a.isWhole() {
		return n, files, nil
	}
	missing := err != nil || a.lostFDs()
	if err == nil {
		err = k.cause
	}
	lost := a.lost(max, missing, err)
	if !k.conn.config.KeepTruncated {
		closeFiles(files)
		files = nil
	}
	return n, files, lost
}

// readFDs copies the descriptors: fds need not escape to the heap.
func (k *call) readFDs(fds []int) (n, nfd int, err error) {
	n, err = k.read(len(fds))
	if err != nil {
		return n, 0, err
	}
	nfd = copy(fds, k.received())
	if a := k.arrival(); !a.isWhole() {
		return n, nfd, a.lost(len(fds), a.lostFDs(), k.cause)
	}
	return n, nfd, nil
}

// read receives into k.bufs, with at most max descriptors. It returns no error for a truncated message with
// KeepTruncated. On error it closes the received descriptors.
func (k *call) read(max int) (n int, err error) {
	c := k.conn
	err = c.usable()
	switch {
	case err != nil:
	case max > MaxFDs:
		err = ErrTooManyFDs
	case max < 0:
		err = sys.Error("scm: max is "+strconv.Itoa(max), sys.EINVAL)
	case len(k.bufs) > MaxBuffers:
		err = ErrTooManyBuffers
	case msg.IsEmpty(k.bufs) && c.isStream():
		err = errNoBuffer
	default:
		err = c.config.checkCapacity(max)
	}
	if err == nil {
		err = k.receive(max)
	}
	if err != nil {
		return 0, c.fail("read", err)
	}
	a := k.arrival()
	switch {
	case a.isEnd(c.network):
		return 0, io.EOF
	case !a.isWhole() && !c.config.KeepTruncated:
		CloseFDs(k.received()...)
		return a.n, a.lost(max, a.lostFDs(), k.cause)
	}
	return a.n, k.enforce()
}

// enforce closes the received descriptors and returns an *ExpectError unless the Conn expects them.
func (k *call) enforce() error {
	fds := k.received()
	if e := k.conn.expected(len(fds)); e != nil {
		return e.Enforce(fds)
	}
	return nil
}
