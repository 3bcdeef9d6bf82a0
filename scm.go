// Package scm sends open files between processes over Unix sockets (SCM_RIGHTS),
// with the same system calls, byte for byte, as the classic C code.
//
// # Two backends, one behaviour
//
// Every function is implemented twice. The cgo backend calls the C library in
// csrc, which is written in the style of Stevens' UNIX Network Programming
// §15.7; the pure backend is Go. On Linux both make the same system calls with
// the same bytes and give the same results. [Backend] names the one in use:
//
//   - with cgo, the C library;
//   - without (CGO_ENABLED=0, no C compiler, cross-compilation), with the build
//     tag purego, or on a system that is not Unix, the Go one.
//
// The tag purego chooses the backend of this package even where cgo is on. It
// does not make a program free of C: net and os/user have cgo of their own.
//
// # Descriptors and who owns them
//
// A descriptor is an int, as in C. A send does not take it over: the kernel makes a
// new reference to the open file description, and the descriptor stays open and the
// caller's, whether the call succeeds or fails. A received descriptor is a new one
// for the same open file description: file offset and status flags, O_NONBLOCK
// among them, are shared with the sender. It is close-on-exec, and the caller's to
// close. The kernel installs it so, but on macOS, illumos, Solaris and AIX: see Calls.
// [NewFile] makes an [os.File] of it; use os.NewFile only for files of a sender that you
// trust.
//
// Every descriptor that the kernel installs during a call is returned by that
// call or closed before it returns.
//
// # Files of a stranger
//
// Whoever sends a file may serve it: by FUSE, say. Then close(2), read(2) and fstat(2)
// of it wait for as long as the sender likes, and no deadline or context ends that; a
// child process does not start while its exec closes such a file. Whoever has a pipe or a
// socket in an epoll can hold up its last close, also that of a file which was sent. A call
// that closes descriptors, because they do not fit or are refused, waits as long.
// SECURITY.md says what a partner can do, what this package prevents, and what helps
// against the rest.
//
// # Calls
//
// A call is one system call with the caller's flags and the system's error: nothing
// is retried, EINTR and EAGAIN included. Errors are [os.SyscallError], so that
// errors.Is(err, unix.EPIPE) works. A call with too many descriptors or buffers
// returns [ErrTooManyFDs] or [ErrTooManyBuffers] and makes no system call.
//
// On macOS, illumos, Solaris and AIX a receive first waits, and then takes the
// message while no child process can be started: not all of these systems can
// receive close-on-exec descriptors in one step.
//
// The race detector (go test -race) takes a receive to come after its send if this package
// does both. If another package does one of them, net for example, it can report a race
// where there is none: order such accesses by a channel or a mutex as well.
//
// Windows, WebAssembly and Plan 9 cannot pass descriptors: there the package
// builds, and every call fails with [ErrUnsupported]. On Solaris and illumos the
// pure backend refuses descriptors with it: golang.org/x/sys would drop them.
package scm

import (
	"errors"
	"math"
	"os"

	"github.com/scm-rights/scm/internal/sys"
)

const (
	// MaxFDs is how many descriptors a message can carry: the kernel's
	// SCM_MAX_FD.
	MaxFDs = 253

	// MaxBuffers is how many buffers a message can have: the kernel's
	// UIO_MAXIOV.
	MaxBuffers = 1024
)

var (
	// ErrTooManyFDs is returned before any system call for more than MaxFDs
	// descriptors, or room for more. It wraps EINVAL, which the kernel would
	// return.
	ErrTooManyFDs = sys.Error("scm: more than 253 descriptors in a message", sys.EINVAL)

	// ErrTooManyBuffers is returned before any system call for more than MaxBuffers
	// buffers. It wraps EMSGSIZE, which the kernel would return.
	ErrTooManyBuffers = sys.Error("scm: more than 1024 buffers in a message", sys.EMSGSIZE)

	// ErrUnsupported is wrapped by every error on systems that cannot pass
	// descriptors. It is errors.ErrUnsupported.
	ErrUnsupported = errors.ErrUnsupported
)

// TruncatedError is returned by [ReadFD] and by receives of a [Conn] when N bytes
// were received with control data that the call could not return as asked. All descriptors
// of the message are closed, but for those in Files.
type TruncatedError struct {
	N int // bytes received; they are in the caller's buffer

	// Files are what ReadFiles returned, from a Conn with [Config].KeepTruncated: the
	// first of the files that were sent, in the sender's order, without a gap. They
	// are the caller's to close.
	Files []*os.File

	// Cause is why descriptors are missing, as far as it is known: EMSGSIZE where
	// there was no room for them, EMFILE or ENFILE where no descriptor was free. It
	// is nil where a security module refused, or other control data took the room
	// of files that were asked for; and always for ReadFD.
	Cause error
}

func (e *TruncatedError) Error() string {
	text := "scm: descriptors that came could not all be handed over"
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	if e.Files == nil {
		text += "; what came was closed"
	}
	return text
}

// Unwrap returns Cause.
func (e *TruncatedError) Unwrap() error { return e.Cause }

// WriteFD sends p and the descriptor fd through the socket sock, with one
// sendmsg(2) and no flags, as write_fd of the book. It returns the number of
// bytes sent.
//
// With an empty p a stream socket on Linux sends nothing, loses the descriptor
// and reports success: pass at least one byte. Datagram and seqpacket sockets
// deliver an empty message with its descriptor. A socket that is not AF_UNIX, such as
// of TCP, sends p, drops the descriptor and reports success.
//
// If fd is negative or not open the error is EBADF, and nothing is sent. fd stays
// open and the caller's. On a blocking socket the call blocks a thread while the
// socket's buffer is full.
//
// On error n is -1 and err wraps the errno: EPIPE when the other end is closed,
// EAGAIN, EINTR, EMSGSIZE, …
func WriteFD(sock int, p []byte, fd int) (n int, err error) {
	n, err = writeFD(number(sock), p, number(fd))
	if err != nil {
		return -1, os.NewSyscallError("sendmsg", err)
	}
	return n, nil
}

// ReadFD receives up to len(p) bytes and one descriptor from the socket sock,
// with one recvmsg(2), as read_fd of the book.
//
//   - One descriptor was received: n, fd, nil. fd is close-on-exec and the
//     caller's.
//   - None was received: n, -1, nil. n is 0 at the end of a stream, and for an
//     empty message.
//   - The control data was not exactly one descriptor, or the kernel truncated it:
//     n, -1 and a [*TruncatedError]. ReadFD closes what was received; the n bytes
//     are in p.
//   - The call failed: -1, -1 and an error that wraps the errno.
//
// The room for control data is the book's, CMSG_SPACE(sizeof(int)). On sockets
// with SO_PASSCRED, SO_PASSPIDFD, SO_TIMESTAMP or SO_INQ there is other control data:
// use [Recv] there.
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

// number is a descriptor as the kernel has it. What does not fit is nobody's
// descriptor, and must not become somebody's by losing its upper half.
func number(fd int) int32 {
	if fd < math.MinInt32 || fd > math.MaxInt32 {
		return -1
	}
	return int32(fd)
}
