// Package scm sends open files between processes over Unix sockets (SCM_RIGHTS). It makes the same system
// calls, byte for byte, as the classic C code.
//
// Programs that work with [os.File] use [Conn]. Programs that work with raw descriptors, as in C, use
// [Send] and [Recv], or [WriteFD] and [ReadFD], the counterparts of write_fd and read_fd in W. Richard
// Stevens' UNIX Network Programming (UNP) §15.7.
//
// # Two backends, one behaviour
//
// The cgo backend calls the C library in csrc, which is written in the style of UNP §15.7. The pure backend
// is written in Go. On Linux both make the same system calls with the same bytes. The constant [Backend]
// names the one in use. Builds without cgo and builds with the tag scm_purego use the pure backend. So do
// builds with the tag purego, but in the standard library that tag also removes the assembly code of the
// cryptography: AES-GCM becomes about 45 times slower, and FIPS 140-3 mode fails. Neither tag alone makes a
// program free of C, because packages net and os/user contain cgo code of their own.
//
// # Who owns a descriptor
//
// Sending a descriptor does not transfer its ownership: it stays open and still belongs to the caller,
// whether the call succeeds or fails. A received descriptor is a new descriptor for the same open file
// description. The sender and the receiver therefore share the file offset and the status flags, including
// O_NONBLOCK. A received descriptor is close-on-exec, and the caller must close it. Every descriptor that
// the kernel installs during a call is either returned by that call or closed before it returns.
//
// A received file may live on a FUSE file system that the sender runs. Operations on it, including
// close(2), can then block indefinitely, and no deadline interrupts them. See SECURITY.md.
//
// # Calls that take a descriptor
//
// A function that sends or receives on a socket's descriptor makes one system call with the caller's flags.
// It never retries the call, not even after EINTR or EAGAIN. If the system call fails, the error is an
// [*os.SyscallError], so errors.Is(err, unix.EPIPE) works.
//
// Not every version of macOS, illumos, Solaris and AIX can receive close-on-exec descriptors in one step.
// On these systems, a receive first waits until the socket is ready, and then receives the message while no
// child process can be started. Windows, WebAssembly and Plan 9 cannot pass descriptors: every call fails
// with [errors.ErrUnsupported]. The race detector can report a false race if package net sends a message
// that this package receives.
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
	// MaxFDs is the maximum number of descriptors in a message: the kernel's SCM_MAX_FD.
	MaxFDs = 253

	// MaxBuffers is the maximum number of buffers in a message: the kernel's UIO_MAXIOV.
	MaxBuffers = 1024
)

var (
	// ErrTooManyFDs is returned, before any system call, if a message to send has more than MaxFDs
	// descriptors, or if a receive asks for more. It wraps EINVAL.
	ErrTooManyFDs = sys.Error("scm: more than 253 descriptors in a message", sys.EINVAL)

	// ErrTooManyBuffers is returned, before any system call, if a message has more than MaxBuffers
	// buffers. It wraps EMSGSIZE.
	ErrTooManyBuffers = sys.Error("scm: more than 1024 buffers in a message", sys.EMSGSIZE)

	// ErrEmptyPayload is returned when a Conn is asked to send files on a stream with an empty payload.
	// The kernel would lose the files and report success. A Conn's receive from a stream into an empty
	// buffer returns an error that wraps ErrEmptyPayload.
	ErrEmptyPayload = errors.New("scm: sending files on a stream socket requires at least one byte of payload")

	// ErrNoFile is returned by a call that expects a file if the message has no descriptor. The call
	// discards the payload, even if it says why the partner sent no file. [Conn.ReadFiles] returns the
	// payload.
	ErrNoFile = errors.New("scm: received a message without a file")

	// ErrNotUnix is returned for a connection, listener or descriptor that is not an AF_UNIX socket. On
	// a TCP socket the kernel would report success and drop the descriptors.
	ErrNotUnix = sys.ErrNotUnix

	// ErrInUse is returned by Listen and ListenPacket if another socket already has the name, or if the
	// path leads to anything other than a stale socket file. It wraps EADDRINUSE.
	ErrInUse = sys.Error("scm: the address is in use", sys.EADDRINUSE)
)

