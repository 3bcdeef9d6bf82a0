package scm

import (
	"io"
	"os"
	"strconv"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// WriteFiles sends p and the files, which stay open. On a stream, it sends all of p, and the first byte carries the
// files. If p is empty, it returns [ErrEmptyPayload], or without files does nothing. A nil file is an error
// ([os.ErrInvalid]), and nothing is sent. On other sockets p is one message. n is the number of bytes sent. If n > 0,
// the files were sent too: after an error, send only p[n:]. If the partner calls CloseRead, a call that is waiting
// continues to wait. On FreeBSD, the call waits forever if a seqpacket message fits only without its files (8,169 to
// 8,192 bytes with one file).
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

// ReadFiles receives up to len(p) bytes and at most max files, with a single recvmsg(2) call. If the message has
// more files, ReadFiles closes all. It creates files as [NewFile] does, and the caller must close them. The results
// are:
//
//   - n, files, nil: a message, or bytes of a stream, perhaps without files. n is 0 if the message or p is
//     empty.
//   - 0, nil, io.EOF: the end of a stream or seqpacket connection, or an empty seqpacket message without files.
//   - n, files, *TruncatedError: the message had more than max files, or part of it was lost. files is nil without
//     KeepTruncated.
//   - n, nil, *ExpectError: the message does not match [Config].Expect, and its files are closed.
//
// In each case p[:n] contains the bytes received. If p is empty, a stream returns [ErrEmptyPayload], and other
// sockets lose the payload without an error. If max is negative, the error wraps EINVAL.
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
