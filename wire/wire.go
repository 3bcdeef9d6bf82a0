// Package wire passes descriptors in the formats of well-known programs. A format defines the payload sent
// with the descriptors, the length of the control data, the messages that a receiver rejects, and whether
// the receiver acknowledges a message.
//
// # Sockets
//
// A [Format] works on a [Socket]: a [*scm.Conn], or the descriptor of a socket as an [FD]. It must be a Unix
// socket of the type that Network returns. The functions do not check this. A TCP socket drops descriptors
// and reports success. On a datagram or seqpacket socket, Recv of a stream format rejects a message that is
// longer than its buffer, because the rest would be lost. Calls return when a whole message was sent or
// received.
//
// # A Conn as the socket
//
// The deadlines of a Conn apply to the whole Send or Recv. Close ends a call that waits. If a message takes
// more than one system call, nothing keeps another call in the same direction from interleaving with it.
// Make one call in each direction at a time.
//
// The Conn's Config.Expect applies to every receive, and a message that it rejects is an [*scm.ExpectError].
// The exception is Min, which does not apply to the stream formats, because a message can take more than
// one receive. It applies to [Notify] and [GVisor].
//
// # A descriptor as the socket
//
// The socket of an FD should be blocking. Calls retry EINTR. Each retry restarts the time limits below.
//
// SO_RCVTIMEO and SO_SNDTIMEO limit each system call, not the whole Send or Recv. A partner that sends
// one byte at a time restarts the limit with each byte. When the limit has passed, the error wraps EAGAIN, as
// it does on a non-blocking socket when a call would block.
//
// To set a deadline for the whole call, call shutdown(2) on the socket when it has passed. This ends a Recv
// with io.EOF or io.ErrUnexpectedEOF, or with an empty message on a datagram socket, and a Send with EPIPE.
// Recv closes the descriptors it had received. The shutdown ends the connection for every process that
// shares the open file description. It does not end a Send to a datagram socket whose queue is full, such as
// that of [Notify]. Set SO_SNDTIMEO for this, or use a non-blocking socket. SO_SNDTIMEO does not end
// [NotifyBarrier]. Only its ctx does.
//
// # Either socket
//
// Sends add MSG_NOSIGNAL, so a closed partner is the error EPIPE and not a signal.
//
// SO_PASSCRED should be off (scm.PassCred, PassCredentials= in systemd). The kernel otherwise adds
// credentials, which take up the space for descriptors, and most formats then reject every message as
// truncated.
//
// No time limit or deadline applies to the close(2) of descriptors that Recv rejects. The sender of a file
// whose server does not answer (FUSE), or of a socket with SO_LINGER, can delay it.
//
// # Errors
//
// On a stream, these errors end the conversation, and the caller should close the socket:
//
//   - io.EOF. The other end closed the connection between two messages.
//   - io.ErrUnexpectedEOF. It closed the connection inside a message.
//   - A *FormatError or an *scm.ExpectError returned by Recv. The rest of the rejected message may still be
//     unread. The next Recv would take it for the beginning of a message.
//   - A timeout (os.ErrDeadlineExceeded with a Conn, EAGAIN with an FD). Part of a message may have been sent
//     or received, and the descriptors of the received part are closed.
//   - Any other error of the system, such as EPIPE or ECONNRESET.
//
// These errors affect only one message, and the conversation can continue:
//
//   - A *FormatError returned by Send, unless it concerns an acknowledgement. Nothing was sent.
//   - EBADF, if a descriptor to send is not open, and ETOOMANYREFS. Nothing was sent.
//   - An [*APUEError]. The message was read to its end.
//   - An error of scm.NewFile returned by [RecvFiles]. The message was read to its end.
//
// On a datagram or seqpacket socket, each system call sends or receives one whole message. A *FormatError, an
// *scm.ExpectError and a timeout therefore affect only one message, and io.ErrUnexpectedEOF does not occur.
// io.EOF on a seqpacket socket, and errors that mean that the other end is closed (EPIPE, ECONNRESET,
// ECONNREFUSED), end the conversation.
//
// A message whose control data the kernel truncated (MSG_CTRUNC) is a *FormatError, not an
// *scm.TruncatedError.
//
// # Ownership of descriptors
//
// Send leaves its descriptors open, whether it succeeds or fails. They still belong to the caller.
// Recv returns descriptors that are close-on-exec and belong to the caller. If Recv fails, it closes every
// descriptor that it received, and returns none.
//
// The programs themselves are often less careful. On 64-bit systems, control data with space for one
// descriptor has space for two, and most programs leave the second one open. Here, a message with more
// descriptors than the format allows is a [*FormatError].
package wire

