package scm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"

	"github.com/scm-rights/scm/internal/sys"
)

const (
	// MaxFDs is the maximum number of descriptors in a message: the kernel's SCM_MAX_FD.
	MaxFDs = 253

	// MaxBuffers is the maximum number of buffers in a message: the kernel's UIO_MAXIOV.
	MaxBuffers = 1024
)

var (
	// ErrTooManyFDs is returned for more than MaxFDs descriptors, before any system call. It wraps EINVAL.
	ErrTooManyFDs = sys.Error("scm: more than 253 descriptors in a message", sys.EINVAL)

	// ErrTooManyBuffers is returned for more than MaxBuffers buffers, before any system call. It wraps
	// EMSGSIZE.
	ErrTooManyBuffers = sys.Error("scm: more than 1024 buffers in a message", sys.EMSGSIZE)

	// ErrEmptyPayload is returned if a Conn is asked to send files on a stream with an empty payload. Its Recv,
	// ReadFiles, ReadBuffers and ReadFDs return an error that wraps it for an empty buffer on a stream.
	ErrEmptyPayload = errors.New("scm: sending files on a stream socket requires at least one byte of payload")

	// ErrNoFile is returned by a call that expects a file if the message has none. The payload, such as a
	// reason for a refusal, is discarded: to get it, use [Conn.ReadFiles].
	ErrNoFile = errors.New("scm: received a message without a file")

	// ErrNotUnix is returned by NewConn, NewConnFD, NewConnFile and NewListener for anything except a Unix
	// socket.
	ErrNotUnix = sys.ErrNotUnix

	// ErrInUse is returned by Listen, ListenPacket and DialPacket if another socket has the name, or if the path
	// leads to anything other than a stale socket file. It wraps EADDRINUSE.
	ErrInUse = sys.ErrInUse
)

// TruncatedError reports that part of a message was lost. All descriptors received with the message have been
// closed, except as [Config].KeepTruncated describes. Descriptors are also lost if no file can be created from one
// of them.
type TruncatedError struct {
	N int // the number of bytes received, into the caller's buffer if the call has one

	// Received is the number of descriptors that the kernel installed, and Room the number requested. The kernel
	// does not report how many were sent. In an error from ReadFD, both are 0.
	Received, Room int

	// Cause is [io.ErrShortBuffer] if bytes were lost. If descriptors were lost, it is EMSGSIZE if the message
	// carried more than Room, EMFILE or ENFILE if the descriptor table was full, and nil if the reason is not
	// known, as with SO_PASSCRED, in ReadFD on Linux, or in package fdchannel if the table was full. If SO_INQ is
	// set, it is EMSGSIZE even if the message carried only Room descriptors, because the kernel does not report
	// that option. If there are several causes, [errors.Is] finds each, and [errors.As] an [*ExpectError]
	// ([Config].Expect).
	Cause error

	fromReadFD bool // the error is from ReadFD
}

func (e *TruncatedError) Error() string {
	counts := fmt.Sprintf(" (%d received, %d requested)", e.Received, e.Room)
	tooLong := fmt.Sprintf("message was longer than the %d-byte buffer", e.N)
	both, ok := e.Cause.(*bothError)
	switch {
	case ok:
		return "scm: " + tooLong + ", and " + e.describeLoss(both.descriptors, counts)
	case errors.Is(e.Cause, io.ErrShortBuffer) && e.Room == 0:
		return "scm: " + tooLong
	case errors.Is(e.Cause, io.ErrShortBuffer):
		return fmt.Sprintf("scm: %s (descriptors: %d received, %d requested)", tooLong, e.Received, e.Room)
	case e.fromReadFD:
		return "scm: message did not carry exactly one descriptor, or its control data was truncated"
	}
	return "scm: message " + e.describeLoss(e.Cause, counts)
}

// describeLoss describes why descriptors were lost, and how many.
func (e *TruncatedError) describeLoss(cause error, counts string) string {
	switch {
	case (errors.Is(cause, sys.EMSGSIZE) || e.Received > e.Room) && e.Room == 0:
		return "carried descriptors, but none were requested"
	case errors.Is(cause, sys.EMSGSIZE) || e.Received > e.Room:
		return "carried more than the " + descriptors(e.Room) + " requested"
	case cause != nil:
		return "lost descriptors" + counts + ": " + cause.Error()
	}
	return "lost descriptors or other control data" + counts + ": if SO_PASSCRED or SO_PASSPIDFD is set on the socket, turn it off"
}

// Unwrap returns Cause.
func (e *TruncatedError) Unwrap() error { return e.Cause }

// A bothError is the Cause if both bytes and descriptors were lost.
type bothError struct {
	descriptors error // why descriptors were lost, nil if that is not known
}

func (e *bothError) Error() string {
	if e.descriptors == nil {
		return io.ErrShortBuffer.Error()
	}
	return io.ErrShortBuffer.Error() + ", " + e.descriptors.Error()
}

func (e *bothError) Unwrap() []error {
	if e.descriptors == nil {
		return []error{io.ErrShortBuffer}
	}
	return []error{io.ErrShortBuffer, e.descriptors}
}

// A tooManyError is the Cause if a message carried more descriptors than were requested, and more than Expect allows.
type tooManyError struct{ rejected *ExpectError }

func (e *tooManyError) Error() string   { return sys.EMSGSIZE.Error() }
func (e *tooManyError) Unwrap() []error { return []error{sys.EMSGSIZE, e.rejected} }

var (
	errConnLiteral     = sys.Error("scm: the Conn was not created by this package: use scm.NewConn", os.ErrInvalid)
	errListenerLiteral = sys.Error("scm: the Listener was not created by this package: use scm.NewListener", os.ErrInvalid)
)

// nilError returns the error for an argument or receiver that is nil.
func nilError(what string) error { return sys.Error("scm: "+what+" is nil", os.ErrInvalid) }

// checkPresent returns an error if c is nil, a nil pointer of any type, or a Conn or Listener without a
// socket. The methods of package net's connections panic on a nil pointer.
func checkPresent(what string, c any) error {
	if v := reflect.ValueOf(c); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nilError(what)
	}
	if own, ok := c.(interface{ checkLiteral(self any) error }); ok { // a Conn, a Listener, or a struct that embeds one
		return own.checkLiteral(c)
	}
	return nil
}

var errNoWatches = sys.Error("no epoll watches left for this user (sysctl fs.epoll.max_user_watches)", sys.ENOSPC)

// errNoBuffer is the error of a receive from a stream into an empty buffer.
var errNoBuffer = sys.Error("scm: receiving from a stream socket requires a buffer of at least one byte", ErrEmptyPayload)

// A fileError reports which of the files to send caused an error.
type fileError struct {
	index int
	err   error
}

func (e *fileError) Error() string { return fmt.Sprintf("file %d: %v", e.index, e.err) }
func (e *fileError) Unwrap() error { return e.err }

// opError wraps the error of a call that has no Conn yet.
func opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "unix", Err: withoutOp(err)}
}

// withoutOp removes package net's wrapping, so that err can be wrapped again for another call.
func withoutOp(err error) error {
	op, ok := err.(*net.OpError)
	switch {
	case !ok:
		return err
	case op.Err == error(sys.ENOSPC): // from the poller: an error of a system call has its name
		return errNoWatches
	}
	return op.Err
}
