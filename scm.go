// Package scm passes open files between processes over Unix sockets
// (SCM_RIGHTS), as the C does it.
//
// # Two backends, one behaviour
//
// Every function is implemented twice. The cgo backend calls the C library in
// csrc, which is written in the style of Stevens' UNIX Network Programming
// §15.7; the pure backend is Go. On Linux both make the same system calls with
// the same bytes and give the same results. [Backend] names the one in use:
//
//   - with cgo, the C library;
//   - without (CGO_ENABLED=0, no C compiler, cross-compilation), or with the
//     build tag purego, the Go one.
//
// The tag purego chooses the backend of this package even where cgo is on. It
// does not make a program free of C: net and os/user have cgo of their own.
//
// # Descriptors and who owns them
//
// A descriptor is a number, as in C. Sending does not take it over: the kernel
// makes a new reference to the open file description, and the caller's number
// stays open and the caller's, whether the call succeeds or fails. A received
// descriptor is a new number for the very same open file description: file
// offset and status flags, O_NONBLOCK among them, are shared with the sender.
// It is close-on-exec from the first instant, and the caller's to close.
//
// Every descriptor that the kernel installs during a call is returned by that
// call or closed before it returns.
//
// # Calls
//
// A call is one system call with the caller's flags and the system's error:
// nothing is retried, EINTR and EAGAIN included. Errors are
// [os.SyscallError], so that errors.Is(err, unix.EPIPE) tells what went wrong.
// What the arguments alone show to be wrong is refused before the system call,
// with [ErrTooManyFDs] or [ErrTooManyBuffers].
//
// On macOS, illumos, Solaris and AIX, which cannot receive close-on-exec
// descriptors in one step, a receive waits first and then takes the message
// while no child process can be started.
//
// Windows, WebAssembly and Plan 9 cannot pass descriptors: there the package
// builds, and every call fails with [ErrUnsupported].
package scm

import (
	"errors"
	"math"
	"os"
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
	// descriptors, or room for more. It wraps EINVAL, which is what the
	// kernel would say.
	ErrTooManyFDs error = &limitError{"scm: more than 253 descriptors in a message", errnoTooManyFDs}

	// ErrTooManyBuffers is returned before any system call for more than
	// MaxBuffers buffers. It wraps EMSGSIZE, which is what the kernel would
	// say.
	ErrTooManyBuffers error = &limitError{"scm: more than 1024 buffers in a message", errnoTooManyBuffers}

	// ErrUnsupported is wrapped by every error on systems that cannot pass
	// descriptors. It is errors.ErrUnsupported.
	ErrUnsupported = errors.ErrUnsupported
)

// limitError is a limit that was checked before the system call, with the
// errno that the kernel has for it.
type limitError struct {
	text  string
	errno error
}

func (e *limitError) Error() string { return e.text }
func (e *limitError) Unwrap() error { return e.errno }

// TruncatedError is returned by [ReadFD] when its N bytes came with control
// data that it could not hand over: not exactly one descriptor, or control
// that the kernel cut. All descriptors that came are closed.
type TruncatedError struct {
	N int // bytes received; they are in the caller's buffer
}

func (e *TruncatedError) Error() string {
	return "scm: control data was cut or did not hold exactly one descriptor; what came was closed"
}

// Message is one whole message, to send or received.
type Message struct {
	// Buffers hold the payload: they are sent one after the other, and filled
	// one after the other. At most MaxBuffers.
	Buffers [][]byte

	// FDs are the descriptors to send; on receipt, len(FDs) is the room for
	// what may come. At most MaxFDs.
	FDs []int

	// N is the number of payload bytes sent or received, 0 after an error.
	// With the flag MSG_TRUNC, a receive from a datagram or seqpacket socket
	// sets it to the length of the whole message.
	N int

	// NFD is the number of descriptors received, which are FDs[:NFD]; 0 after
	// an error. Send does not set it.
	NFD int

	// Flags is what the kernel said of a received message: MSG_CTRUNC,
	// MSG_TRUNC, MSG_EOR, … without MSG_CMSG_CLOEXEC; 0 after an error. Send
	// does not set it.
	Flags int
}

