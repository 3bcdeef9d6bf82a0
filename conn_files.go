package scm

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// errNoBuffer is ErrEmptyPayload of a receive.
var errNoBuffer = sys.Error("scm: a receive from a stream needs a buffer of at least one byte", ErrEmptyPayload)

// WriteFiles sends p with the files. On a stream the whole of p is written, and the files go with
// its first byte and only then; on datagram and seqpacket sockets p is one message, and may be
// empty. The files stay open and the caller's.
//
// n is how many bytes of p were sent. If n > 0 the files were sent too: do not send them again with
// the rest. Errors are ErrEmptyPayload, ErrTooManyFDs, [os.ErrInvalid] for a nil file and
// [os.ErrClosed] for a closed one, and those of [Conn].
func (c *Conn) WriteFiles(p []byte, files ...*os.File) (n int, err error) {
	k := newCall(c, true)
	k.bufs = append(k.bufs, p)
	n, err = k.write(files)
	k.put()
	return n, err
}

// WriteBuffers is [Conn.WriteFiles] of the buffers one behind the other, at most MaxBuffers
// (ErrTooManyBuffers).
func (c *Conn) WriteBuffers(buffers [][]byte, files ...*os.File) (n int, err error) {
	k := newCall(c, true)
	k.bufs = append(k.bufs, buffers...)
	n, err = k.write(files)
	k.put()
	return n, err
}

// WriteFDs is [Conn.WriteFiles] with descriptors as numbers, which stay open and the caller's, and
// must not be closed during the call. EBADF is the error of one that is not open.
func (c *Conn) WriteFDs(p []byte, fds ...int) (n int, err error) {
	k := newCall(c, true)
	k.bufs, k.own, k.fds = append(k.bufs, p), len(fds), append(k.fds[:0], fds...)
	n, err = k.write(nil)
	k.put()
	return n, err
}

// write sends k.bufs with the files, or with the numbers in k.fds.
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

func (k *call) addFiles(files []*os.File) error {
	if len(files) > MaxFDs {
		return ErrTooManyFDs
	}
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return &fileError{i, err}
		}
		k.files = append(k.files, raw)
	}
	return nil
}

// ReadFiles receives up to len(p) bytes, and files, of which there is room for max, at most MaxFDs.
// The files are as [NewFile] makes them, and the caller's to close. On a stream p must have a byte
// (ErrEmptyPayload).
//
//   - n > 0, with or without files: bytes were received. On a stream the files are of the message
//     with the last byte.
//   - n == 0 with files: an empty message, or p is empty.
//   - 0, nil, io.EOF: the end of a stream; on a seqpacket socket also an empty message. On a
//     datagram socket that is 0, nil, nil.
//   - n, nil, *TruncatedError: a part of the message is missing, and ReadFiles closed its files.
//     Either files are missing, for example because there were more than max or the process's
//     descriptor table was full. Or bytes are missing: a datagram or seqpacket message was longer
//     than p, and the error is [io.ErrShortBuffer] to errors.Is. (An empty p asks for no bytes, so
//     none are missing.) With [Config].KeepTruncated ReadFiles returns the files along with the
//     error, up to the first that is missing.
//   - n, nil, *ExpectError: [Config].Expect does not allow the files. ReadFiles closes them. If it
//     wants more than max files the error is EINVAL, and nothing was received.
//
// On a socket with SO_PASSCRED, SO_PASSPIDFD, SO_TIMESTAMP or SO_INQ there is other control data, for
// which there is no room: use Recv there.
func (c *Conn) ReadFiles(p []byte, max int) (n int, files []*os.File, err error) {
	k := newCall(c, false)
	k.bufs = append(k.bufs, p)
	n, files, err = k.read(max)
	k.put()
	return n, files, err
}

// ReadBuffers is [Conn.ReadFiles] into the buffers, one behind the other, of which there are at most
// MaxBuffers (ErrTooManyBuffers). A message that is longer than all of them together is truncated.
func (c *Conn) ReadBuffers(buffers [][]byte, max int) (n int, files []*os.File, err error) {
	k := newCall(c, false)
	k.bufs = append(k.bufs, buffers...)
	n, files, err = k.read(max)
	k.put()
	return n, files, err
}

// read receives into k.bufs.
func (k *call) read(max int) (n int, files []*os.File, err error) {
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
		err = c.config.checkRoom(max)
	}
	if err == nil {
		err = k.receive(max)
	}
	if err != nil {
		return 0, nil, c.fail("read", err)
	}
	n = k.msg.N
	switch {
	case k.isEnd():
		return 0, nil, io.EOF
	case (k.truncated() || k.short()) && !c.config.KeepTruncated:
		k.closeReceived()
		return n, nil, k.lost(k.why(k.truncated(), k.cause))
	}
	if err := k.verify(); err != nil {
		return n, nil, err
	}
	files, err = k.takeFiles()
	missing := err != nil || k.truncated()
	if !missing && !k.short() {
		return n, files, nil
	}
	if err == nil {
		err = k.cause
	}
	lost := k.lost(k.why(missing, err))
	if c.config.KeepTruncated {
		lost.Files = files
		return n, files, lost
	}
	for _, f := range files {
		_ = f.Close()
	}
	return n, nil, lost
}

// verify holds the received descriptors to Config.Expect, and closes them if one is wrong.
func (k *call) verify() error {
	if k.conn.config.Expect == nil {
		return nil
	}
	return k.conn.config.Expect.Check(k.msg.FDs[:k.msg.NFD])
}

// takeFiles makes files of the received descriptors. It returns those before the
// first of which none can be made, so that each has the place that the sender gave it,
// and closes the others: err says why.
func (k *call) takeFiles() (files []*os.File, err error) {
	if k.msg.NFD == 0 {
		return nil, nil
	}
	files = make([]*os.File, 0, k.msg.NFD)
	for _, fd := range k.msg.FDs[:k.msg.NFD] {
		var f *os.File
		if err == nil {
			f, err = newFile(fd, "received")
		}
		if err != nil {
			sys.Close(fd)
			continue
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, err
	}
	return files, err
}

// fileError says which of the files to send it is about.
type fileError struct {
	index int
	err   error
}

func (e *fileError) Error() string { return fmt.Sprintf("file %d: %v", e.index, e.err) }
func (e *fileError) Unwrap() error { return e.err }