import (
	"fmt"
	"io"
	"slices"

	"github.com/scm-rights/scm"
)

// Socket is a socket through which a [Format] sends and receives messages: a [*scm.Conn] or an [FD]. Send
// and Recv behave like [scm.Send] and [scm.Recv].
type Socket interface {
	Send(m *scm.Message, flags int) error
	Recv(m *scm.Message, flags int) error
}

// FD is the descriptor of a blocking socket. It still belongs to the caller.
type FD int

// Send calls [scm.Send] with the socket.
func (sock FD) Send(m *scm.Message, flags int) error { return scm.Send(int(sock), m, flags) }

// Recv calls [scm.Recv] with the socket.
func (sock FD) Recv(m *scm.Message, flags int) error { return scm.Recv(int(sock), m, flags) }

// Format is the format in which a known program passes descriptors.
type Format interface {
	// Name returns the name of the format, by which Lookup finds it.
	Name() string

	// Network returns the type of socket, as in package net: unix, unixgram or unixpacket.
	Network() string

	// Send sends one message with the descriptors fds. text is the part of the payload that the format
	// leaves to the sender. All fds stay open and still belong to the caller.
	//
	// If the text or the number of descriptors violates the format, Send returns a *FormatError and sends
	// nothing. Other errors are those of sock.Send, prefixed with the name of the format. On a stream the
	// descriptors, and part of the payload, may then have been sent.
	Send(sock Socket, text string, fds ...int) error

	// Recv receives one message. The descriptors are close-on-exec, and the caller must close them.
	//
	// If the other end closed the connection, Recv returns io.EOF. If it did so inside a message, the error
	// wraps io.ErrUnexpectedEOF. A message that violates the format or was truncated is a *FormatError. Other
	// errors are those of sock.Recv. All errors except io.EOF are prefixed with the name of the format. On
	// error Recv closes every descriptor that it received.
	Recv(sock Socket) (text string, fds []int, err error)
}

// Formats returns all formats, sorted by name.
func Formats() []Format {
	// To add a format, add a file to this folder, the name here, and rows in formats_test.go and ExampleLookup.
	return []Format{
		APUE, Book, Conmon, Crun, Fusermount, GVisor, HAProxySockpair, Notify, OpenSSH, Passfd, Python, QMP, Runc,
		SeccompListener, SkalibsAncil, SkalibsUnixmessage,
	}
}

// Lookup returns the format with the given name, and whether it exists.
func Lookup(name string) (Format, bool) {
	all := Formats()
	i := slices.IndexFunc(all, func(f Format) bool { return f.Name() == name })
	if i < 0 {
		return nil, false
	}
	return all[i], true
}

// FormatError is returned for a message that violates its format. It is also returned for a received message
// that was truncated: because it had too many descriptors or other control data (MSG_CTRUNC), because this
// process's descriptor table was full (MSG_CTRUNC too), or because it was longer than the format allows
// (MSG_TRUNC).
//
// If Recv returns it, all descriptors of the message are closed. If Send returns it, nothing was sent, unless
// the error concerns the acknowledgement ([Python] on macOS).
type FormatError struct {
	Format string // the name of the format
	Reason string
}

func (e *FormatError) Error() string {
	return "wire: " + e.Format + ": " + e.Reason
}

// label is the name and the socket type of a format.
type label struct {
	name, network string
}

func (l label) Name() string    { return l.name }
func (l label) Network() string { return l.network }

func (l label) errorf(format string, args ...any) error {
	return &FormatError{l.name, fmt.Sprintf(format, args...)}
}

// named adds the name of the format to err, unless err already has it. It returns io.EOF unchanged.
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
