// Package scm sends open files between processes over Unix sockets (SCM_RIGHTS),
// with the same system calls, byte for byte, as the classic C code.
//
// Programs that work with [os.File] use [Conn]. Programs that work with descriptor numbers, as
// in C, use [Send] and [Recv], or the pair of the book, [WriteFD] and [ReadFD].
//
// # Two backends, one behaviour
//
// The cgo backend calls the C library in csrc, in the style of Stevens' UNIX Network Programming
// §15.7; the pure backend is Go. On Linux both make the same system calls with the same bytes.
// [Backend] names the one in use: the Go one without cgo or with the build tag purego, which does
// not make a program free of C: net and os/user have cgo of their own.
//
// # Who owns a descriptor
//
// A send does not take a descriptor over: it stays open and the caller's, whether the call succeeds
// or fails. A received descriptor is a new one for the same open file description: offset and status
// flags, O_NONBLOCK among them, are shared with the sender. It is close-on-exec, and the caller's to
// close. Every descriptor that the kernel installs during a call is returned by that call or closed
// before it returns.
//
// Whoever sends a file may serve it, by FUSE for example: then calls on it wait for as long as the
// sender likes, close(2) too, and no deadline ends that. See SECURITY.md.
//
// # Calls with a number
//
// A call with a descriptor number is one system call with the caller's flags: nothing is retried,
// EINTR and EAGAIN included. Errors are [os.SyscallError], so that errors.Is(err, unix.EPIPE) works.
//
// On macOS, illumos, Solaris and AIX a receive first waits, and then takes the message while no child
// process can be started, as not all of them receive close-on-exec descriptors in one step. Windows,
// WebAssembly and Plan 9 cannot pass descriptors: there every call fails with [errors.ErrUnsupported]. The
// race detector can report a race where there is none if package net sends what is received.
package scm

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

const (
	// MaxFDs is how many descriptors a message can carry: the kernel's SCM_MAX_FD.
	MaxFDs = 253

	// MaxBuffers is how many buffers a message can have: the kernel's UIO_MAXIOV.
	MaxBuffers = 1024
)

var (
	// ErrTooManyFDs is returned before any system call for more than MaxFDs descriptors, or
	// room for more. It wraps EINVAL.
	ErrTooManyFDs = sys.Error("scm: more than 253 descriptors in a message", sys.EINVAL)

	// ErrTooManyBuffers is returned before any system call for more than MaxBuffers buffers.
	// It wraps EMSGSIZE.
	ErrTooManyBuffers = sys.Error("scm: more than 1024 buffers in a message", sys.EMSGSIZE)

	// ErrEmptyPayload is returned for files without a byte on a stream, where the kernel would
	// lose them and report success; and for a receive from a stream without room for a byte.
	ErrEmptyPayload = errors.New("scm: a stream carries no files without a byte")

	// ErrNoFile is returned for a message without a descriptor where the call expects a file.
	ErrNoFile = errors.New("scm: a message was received without a file")

	// ErrNotUnix is returned for what is no AF_UNIX socket. Over TCP the kernel would report
	// success and drop the descriptors.
	ErrNotUnix = sys.ErrNotUnix

	// ErrInUse is returned by Listen and ListenPacket for a name that a socket has, and for a
	// path at which there is something other than a stale socket file. It wraps EADDRINUSE.
	ErrInUse = sys.Error("scm: the address is in use", sys.EADDRINUSE)
)

// TruncatedError is returned by [ReadFD] and by receives of a [Conn] that received only a part of a
// message. Descriptors are missing: the kernel truncated the control data, or more arrived than the
// call can return or make files of. Or bytes are missing: the message was longer than the buffers.
// All descriptors are closed, except those in Files.
type TruncatedError struct {
	N int // bytes received; they are in the caller's buffer

	// Received is how many descriptors the kernel installed, and Room how many the call
	// asked for. ReadFD does not know: both are 0.
	Received, Room int

	// Files are the first files, without a gap, if the Conn has [Config].KeepTruncated.
	Files []*os.File

	// Cause is [io.ErrShortBuffer] if the message was longer than the buffers. If descriptors
	// are missing it is EMSGSIZE if there were more than Room, EMFILE or ENFILE if the
	// descriptor table was full, and nil if the reason is not known. If both bytes and
	// descriptors are missing, [errors.Is] finds both causes.
	Cause error
}

