// Package scm passes open files between processes over Unix sockets (SCM_RIGHTS). This sends a message and a file:
//
//	conn, err := scm.Dial(ctx, "unix", "/run/example.sock")
//	// ...
//	_, err = conn.WriteFiles([]byte("log"), f) // f stays open
//
// The other end, from [Listener.AcceptConn], receives the message and a file of its own, which it must close:
//
//	n, files, err := conn.ReadFiles(p, 1)
//
// # What to call
//
// To get a [Conn], call [Dial], [Listen] or [Pair] or, for an existing socket, [NewConn], [NewConnFile] or [NewConnFD].
// Its methods come in three groups:
//
//   - WriteFiles and ReadFiles pass any payload with up to 253 files. Variants take several buffers, or descriptors.
//   - SendFile and RecvFile, and those for a Conn or Listener, pass one file or socket as other programs do.
//   - Send and Recv pass one message with descriptors, flags, an address and credentials.
//
// The functions [WriteFD] and [ReadFD], which returns n, -1, nil without a descriptor, are like write_fd and read_fd of
// W. Richard Stevens' UNIX Network Programming (UNP, §15.7). They, [Send] and [Recv] take a socket's descriptor, and
// make one system call without a retry.
//
// # Goroutines, timeouts and limits
//
// Several goroutines may use a Conn or a [Listener], with a [Message] and a buffer each. Sends on a Conn run one at a
// time, and so do receives. With MSG_DONTWAIT, only sends on a stream wait for others. To stop a receive or another
// call of a Conn that waits, cancel the context of [Conn.WithContext], set a deadline (timeout), or call Close.
//
// [PeerCred] and [PeerPIDFD] report who is asking: the process that connected. [PassCred] adds the sender to each
// message. [Config] and [Expect] limit what a Conn accepts:
//
//	l, err := scm.Config{Expect: &scm.Expect{Max: 1, Kind: scm.KindRegular}}.Listen(ctx, "unix", path)
//
// # Who owns and closes a descriptor
//
// What you send stays open and still belongs to you, even if the call fails. A descriptor must not be closed during the
// call, but a file may. The receiver gets a new, close-on-exec descriptor or file, which it must close. Both ends share
// the offset and the status flags, such as O_NONBLOCK. Each call returns or closes every descriptor that the kernel
// installs, and returns none if it fails, except with [Config].KeepTruncated.
//
// A partner can block Close: with FUSE, or a TCP socket with SO_LINGER, close(2) of a file that it sent can block
// indefinitely, despite deadlines. This can also block Close of a Conn or Listener with the file in its queue, and a
// receive that loses or rejects it. With FUSE, other operations on the file can block too (SECURITY.md).
//
// # What can be lost
//
// A receive loses descriptors if the message has more than you asked for, the descriptor table is full, or a security
// module rejects one. It loses bytes if a datagram or seqpacket message is longer than the buffers. Recv reports both
// in Message.Flags, and returns what is left. Most other calls close all descriptors, except with KeepTruncated, and
// return a [*TruncatedError]. A plain read, such as Conn.Read, loses descriptors without an error.
//
// On a stream, at least one byte must accompany descriptors, and there are no message boundaries (docs/pitfalls.md). A
// short write there loses nothing: send the rest without the files. WriteFiles returns n > 0 and an error, but Send
// only sets N.
//
// # Errors
//
// Errors wrap the errno, so errors.Is(err, unix.EPIPE) works. They wrap [errors.ErrUnsupported] if the system lacks a
// feature (docs/platforms.md), and for every call on Windows, WebAssembly and Plan 9. They wrap [os.ErrInvalid] for a
// nil file, connection, listener or Message (nothing is sent) or a Conn or Listener literal, and [os.ErrClosed] or
// [net.ErrClosed] for a closed argument. A nil context, and methods that a literal embeds, can panic. If the system
// call of a function fails, the error is an [*os.SyscallError]. Methods of Conn and Listener, and functions that create
// them, return a [*net.OpError], except for [io.EOF], [*TruncatedError] and [*ExpectError].
//
// Close the connection after EPIPE, ECONNRESET, net.ErrClosed and, on a connected datagram socket, ECONNREFUSED. io.EOF
// means that the other end was closed or sent an empty seqpacket message. If it called CloseWrite, you can still send.
// After other errors you can continue. If the error concerns a message, such as a TruncatedError, an ExpectError or
// [ErrNoFile], the message is no longer in the queue. Otherwise, as after EINTR, EAGAIN, a deadline or a context,
// nothing was received, and nothing sent beyond n bytes.
package scm

import (
	"os"

	"github.com/scm-rights/scm/internal/sys"
)

// WriteFD sends p and the descriptor fd, which stays open, through the socket sock, with a single sendmsg(2) call
// and no flags. It returns the number of bytes sent, or -1 and an error. On a stream p must not be empty: Linux
// sends nothing, and reports success. To avoid SIGPIPE, use [Send].
func WriteFD(sock int, p []byte, fd int) (n int, err error) {
	sys.BeforeSend()
	n, err = writeFD(toInt32(sock), p, toInt32(fd))
	if err != nil {
		return -1, os.NewSyscallError("sendmsg", err)
	}
	return n, nil
}

// ReadFD receives up to len(p) bytes and one descriptor from the socket sock, with a single recvmsg(2) call. The
// results are:
//
//   - n, fd, nil: one descriptor was received, and the caller must close it.
//   - n, -1, nil: no descriptor was received. n is 0 at the end of a connection, and if the message or p is empty.
//   - n, -1, *TruncatedError: the control data was truncated, or had more than one descriptor.
//   - -1, -1 and an error that wraps the errno: the call failed.
//
// ReadFD does not report lost bytes.
func ReadFD(sock int, p []byte) (n, fd int, err error) {
	n, got, err := readOne(toInt32(sock), p)
	switch {
	case err != nil && sys.LostDescriptors(err):
		return 0, -1, &TruncatedError{Cause: err, pair: true}
	case err != nil:
		return -1, -1, os.NewSyscallError("recvmsg", err)
	case got == fdLost:
		return n, -1, &TruncatedError{N: n, pair: true}
	}
	return n, int(got), nil
}
