package scm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrEmptyPayload is returned for files without a byte on a stream, where the
// kernel would lose them and report success; and for a receive without room for a
// byte, which would take the descriptors and leave their bytes in the queue.
var ErrEmptyPayload = errors.New("scm: a stream carries no files without a byte")

// WriteFiles sends p with the files. On a stream the whole of p is written, and
// the files go with its first byte and only then; on datagram and seqpacket
// sockets p is one message, and may be empty.
//
// The files stay open and the caller's, whether the call succeeds or fails, and
// their blocking mode stays as it is. They are held open during each system
// call; one that is closed while the call waits is an error.
//
// n is how many bytes of p were sent. If n > 0 the files were sent too: do not send
// them again with the rest. If n == 0 with an error, nothing was sent.
//
// Errors are ErrEmptyPayload, ErrTooManyFDs, [os.ErrInvalid] for a nil file and
// [os.ErrClosed] for a closed one, [net.ErrClosed] for a closed Conn, which is
// os.ErrClosed too, or wrap the errno: EPIPE, EMSGSIZE for a message that is too
// large, ETOOMANYREFS, …
func (c *Conn) WriteFiles(p []byte, files ...*os.File) (n int, err error) {
	k := newCall(c)
	defer k.put()
	err = c.usable()
	if err == nil {
		err = k.addFiles(files)
	}
	if err == nil && c.isStream() && len(p) == 0 {
		if len(files) == 0 {
			return 0, nil
		}
		err = ErrEmptyPayload
	}
	if err == nil {
		err = k.send(context.Background(), p)
	}
	return k.sent, c.fail("write", err)
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

// ReadFiles receives up to len(p) bytes, and files, of which there is room for max,
// at most MaxFDs. The files are close-on-exec and the caller's to close; their Name
// is of no use, and so is [os.DirEntry].Info of a folder: see [NewFile]. They share
// the status flags with the sender: see [Nonblock]. The files are as NewFile makes
// them: pipes and sockets that do not block are in the runtime's poller, and no other
// file is. The process loses its fcntl(F_SETLK) locks on received files, as NewFile says.
//
//   - n > 0, with or without files: bytes were received. On a stream the files
//     belong to the message with the last byte.
//   - n == 0 with files: an empty message, or p is empty.
//   - 0, nil, io.EOF: the end of a stream; on a seqpacket socket also an empty
//     message. On a datagram socket that is 0, nil, nil.
//   - n, nil, *TruncatedError: files are missing, because there was no room for
//     them in max, or in the process's table (a file that is no pipe or socket
//     takes a second descriptor while it is received), or for another reason. The n
//     bytes are in p. ReadFiles closes the files. If the Conn has
//     [Config].KeepTruncated, the files before the first that is missing are
//     returned with the error.
//
// On a stream p must have a byte (ErrEmptyPayload). The rest of a longer message
// is lost on datagram and seqpacket sockets; where p is empty that is n == 0, the files and nil.
// On a socket with SO_PASSCRED, SO_PASSPIDFD, SO_TIMESTAMP or SO_INQ there is other
// control data, for which there is no room: use Recv there.
func (c *Conn) ReadFiles(p []byte, max int) (n int, files []*os.File, err error) {
	if err := c.usable(); err != nil {
		return 0, nil, c.fail("read", err)
	}
	switch {
	case max > MaxFDs:
		return 0, nil, c.fail("read", ErrTooManyFDs)
	case max < 0:
		return 0, nil, c.fail("read", syscall.EINVAL)
	case len(p) == 0 && c.isStream():
		return 0, nil, c.fail("read", ErrEmptyPayload)
	}
	k := newCall(c)
	defer k.put()
	if err := k.receive(context.Background(), p, max); err != nil {
		return 0, nil, c.fail("read", err)
	}
	n = k.msg.N
	switch {
	case k.isEnd():
		return 0, nil, io.EOF
	case k.cut() && !c.config.KeepTruncated:
		k.closeReceived()
		return n, nil, &TruncatedError{N: n, Cause: k.cause}
	}
	files, err = k.takeFiles()
	if err != nil && !c.config.KeepTruncated {
		for _, f := range files {
			_ = f.Close()
		}
		return n, nil, &TruncatedError{N: n, Cause: err}
	}
	if k.cut() {
		err = k.cause
	}
	if k.cut() || err != nil {
		return n, files, &TruncatedError{N: n, Files: files, Cause: err}
	}
	return n, files, nil
}

// fileError says which of the files to send it is about.
type fileError struct {
	index int
	err   error
}

func (e *fileError) Error() string { return fmt.Sprintf("file %d: %v", e.index, e.err) }
func (e *fileError) Unwrap() error { return e.err }
