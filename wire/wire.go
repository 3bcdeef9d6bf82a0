// Package wire passes descriptors in the formats of well-known programs: which
// bytes go beside a descriptor, how long the control data is, what a receiver
// refuses, and whether it acknowledges.
//
// # Sockets
//
// A [Format] works on a Unix socket of the type that Network names, a [Socket]: a
// [*scm.Conn], or an [FD], which is the number of a socket. It does not check the type: a socket
// of TCP drops descriptors, and reports success. Recv of a stream format on a datagram or seqpacket
// socket refuses a message if it would lose its end. Calls return when a whole message was sent or
// received.
//
// The deadlines of a Conn are those of the whole Send or Recv, and its Close ends what waits.
// Where a message takes more than one system call, nothing keeps another call of the same
// direction from coming between: make one at a time. Config.Expect is not asked.
//
// # Numbers
//
// The socket of an FD is expected to block. EINTR is retried, and each retry begins the
// limits below anew.
//
// SO_RCVTIMEO and SO_SNDTIMEO limit each system call and not the whole Send or
// Recv: a partner that sends a byte at a time begins the limit anew with each. When
// it has passed, and on a socket that does not block, the error wraps EAGAIN.
//
// For a deadline of the whole, call shutdown(2) on the socket when it has passed.
// That ends what waits: Recv with io.EOF or io.ErrUnexpectedEOF, on a datagram
// socket with an empty message, and Send with EPIPE. It ends the connection for
// everybody who has the open file description. Recv then closes what it had received.
// It does not end a Send to a datagram socket whose queue is full, such as that of
// [Notify]: set SO_SNDTIMEO there, or send without waiting. SO_SNDTIMEO does not
// end [NotifyBarrier]: only its ctx does.
//
// No limit and no deadline ends a close(2) of what Recv refuses: a partner that sends a file whose
// server does not answer (FUSE), or a socket with SO_LINGER, holds it up.
//
// SO_PASSCRED is expected to be off (scm.PassCred, PassCredentials= of systemd): the
// credentials that the kernel adds take the room of descriptors, and most formats then
// refuse each message as truncated.
//
// # Both
//
// After a timeout or a shutdown, part of a message may have been sent or received on a
// stream. Close it.
//
// Sends add MSG_NOSIGNAL, so that a closed partner is EPIPE and no signal.
//
// # Descriptors and who owns them
//
// What is sent stays open and the caller's, whether Send succeeds or fails. What is
// received is close-on-exec and the caller's to close. If Recv fails, the call
// closes every descriptor that it received, and returns none.
//
// The programs themselves are often less careful: on 64-bit systems room for one
// descriptor admits two, and most of them leave the second open. Here a message
// with more descriptors than the format allows is a [*FormatError].
package wire

import (
	"fmt"
	"io"
	"slices"

	"github.com/scm-rights/scm"
)

// A Socket is what a format sends through and receives from. A [*scm.Conn] is one, and an
// [FD]. Send and Recv have the results of [scm.Send] and [scm.Recv].
type Socket interface {
	Send(m *scm.Message, flags int) error
	Recv(m *scm.Message, flags int) error
}

// FD is the number of a socket that blocks. The number stays the caller's.
type FD int

// Send is [scm.Send] through the socket.
func (sock FD) Send(m *scm.Message, flags int) error { return scm.Send(int(sock), m, flags) }

// Recv is [scm.Recv] from the socket.
func (sock FD) Recv(m *scm.Message, flags int) error { return scm.Recv(int(sock), m, flags) }

// A Format is the way in which a known program passes descriptors.
type Format interface {
	// Name is what Lookup finds the format by.
	Name() string

	// Network is the type of socket, as package net has it: unix, unixgram or
	// unixpacket.
	Network() string

	// Send sends one message: text, if the format leaves some bytes to the
	// sender, and the descriptors fds, as many as the format has. Text that it
	// has no place for, and a wrong number of descriptors, are a *FormatError,
	// and nothing is sent; other errors are those of sock.Send, with the name of the
	// format before them. The descriptors can have been sent by then, with a part of the payload. All fds stay open
	// and the caller's.
	Send(sock Socket, text string, fds ...int) error

	// Recv receives one message. The descriptors are close-on-exec and the
	// caller's to close.
	//
	// io.EOF is returned if the other end is closed. What the format does not allow
	// is a *FormatError; other errors are those of sock.Recv, and
	// io.ErrUnexpectedEOF, with the name of the format before them. On error Recv closes every descriptor that it received.
	Recv(sock Socket) (text string, fds []int, err error)
}

// Formats returns all formats, by name.
func Formats() []Format {
	// A new one is a file beside this one, a line here, and its rows in formats_test.go and in ExampleLookup.
	return []Format{
		APUE, Book, Conmon, Crun, Fusermount, GVisor, HAProxySockpair, Notify, OpenSSH, Passfd, Python, QMP, Runc,
		SeccompListener, SkalibsAncil, SkalibsUnixmessage,
	}
}

// Lookup returns the format of that name, and whether there is one.
func Lookup(name string) (Format, bool) {
	all := Formats()
	i := slices.IndexFunc(all, func(f Format) bool { return f.Name() == name })
	if i < 0 {
		return nil, false
	}
	return all[i], true
}

// FormatError says what a format does not allow, in a received message or in one to
// send. The descriptors of a received message are closed; nothing was sent of the
// other, but where a format has an acknowledgement and the FormatError is about
// that.
type FormatError struct {
	Format string // the name of the format
	Reason string
}

func (e *FormatError) Error() string {
	return "wire: " + e.Format + ": " + e.Reason
}

// label is the part of a format that says what it is.
type label struct {
	name, network string
}

func (l label) Name() string    { return l.name }
func (l label) Network() string { return l.network }

func (l label) errorf(format string, args ...any) error {
	return &FormatError{l.name, fmt.Sprintf(format, args...)}
}

// named is err with the name of the format, which its own errors have.
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

// refuse closes the received descriptors, and says why.
func (l label) refuse(fds []int, format string, args ...any) error {
	closeAll(fds)
	return l.errorf(format, args...)
}

// count checks how many descriptors are to be sent.
func (l label) count(fds []int, least, most int) error {
	switch {
	case least <= len(fds) && len(fds) <= most:
		return nil
	case least == most:
		return l.errorf("%d descriptors to send, not %d", len(fds), most)
	}
	return l.errorf("%d descriptors to send, not %d to %d", len(fds), least, most)
}

// noText checks that no text is to be sent.
func (l label) noText(text string) error {
	if text != "" {
		return l.errorf("there is no place for text")
	}
	return nil
}