// TruncatedError reports that part of a message was lost. Descriptors were lost if the kernel truncated the
// control data, or if the message had more descriptors than the call can return or create files from. Bytes
// were lost if the message was longer than the buffers.
//
// [ReadFD] returns this error, and so do the methods of [Conn] that return files, sockets or descriptors.
// They close all descriptors of the message. With [Config].KeepTruncated, ReadFiles, ReadBuffers and
// ReadFDs instead return the error along with the files or descriptors that precede the first one lost.
type TruncatedError struct {
	N int // the number of bytes received; they are in the caller's buffer

	// Received is the number of descriptors that the kernel installed. Room is the call's capacity, the
	// number that it requested. The kernel does not report how many were sent. Both are 0 in an error from
	// ReadFD, which does not know them.
	Received, Room int

	// Cause is [io.ErrShortBuffer] if the message was longer than the buffers. If descriptors were
	// lost, it is EMSGSIZE if the message carried more than Room, EMFILE or ENFILE if the descriptor
	// table was full, and nil if the reason is not known. If both bytes and descriptors were lost,
	// [errors.Is] finds both causes.
	//
	// On Linux the reason is not known if an option of the socket asks for other control data (SO_PASSCRED,
	// SO_PASSPIDFD, SO_PASSSEC, SO_TIMESTAMP, …), because that data sets MSG_CTRUNC too if it does not fit.
	// Linux does not report whether SO_INQ is set. With that option, Cause can be EMSGSIZE although the
	// message carried no more than Room.
	Cause error

	pair bool // the error is from ReadFD
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
	case e.pair:
		return "scm: message did not carry exactly one descriptor, or its control data was truncated"
	}
	return "scm: message " + e.describeLoss(e.Cause, counts)
}

// describeLoss describes why descriptors were lost, and how many.
func (e *TruncatedError) describeLoss(cause error, counts string) string {
	switch {
	case errors.Is(cause, sys.EMSGSIZE) || e.Received > e.Room:
		return "carried more descriptors than requested" + counts
	case cause != nil:
		return "lost descriptors" + counts + ": " + cause.Error()
	}
	return "lost descriptors or other control data" + counts
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

// WriteFD sends p and the descriptor fd through the socket sock, with a single sendmsg(2) call and no
// flags, like write_fd in UNP. It returns the number of bytes sent. fd stays open and still belongs to the
// caller.
//
// On a stream, pass at least one byte: with an empty p, Linux sends nothing, loses the descriptor and
// reports success. If sock is not an AF_UNIX socket, the kernel sends p and drops the descriptor.
//
// If an error occurs, n is -1 and err wraps the errno: EPIPE if the other end is closed, EAGAIN, EINTR,
// EMSGSIZE, … If fd is not open, the error is EBADF and nothing is sent.
func WriteFD(sock int, p []byte, fd int) (n int, err error) {
	n, err = writeFD(toInt32(sock), p, toInt32(fd))
	if err != nil {
		return -1, os.NewSyscallError("sendmsg", err)
	}
	return n, nil
}

// ReadFD receives up to len(p) bytes and one descriptor from the socket sock, with a single recvmsg(2)
// call, like read_fd in UNP. The results are:
//
//   - n, fd, nil: one descriptor was received. It is close-on-exec, and the caller must close it.
//   - n, -1, nil: no descriptor was received. n is 0 at the end of a stream, and for an empty message.
//   - n, -1 and a [*TruncatedError]: the control data was not exactly one descriptor, or the kernel
//     truncated it. ReadFD closes all received descriptors. The n bytes are in p.
//   - -1, -1 and an error that wraps the errno: the call failed.
//
// If a datagram or seqpacket message is longer than p, the rest of it is lost. ReadFD does not report that,
// but [Recv] does.
//
// The control buffer has the size that UNP uses, CMSG_SPACE(sizeof(int)). On a socket with SO_PASSCRED,
// SO_PASSPIDFD, SO_TIMESTAMP or SO_INQ the kernel adds other control data: use [Recv] there.
func ReadFD(sock int, p []byte) (n, fd int, err error) {
	n, got, err := readOne(toInt32(sock), p)
	switch {
	case err != nil:
		return -1, -1, os.NewSyscallError("recvmsg", err)
	case got == fdLost:
		return n, -1, &TruncatedError{N: n, pair: true}
	}
	return n, int(got), nil
}

// toInt32 converts a descriptor to the kernel's type. A value that does not fit becomes -1.
func toInt32(fd int) int32 { return msg.Number(fd) }
