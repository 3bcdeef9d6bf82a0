// Package wire passes descriptors in the formats of well-known programs. A format defines the payload sent
// with the descriptors, the length of the control data, which messages a receiver rejects, and whether it
// acknowledges messages.
//
// # Sockets
//
// A [Format] sends and receives on a [Socket]: a [*scm.Conn], or the descriptor of a socket as an [FD]. The
// socket must be a Unix socket of the type that Network returns. The functions do not check this. On a TCP
// socket, the kernel drops the descriptors and reports success. If a stream format is used on a datagram or
// seqpacket socket, Recv rejects a message that is longer than its buffer, because the rest would be lost.
// Send and Recv return when they have sent or received a whole message.
//
// # Using a Conn as the socket
//
// A Conn's deadlines apply to a Send or Recv as a whole. Close interrupts a call that is waiting. If a
// message takes more than one system call, a concurrent call in the same direction can interleave with it.
// Make only one call in each direction at a time.
//
// The Conn's Config.Expect applies to every receive. If it rejects a message, the error is an
// [*scm.ExpectError]. Its Min does not apply to the stream formats, because a message can take more than
// one receive. Min does apply to [Notify] and [GVisor].
//
// # Using a descriptor as the socket
//
// The socket of an FD should be blocking. Send and Recv retry a system call that fails with EINTR. Each
// retry restarts the time limits described below.
//
// SO_RCVTIMEO and SO_SNDTIMEO limit each system call, not a Send or Recv as a whole. A partner that sends
// one byte at a time restarts the limit with each byte. When the limit expires, the error wraps EAGAIN, as
// it does when a call on a non-blocking socket would block.
//
// To give the whole call a deadline, call shutdown(2) on the socket when the deadline passes. A Recv that
// is waiting then returns io.EOF or io.ErrUnexpectedEOF, or an empty message on a datagram socket, and
// closes the descriptors that it has received. A Send that is waiting returns EPIPE. The shutdown ends the
// connection for every process that shares the open file description. It does not interrupt a Send that is
// waiting because the queue of a datagram receiver is full, as can happen with [Notify]. To limit such a
// Send, set SO_SNDTIMEO or use a non-blocking socket. SO_SNDTIMEO does not interrupt [NotifyBarrier]. Only
// its ctx does.
//
// # Either socket
//
// Send passes MSG_NOSIGNAL. If the other end is closed, Send fails with EPIPE instead of raising SIGPIPE.
//
// The SO_PASSCRED option should be off (see scm.PassCred, and PassCredentials= in systemd). If it is on,
// the kernel adds credentials, which take up the space for descriptors. Most formats then reject every
// message as truncated.
//
// No time limit or deadline applies while Recv closes descriptors that it rejects. The sender can make
// close(2) block by passing a file whose server does not answer (FUSE), or a socket with SO_LINGER.
//
// # Errors
//
// On a stream, the conversation cannot continue after one of these errors, and the caller should close the
// socket:
//
//   - io.EOF: the other end closed the connection between two messages.
//   - io.ErrUnexpectedEOF: the other end closed the connection in the middle of a message.
//   - A *FormatError or an *scm.ExpectError returned by Recv: the rest of the rejected message may still be
//     unread, and the next Recv would mistake it for the beginning of a message.
//   - A timeout (os.ErrDeadlineExceeded with a Conn, EAGAIN with an FD): part of a message may have been
//     sent or received. Recv has closed the descriptors of the part that it received.
//   - Any other system error, such as EPIPE or ECONNRESET.
//
// These errors affect only one message, and the conversation can continue:
//
//   - A *FormatError returned by Send, unless it concerns an acknowledgement: nothing was sent.
//   - EBADF, because a descriptor to send is not open, or ETOOMANYREFS: nothing was sent.
//   - An [*APUEError]: the whole message was read.
//   - An error from scm.NewFile, returned by [RecvFiles]: the whole message was read.
//
// On a datagram or seqpacket socket, each system call sends or receives one whole message. A *FormatError,
// an *scm.ExpectError or a timeout therefore affects only one message, and io.ErrUnexpectedEOF does not
// occur. The conversation ends with io.EOF on a seqpacket socket, and with an error that means that the
// other end is closed (EPIPE, ECONNRESET or ECONNREFUSED).
//
// If the kernel truncated a message's control data (MSG_CTRUNC), Recv returns a *FormatError, not an
// *scm.TruncatedError.
//
// # Ownership of descriptors
//
// Send leaves its descriptors open, whether it succeeds or fails, and the caller still owns them. The
// descriptors that Recv returns are close-on-exec, and the caller must close them. If Recv fails, it closes
// every descriptor that it received and returns none.
//
// The programs themselves are often less careful. On 64-bit systems, a control buffer with space for one
// descriptor also has space for a second, and most programs leave the second one open. Recv rejects a
// message with more descriptors than the format allows, and returns a [*FormatError].
package wire

