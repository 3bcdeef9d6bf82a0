// Package scm passes open files between processes over Unix sockets (SCM_RIGHTS). To send a message and a file:
//
//	conn, err := scm.Dial(ctx, "unix", "/run/example.sock")
//	// ...
//	_, err = conn.WriteFiles([]byte("log"), f) // f stays open
//
// The other end, from [Listener.AcceptConn], receives the message and a file of its own, which it must close:
//
//	n, files, err := conn.ReadFiles(p, 1)
//
// A server accepts in a loop. While its descriptor table is full, AcceptConn fails at once, so pause after an error:
//
//	for {
//		conn, err := l.AcceptConn()
//		if errors.Is(err, net.ErrClosed) {
//			return
//		}
//		if err != nil {
//			log.Print(err)
//			time.Sleep(100 * time.Millisecond)
//			continue
//		}
//		go serve(conn) // which must close conn
//	}
//
// # What to call
//
// To get a [Conn], call [Dial], [Listen] or [Pair] or, for an existing socket, [NewConn], [NewConnFile] or [NewConnFD].
// Its methods fall into three groups:
//
//   - WriteFiles and ReadFiles pass any payload with up to 253 files. Variants take several buffers, or descriptors.
//   - SendFile, RecvFile and their variants for a Conn or Listener pass one file or socket as other programs do.
//   - Send and Recv pass one message with descriptors, flags, an address and credentials.
//
// The functions [WriteFD] and [ReadFD] are like write_fd and read_fd of W. Richard Stevens' UNIX Network Programming
// (UNP, §15.7). They, [Send] and [Recv] take a socket's descriptor, and make one system call without a retry.
//
// # Goroutines, timeouts and limits
//
// Several goroutines may use a Conn or a [Listener], each with its own [Message] and buffer. Sends on a Conn run one at
// a time, and so do receives. To stop a call that waits, cancel the context of [Conn.WithContext], set a deadline,
// or call Close.
//
// [PeerCred] and [PeerPIDFD] report who connected, and [PassCred] adds the sender to each message. [Config] and
// [Expect] limit what a Conn accepts:
//
//	l, err := scm.Config{Expect: &scm.Expect{Max: 1, Kind: scm.KindRegular}}.Listen(ctx, "unix", path)
//
// # Who owns and closes a descriptor
//
// The files and descriptors that you send stay open and still belong to you, even if the call fails. You may close a
// file during the call, but not a descriptor. The receiver gets a new, close-on-exec descriptor or file, which it must
// close. Both ends share the offset and the status flags, such as O_NONBLOCK. Each call returns or closes every
// descriptor that the kernel installs, and returns none if it fails, except with [Config].KeepTruncated.
//
// A partner can block Close, a receive that closes a file, and calls on a received file for as long as it likes: see
// SECURITY.md.
//
// # What can be lost
//
// A receive loses descriptors if the message has more than you asked for, the descriptor table is full, or a
// security module rejects one. It loses bytes if a datagram or seqpacket message is longer than the buffers. Recv
// reports both in Message.Flags, and returns what is left. Most other calls close all descriptors, and return a
// [*TruncatedError]. A plain read, such as Conn.Read, loses descriptors without an error.
//
// A stream has no message boundaries, and at least one byte must accompany descriptors (docs/pitfalls.md). After a
// short write, send the rest without the files. WriteFiles reports it with n > 0 and an error, and Send only in N.
//
// # Errors
//
// Errors wrap the errno, so errors.Is(err, unix.EPIPE) works. If the system call of a function fails, the error is an
// [*os.SyscallError]. Methods of Conn and Listener, and functions that create them, return a [*net.OpError], which
// wraps the errors listed here. Only io.EOF, *TruncatedError and *ExpectError are not wrapped:
//
//   - [io.EOF]: the other end was closed, or sent an empty seqpacket message without files. If it called CloseWrite,
//     you can still send.
//   - [*TruncatedError], [*ExpectError]: part of the message was lost, or it does not match an Expect.
//   - [ErrNoFile] and the other variables below: see their comments.
//   - [errors.ErrUnsupported]: the system lacks a feature (docs/platforms.md). On Windows, WebAssembly and Plan 9,
//     every call returns it.
//   - [os.ErrInvalid]: a file, connection, listener or Message is nil, and nothing was sent, or a Conn or Listener
//     was not created by this package. A nil context can panic, as can methods that a Conn or Listener literal
//     embeds.
//   - [os.ErrClosed], [net.ErrClosed]: an argument, or the Conn or Listener, is closed.
//
// Close the connection after EPIPE, ECONNRESET, net.ErrClosed and, on a connected datagram socket, ECONNREFUSED.
// After other errors you can continue. If the error concerns a message, the message is no longer in the queue.
// Otherwise, as after EINTR, EAGAIN, a deadline or a context, nothing was received, and nothing sent beyond n bytes.
package scm

import (
	"os"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// narrow returns fd, or -1 if fd does not fit into the kernel's type.
func narrow(fd int) int { return int(msg.Number(fd)) }

// WriteFD sends p and the descriptor fd, which stays open, through the socket sock, with a single sendmsg(2) call
// and no flags. It returns the number of bytes sent, or -1 and an error. On a stream p must not be empty: Linux
// sends nothing, and reports success. To avoid SIGPIPE, use [Send].
func WriteFD(sock int, p []byte, fd int) (n int, err error) {
	sys.BeforeSend()
	n, err = writeFD(msg.Number(sock), p, msg.Number(fd))
	if err != nil {
		return -1, os.NewSyscallError("sendmsg", err)
	}
	return n, nil
}

// ReadFD receives up to len(p) bytes and one descriptor from the socket sock, with a single recvmsg(2) call. It does
// not report lost bytes. The results are:
//
//   - n, fd, nil: the caller must close fd.
//   - n, -1, nil: no descriptor. n is 0 at the end of a connection, and if the message or p is empty.
//   - n, -1, [*TruncatedError]: more than one descriptor, or control data was lost.
//   - -1, -1 and an error: the call failed.
func ReadFD(sock int, p []byte) (n, fd int, err error) {
	n, got, err := readOne(msg.Number(sock), p)
	switch {
	case err != nil && sys.LostDescriptors(err):
		return 0, -1, &TruncatedError{Cause: err, fromReadFD: true}
	case err != nil:
		return -1, -1, os.NewSyscallError("recvmsg", err)
	case got == fdLost:
		return n, -1, &TruncatedError{N: n, fromReadFD: true}
	}
	return n, int(got), nil
}