// WriteFD sends p and the descriptor fd through the socket sock, with one
// sendmsg(2) and no flags, as write_fd of the book. It returns the number of
// bytes sent.
//
// With an empty p a stream socket on Linux sends nothing, loses the descriptor
// and reports success: pass at least one byte. Datagram and seqpacket sockets
// deliver an empty message with its descriptor.
//
// The kernel is given fd as it is: a negative or closed one is EBADF, and
// nothing is sent. fd stays open and the caller's. On a blocking socket the
// call blocks a thread while the socket's buffer is full.
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
//   - A descriptor came: n, fd, nil. fd is close-on-exec and the caller's.
//   - None came: n, -1, nil. n is 0 at the end of a stream, and for an empty
//     message.
//   - Control data came that was not exactly one descriptor, or that the
//     kernel had to cut: n, -1 and a [*TruncatedError]. What came is closed,
//     and the n bytes are in p.
//   - The call failed: -1, -1 and an error that wraps the errno.
//
// The room for control data is the book's, CMSG_SPACE(sizeof(int)). On sockets
// with SO_PASSCRED, SO_PASSPIDFD or SO_TIMESTAMP other control data takes it:
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

// Send sends m.Buffers and m.FDs through the socket sock as one message, with
// one sendmsg(2) and the given flags, and sets m.N to the number of bytes sent.
// On a stream socket that can be less than all; the descriptors have then gone
// with the first byte, and must not be sent again with the rest.
//
// With an empty payload a stream socket on Linux sends nothing, loses the
// descriptors and reports success: pass at least one byte. Datagram and
// seqpacket sockets deliver an empty message with its descriptors.
//
// Without descriptors there is no control data. The kernel is given the numbers
// as they are: if one is negative or closed the error is EBADF, and nothing is
// sent. All stay open and the caller's. Add MSG_NOSIGNAL in programs in which
// SIGPIPE kills, as it may in a c-shared library.
//
// Errors are ErrTooManyFDs, ErrTooManyBuffers, or wrap the errno: EPIPE,
// EAGAIN, EINTR, EMSGSIZE, ETOOMANYREFS, …; then nothing was sent.
func Send(sock int, m *Message, flags int) error {
	m.N = 0
	var nums [MaxFDs]int32
	if err := checkLimits(m); err != nil {
		return err
	}
	for i, fd := range m.FDs {
		nums[i] = number(fd)
	}
	n, err := sendMsg(number(sock), m.Buffers, nums[:len(m.FDs)], flags)
	if err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	m.N = n
	return nil
}

// Recv receives one message, or bytes of a stream, from the socket sock into
// m.Buffers and m.FDs, with one recvmsg(2) and the given flags, to which
// MSG_CMSG_CLOEXEC is added. It sets m.N, m.NFD and m.Flags.
//
// m.FDs[:m.NFD] are close-on-exec and the caller's to close. No more than
// len(m.FDs) are returned; what does not fit is closed, by the kernel or by
// Recv. That is no error: MSG_CTRUNC in m.Flags says that something is missing.
// It can also mean that the process has no number free, or that a security
// module refused. The end of a stream is m.N == 0 with no descriptors.
//
// On a socket with SO_PASSCRED, SO_PASSPIDFD or SO_TIMESTAMP other control data
// takes room from the descriptors.
//
// Errors are ErrTooManyFDs, ErrTooManyBuffers, or wrap the errno: EAGAIN,
// EINTR, ENOTCONN, …; then nothing was received.
func Recv(sock int, m *Message, flags int) error {
	m.N, m.NFD, m.Flags = 0, 0, 0
	if err := checkLimits(m); err != nil {
		return err
	}
	var nums [MaxFDs]int32
	n, nfd, rflags, err := recvOne(number(sock), m.Buffers, nums[:len(m.FDs)], flags)
	if err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	for i, fd := range nums[:nfd] {
		m.FDs[i] = int(fd)
	}
	m.N, m.NFD, m.Flags = n, nfd, rflags
	return nil
}

func checkLimits(m *Message) error {
	if len(m.FDs) > MaxFDs {
		return ErrTooManyFDs
	}
	if len(m.Buffers) > MaxBuffers {
		return ErrTooManyBuffers
	}
	return nil
}

// number is a descriptor as the kernel has it. What does not fit is nobody's
// descriptor, and must not become somebody's by losing its upper half.
func number(fd int) int32 {
	if fd < math.MinInt32 || fd > math.MaxInt32 {
		return -1
	}
	return int32(fd)
}