import (
	"fmt"
	"io"
	"slices"

	"github.com/scm-rights/scm"
)

// Socket is the socket on which a [Format] sends and receives messages: a [*scm.Conn] or an [FD]. Its
// methods behave like [scm.Send] and [scm.Recv].
type Socket interface {
	Send(m *scm.Message, flags int) error
	Recv(m *scm.Message, flags int) error
}

// FD is the descriptor of a blocking socket. The caller owns it.
type FD int

// Send calls [scm.Send] on the socket.
func (sock FD) Send(m *scm.Message, flags int) error { return scm.Send(int(sock), m, flags) }

// Recv calls [scm.Recv] on the socket.
func (sock FD) Recv(m *scm.Message, flags int) error { return scm.Recv(int(sock), m, flags) }

// Close closes the socket. The error is always nil.
func (sock FD) Close() error {
	scm.CloseFDs(int(sock))
	return nil
}

// Format implements the format in which a known program passes descriptors.
type Format interface {
	// Name returns the name of the format, as passed to Lookup.
	Name() string

	// Network returns the network of the socket, as in package net: "unix", "unixgram" or "unixpacket".
	Network() string

	// Send sends one message with the descriptors fds. text is the part of the payload that the sender can
	// choose. All fds stay open, and the caller still owns them.
	//
	// If the text or the number of descriptors violates the format, Send returns a *FormatError and sends
	// nothing. Other errors are those of sock.Send, prefixed with the name of the format. After such an
	// error on a stream, the descriptors and part of the payload may have been sent.
	Send(sock Socket, text string, fds ...int) error

	// Recv receives one message. The descriptors are close-on-exec, and the caller must close them.
	//
	// If the other end closed the connection, Recv returns io.EOF. If it did so in the middle of a message,
	// the error wraps io.ErrUnexpectedEOF. If the message violates the format or was truncated, the error
	// is a *FormatError. Other errors are those of sock.Recv. All errors except io.EOF are prefixed with
	// the name of the format. On error, Recv closes every descriptor that it received.
	Recv(sock Socket) (text string, fds []int, err error)
}

// Formats returns all formats, sorted by name.
func Formats() []Format {
	// To add a format, write it in a file of its own, list it here, and add rows to formats_test.go and
	// ExampleLookup.
	return []Format{
		APUE, Book, Conmon, Crun, Fusermount, GVisor, HAProxySockpair, Notify, OpenSSH, Passfd, Python, QEMUBridgeHelper, QMP,
		Runc, SeccompListener, SkalibsAncil, SkalibsUnixmessage,
	}
}

// Lookup returns the format with the given name and reports whether it exists.
func Lookup(name string) (Format, bool) {
	all := Formats()
	i := slices.IndexFunc(all, func(f Format) bool { return f.Name() == name })
	if i < 0 {
		return nil, false
	}
	return all[i], true
}

// FormatError reports a message that violates its format, or a received message that was truncated. The
// kernel truncates the control data (MSG_CTRUNC) if the message has too many descriptors or other control
// data, or if this process's descriptor table is full. It truncates the payload (MSG_TRUNC) if the message
// is longer than the format allows.
//
// If Recv returns a FormatError, it has closed all descriptors of the message. If Send returns one, it has
// sent nothing, unless the error concerns the acknowledgement ([Python] on macOS).
type FormatError struct {
	Format string // the name of the format
	Reason string
}

func (e *FormatError) Error() string {
	return "wire: " + e.Format + ": " + e.Reason
}

// A label holds the name and the socket type of a format.
type label struct {
	name, network string
}

func (l label) Name() string    { return l.name }
func (l label) Network() string { return l.network }

func (l label) errorf(format string, args ...any) error {
	return &FormatError{l.name, fmt.Sprintf(format, args...)}
}

// named adds the name of the format to err, unless err already contains it. It returns io.EOF unchanged.
func (l label) named(err error) error {
	switch err.(type) {
	case nil, *FormatError, *APUEError:
		return err
	}
	if err == io.EOF {
		return err
	}
	return fmt.Errorf("wire: %s: %w", l.name, err)
}

// refuse closes the received descriptors and returns a *FormatError with the reason.
func (l label) refuse(fds []int, format string, args ...any) error {
	closeAll(fds)
	return l.errorf(format, args...)
}

// count checks the number of descriptors to send.
func (l label) count(fds []int, least, most int) error {
	switch {
	case least <= len(fds) && len(fds) <= most:
		return nil
	case least == most:
		return l.errorf("cannot send %s: the format requires %d", plural(len(fds), "descriptor"), most)
	}
	return l.errorf("cannot send %s: the format requires %d to %d", plural(len(fds), "descriptor"), least, most)
}

// plural returns a number and what it counts, such as "1 byte" or "2 bytes".
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// noText checks that there is no text to send.
func (l label) noText(text string) error {
	if text != "" {
		return l.errorf("cannot send text: the format has no place for it")
	}
	return nil
}