func (e *TruncatedError) Error() string {
	tooLong := fmt.Sprintf("the message was longer than the %d-byte buffer", e.N)
	text := "scm: "
	both, ok := e.Cause.(*bothError)
	switch {
	case ok:
		text += tooLong + ", and " + e.missing(both.descriptors)
	case errors.Is(e.Cause, io.ErrShortBuffer):
		if text += tooLong; e.Received == 0 {
			return text
		}
	default:
		text += e.missing(e.Cause)
	}
	if e.Files == nil {
		text += "; all descriptors are closed"
	}
	return text
}

// missing says why descriptors are missing.
func (e *TruncatedError) missing(cause error) string {
	switch {
	case e.Room == 0 && e.Received == 0 && cause == nil:
		return "not exactly one descriptor was received, or other control data is missing"
	case e.Received > e.Room:
		return fmt.Sprintf("%s received, not %d", were(e.Received), e.Room)
	case errors.Is(cause, sys.EMSGSIZE) && e.Room == 0:
		return "the message carried descriptors, but none was requested"
	case errors.Is(cause, sys.EMSGSIZE):
		return fmt.Sprintf("the message carried more than the %s requested", descriptors(e.Room))
	case cause != nil:
		return fmt.Sprintf("descriptors are missing, %s received: %v", were(e.Received), cause)
	}
	return fmt.Sprintf("descriptors or other control data are missing, %s received", were(e.Received))
}

// Unwrap returns Cause.
func (e *TruncatedError) Unwrap() error { return e.Cause }

// A bothError is the Cause if bytes and descriptors are missing.
type bothError struct {
	descriptors error // why they are missing, nil if that is not known
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

// WriteFD sends p and the descriptor fd through the socket sock, with one sendmsg(2) and no
// flags, as write_fd of the book. It returns the number of bytes sent.
//
// On a stream, pass at least one byte: with an empty p Linux sends nothing, loses the descriptor
// and reports success. A socket that is not AF_UNIX sends p and drops the descriptor. If fd is not
// open the error is EBADF, and nothing is sent. On error n is -1 and err wraps the errno: EPIPE
// when the other end is closed, EAGAIN, EINTR, EMSGSIZE, …
func WriteFD(sock int, p []byte, fd int) (n int, err error) {
	n, err = writeFD(number(sock), p, number(fd))
	if err != nil {
		return -1, os.NewSyscallError("sendmsg", err)
	}
	return n, nil
}

// ReadFD receives up to len(p) bytes and one descriptor from the socket sock, with one
// recvmsg(2), as read_fd of the book.
//
//   - One descriptor came: n, fd, nil. fd is close-on-exec and the caller's.
//   - None came: n, -1, nil. n is 0 at the end of a stream, and for an empty message.
//   - The control data was not exactly one descriptor, or the kernel truncated it: n, -1 and a
//     [*TruncatedError]. ReadFD closes what was received; the n bytes are in p.
//   - The call failed: -1, -1 and an error that wraps the errno.
//
// If a datagram or seqpacket message is longer than p, the rest of it is lost. ReadFD does not report
// that, but [Recv] does.
//
// The room for control data is the book's, CMSG_SPACE(sizeof(int)). On sockets with SO_PASSCRED,
// SO_PASSPIDFD, SO_TIMESTAMP or SO_INQ there is other control data: use [Recv] there.
func ReadFD(sock int, p []byte) (n, fd int, err error) {
	n, got, err := readOne(number(sock), p)
	switch {
	case err != nil:
		return -1, -1, os.NewSyscallError("recvmsg", err)
	case got == fdLost:
		return n, -1, &TruncatedError{N: n}
	}
	return n, int(got), nil
}

// number is a descriptor as the kernel has it.
func number(fd int) int32 { return msg.Number(fd) }
