// Package wire passes descriptors in the formats of well-known programs, such as systemd, runc and
// OpenSSH. This receives the terminal that runc or crun sends to a --console-socket:
//
//	name, files, err := wire.RecvFiles(wire.Conmon, conn) // conn is a *scm.Conn
//	if err != nil {
//		return err
//	}
//	defer files[0].Close()
//	fmt.Println("received", name)
//
// # Formats
//
// A [Format] defines the payload sent with the descriptors, the number of descriptors, and which messages
// a receiver rejects. Unless the comment of a format says otherwise:
//
//   - The socket is a stream socket.
//   - A message has exactly one descriptor. Recv rejects a message with more or fewer.
//   - The text to send must be empty, and Recv accepts any bytes of the same length instead of a
//     fixed payload, as the programs do.
//   - The receiver does not acknowledge messages.
//   - Send sets msg_controllen to CMSG_SPACE, or to 0 if there are no descriptors.
//
// The limits in the comments apply to both Send and Recv, but [Notify].Recv also accepts an empty state.
//
// # Sockets
//
// A Format sends and receives on a [Socket]: a [*scm.Conn], or the descriptor of a socket as an [FD]. It
// must be a Unix socket of the type that Network returns. The functions do not check this, and on another
// socket, descriptors can be lost without an error. For example, a TCP socket drops them, and [GVisor]
// sends nothing on a stream. If a stream format is used on a datagram or seqpacket socket, Recv rejects a
// message that is longer than its buffer.
//
// Send and Recv return when they have sent or received a whole message, and retry after EINTR. If the
// other end is closed, Send returns EPIPE (without raising SIGPIPE), ECONNRESET or, on a datagram socket,
// ECONNREFUSED and then ENOTCONN.
//
// One goroutine may send while another receives. Do not make two calls in the same direction concurrently:
// a message can take more than one system call, and the messages would mix.
//
// A Conn's Config.Expect applies to every receive, and its error is an [*scm.ExpectError]. Its Min applies
// only to [Notify] and [GVisor], because a message on a stream can take more than one receive.
//
// The SO_PASSCRED option should be off (see [scm.PassCred], and PassCredentials= in systemd). If it is on,
// the kernel adds credentials in the space for descriptors, and most formats reject every message as
// truncated.
//
// # Deadlines
//
// A Conn's deadlines apply to a Send or Recv as a whole. Close interrupts a call that is waiting.
//
// The socket of an FD should be blocking. SO_RCVTIMEO and SO_SNDTIMEO limit each system call, so a partner
// that sends one byte at a time restarts the limit with each byte, as does EINTR. When the limit expires,
// the error wraps EAGAIN. A non-blocking socket causes the same error at once.
//
// To limit a whole call, call shutdown(2) when the deadline passes (see the example of FD). A waiting Recv
// then returns io.EOF or io.ErrUnexpectedEOF, or an empty message on a datagram socket, and a waiting Send
// returns EPIPE. The shutdown ends the connection for every process that shares the socket. It does not
// interrupt a Send that waits because the queue of a datagram receiver is full ([Notify]). To limit such a
// Send, set SO_SNDTIMEO or use a non-blocking socket.
//
// No limit applies while Recv closes descriptors that it rejects. The sender can make close(2) block: see
// SECURITY.md.
//
// # Ownership of descriptors
//
// Send leaves its descriptors open, whether it succeeds or fails, and the caller still owns them. The
// descriptors that Recv returns are close-on-exec, and the caller must close them. If Recv fails, it
// closes every descriptor that it received and returns no descriptors. This includes messages with more
// descriptors than the format allows. Most of the programs leave the second one open (docs/pitfalls.md).
//
// # Errors
//
// On a stream, close the socket after one of these errors, because the conversation cannot continue:
//
//   - io.EOF: the other end closed the connection between two messages.
//   - io.ErrUnexpectedEOF: the other end closed the connection in the middle of a message.
//   - A *FormatError or an *scm.ExpectError returned by Recv: the rest of the message may be unread, and
//     the next Recv would take it for the beginning of a message.
//   - A timeout (os.ErrDeadlineExceeded with a Conn, EAGAIN with an FD) or any other system error, such as
//     EPIPE or ECONNRESET: part of a message, including its descriptors, may have been sent or received.
//
// After these errors, the conversation can continue:
//
//   - A *FormatError returned by Send, unless it concerns an acknowledgement: nothing was sent.
//   - EBADF, because a descriptor to send is not open, or ETOOMANYREFS: nothing was sent.
//   - An [*APUEError], or an error from scm.NewFile that [RecvFiles] returns: the whole message was read.
//
// On a datagram or seqpacket socket, each system call sends or receives one whole message. A *FormatError,
// an *scm.ExpectError or a timeout affects only that message, and io.ErrUnexpectedEOF does not occur. The
// conversation ends with io.EOF on a seqpacket socket, and with the errors of a closed other end.
//
// The error for a truncated message is a *FormatError. Outside Linux, if the descriptor table is full, it
// wraps an *scm.TruncatedError instead. The kernel truncates control data (MSG_CTRUNC) if the message has too
// many descriptors or other control data, or if this process's descriptor table is full. It truncates a
// datagram or seqpacket message (MSG_TRUNC) that is longer than the format allows.
//
// # Service managers
//
// [DialNotify] returns the socket for the functions whose names begin with Notify. Their errors include
// those of Notify.Send. Success means that the message was sent, not that the service manager acted on it.
// The manager may have no descriptor store, and in a container, a proxy may drop the descriptors even
// though it answers [NotifyBarrier]. docs/questions.md shows how to find out.
//
// systemd uses descriptors only in messages with FDSTORE=1, BARRIER=1 and, since version 257, MAINPIDFD=1.
// It acknowledges BARRIER=1 by closing the descriptor.
//
// [ListenFDs] reads the variables of sd_listen_fds_with_names in libsystemd. If LISTEN_PID is the PID of
// this process, LISTEN_FDS is the number of descriptors, the first of which is descriptor 3, and
// LISTEN_FDNAMES contains their names. Without LISTEN_FDNAMES, each name is "unknown". If LISTEN_PIDFDID
// is set, as it is by systemd 259, its value must also match the inode number that Linux 6.9 and later
// assign to each process.
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

	// Send sends one message with the descriptors fds, which the caller still owns. text is the part of
	// the payload that the sender can choose.
	//
	// If the text or the number of descriptors violates the format, Send returns a *FormatError and sends
	// nothing. Other errors are those of sock.Send, prefixed with the name of the format.
	Send(sock Socket, text string, fds ...int) error

	// Recv receives one message. The descriptors are close-on-exec, and the caller must close them. On
	// error, Recv closes every received descriptor.
	//
	// At the end of the connection, Recv returns io.EOF. If a message violates the format or is
	// truncated, the error is a *FormatError. Other errors are io.ErrUnexpectedEOF and those of
	// sock.Recv, prefixed with the name of the format.
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

// FormatError reports a message that violates its format, or a received message that was truncated. If
// Recv returns a FormatError, all descriptors received with the message have been closed. If Send
// returns one, nothing was sent, unless the error concerns the acknowledgement ([Python] on macOS).
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
	scm.CloseFDs(fds...)
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
