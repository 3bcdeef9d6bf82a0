package scm

import (
	"io"
	"os"
	"syscall"
)

// WriteFiles sends p and the files with sendmsg(2). On a stream, it calls sendmsg until it has sent all of
// p, and the first byte carries the files. On datagram and seqpacket sockets p is one message, and may be
// empty. The files stay open and still belong to the caller.
//
// n is the number of bytes of p that were sent. If n > 0, the files were sent too: if you send the rest
// after an error, send it without them. If a file is nil, the error wraps [os.ErrInvalid]. If a file is
// closed, the error wraps [os.ErrClosed]. Other errors are ErrEmptyPayload, ErrTooManyFDs and those
// documented for [Conn].
func (c *Conn) WriteFiles(p []byte, files ...*os.File) (n int, err error) {
	k := newCall(c, true)
	k.bufs = append(k.bufs, p)
	n, err = k.write(files)
	k.put()
	return n, err
}

// WriteBuffers is like [Conn.WriteFiles], but sends the contents of several buffers, in order. If there are
// more than MaxBuffers buffers, the error is ErrTooManyBuffers.
func (c *Conn) WriteBuffers(buffers [][]byte, files ...*os.File) (n int, err error) {
	k := newCall(c, true)
	k.bufs = append(k.bufs, buffers...)
	n, err = k.write(files)
	k.put()
	return n, err
}

// WriteFDs is like [Conn.WriteFiles], but takes descriptors. They stay open and still belong to the caller,
// who must not close them during the call. If one is not open, the error wraps EBADF.
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
	if err == nil && c.isStream() && isEmpty(k.bufs) {
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

// ReadFiles receives up to len(p) bytes and at most max files (max is at most MaxFDs), with a single
// recvmsg(2) call. It creates the files as [NewFile] does, and the caller must close them. On a stream p
// must not be empty (ErrEmptyPayload). The results are:
//
//   - n > 0, with or without files: bytes were received. On a stream on Linux, the files belong to the
//     message that contains the last of these bytes.
//   - n == 0 with files: the message is empty, or p is empty.
//   - 0, nil, io.EOF: the end of a stream or a seqpacket connection. On a seqpacket socket, an empty
//     message without files looks the same. On a datagram socket, such a message is 0, nil, nil.
//   - n, nil, *TruncatedError: part of the message was lost, and ReadFiles closed its files. If files were
//     lost, there were more than max, or the process's descriptor table was full, or the kernel does not
//     report why. If bytes were lost, a datagram or seqpacket message was longer than p, and errors.Is
//     finds [io.ErrShortBuffer]. (An empty p asks for no bytes, so none are lost.) With
//     [Config].KeepTruncated, ReadFiles returns the files along with the error, up to the first lost one.
//   - n, nil, *ExpectError: the message does not match [Config].Expect, and ReadFiles closed its files.
//
// In each case, p[:n] contains the bytes received. A partner can therefore refuse with a reason, in a
// message without files, even if Expect.Min turns that into an *ExpectError.
//
// ReadFiles receives nothing if max is invalid: the error wraps EINVAL if max is negative or less than
// Expect.Min, and is ErrTooManyFDs if max is more than MaxFDs. Other errors are those of [Conn].
//
// With SO_PASSCRED, SO_PASSPIDFD, SO_TIMESTAMP or SO_INQ the kernel adds control data that takes up space
// for files. On such a socket, use [Conn.Recv]. A received socket can have these options set, because its
// sender can set them: turn SO_PASSCRED off with [Conn.PassCred].
func (c *Conn) ReadFiles(p []byte, max int) (n int, files []*os.File, err error) {
	k := newCall(c, false)
	k.bufs = append(k.bufs, p)
	n, files, err = k.readFiles(max)
	k.put()
	return n, files, err
}

// ReadBuffers is like [Conn.ReadFiles], but fills several buffers, in order. A datagram or seqpacket
// message that is longer than all of them together is truncated. If there are more than MaxBuffers buffers,
// the error is ErrTooManyBuffers.
func (c *Conn) ReadBuffers(buffers [][]byte, max int) (n int, files []*os.File, err error) {
	k := newCall(c, false)
	k.bufs = append(k.bufs, buffers...)
	n, files, err = k.readFiles(max)
	k.put()
	return n, files, err
}

// ReadFDs is like [Conn.ReadFiles], but stores descriptors in fds, at most len(fds) of them. The
// descriptors fds[:nfd] are close-on-exec, and the caller must close them, for example with [CloseFDs].
// ReadFDs does not change the rest of fds.
//
// Like ReadFiles, ReadFDs returns [io.EOF] at the end. If it returns a [*TruncatedError], nfd is 0 and the
// descriptors are closed, unless [Config].KeepTruncated is set. In that case, ReadFDs returns them along
// with the error. With any other error nfd is 0. A Read method that calls ReadFDs on a stream must itself
// return 0, nil for an empty p, because ReadFDs returns ErrEmptyPayload in that case.
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
		err = syscall.EINVAL
	case len(k.bufs) > MaxBuffers:
		err = ErrTooManyBuffers
	case isEmpty(k.bufs) && c.isStream():
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
