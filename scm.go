// Package scm passes open files between processes over Unix sockets (SCM_RIGHTS). This sends a file and a
// message:
//
//	conn, err := scm.Dial(ctx, "unix", "/run/example.sock")
//	if err != nil {
//		return err
//	}
//	_, err = conn.WriteFiles([]byte("log"), f) // f stays open
//
// The other end receives the message and a file of its own, which it must close:
//
//	p := make([]byte, 100)
//	n, files, err := conn.ReadFiles(p, 1) // conn is from Listener.AcceptConn
//
// # Which calls to use
//
// The methods of a [Conn] come in three groups:
//
//   - WriteFiles and ReadFiles, and their variants for buffers and for descriptors, pass any payload with
//     up to 253 files.
//   - SendFile and RecvFile, SendConn and RecvConn, and SendListener and RecvListener pass one file or
//     socket in a format that other programs use too. The receiving methods reject other messages.
//   - Send and Recv pass one [Message] of raw descriptors, which can have flags, an address and credentials.
//
// The functions [Send] and [Recv] take the descriptor of a socket, as in C. [WriteFD] and [ReadFD] are
// write_fd and read_fd of W. Richard Stevens' UNIX Network Programming (UNP) §15.7.
//
// Three functions create a Conn for an existing socket. On error, the caller still owns it. On success:
//
//   - [NewConn] borrows: the Conn and its argument are the same connection. Closing one closes the
//     other, and deadlines apply to both. [NewListener] borrows too.
//   - [NewConnFile] duplicates: the file stays open, and the caller must close both.
//   - [NewConnFD] consumes: it closes the descriptor, and the Conn owns a duplicate.
//
// # Who owns a descriptor
//
// Sending a descriptor does not transfer its ownership: it stays open and belongs to the caller, even if
// the call fails. A received descriptor is a new descriptor for the same open file
// description. The sender and the receiver therefore share its offset and status flags, including
// O_NONBLOCK. A received descriptor or file is close-on-exec, and the caller must close it.
//
// Every descriptor that the kernel installs during a call is either returned by that call or closed before
// it returns. A call that fails returns none, unless [Config].KeepTruncated is set.
//
// A received file may live on a FUSE file system that the sender runs. Operations on it, even close(2), can
// block indefinitely, despite deadlines: see SECURITY.md.
//
// # Truncated messages
//
// A message is truncated if it carries more descriptors than the call requested, if the process's
// descriptor table is full, or if a security module rejects a descriptor. The descriptors that do not fit
// are closed and lost. A datagram or seqpacket message that is longer than the buffers loses the remaining
// bytes, unless the buffers are empty.
//
//   - ReadFD, and the methods of Conn that return files, sockets or descriptors, close all descriptors of
//     the message and return a [*TruncatedError], unless KeepTruncated applies.
//   - The function Recv and the method Conn.Recv return the descriptors before the first one lost, and no
//     error. They set MSG_CTRUNC in [Message].Flags if descriptors were lost, and MSG_TRUNC if bytes were.
//     Outside Linux, a full table is a TruncatedError.
//   - ReadFD, RecvConn and RecvListener do not report lost bytes.
//
// # Concurrency and deadlines
//
// Several goroutines may call the methods of a Conn or Listener concurrently. Sends on a Conn run one at a
// time, so that payloads do not mix, and so do receives. Deadlines and Close end a call that is waiting, but
// CloseRead at the other end does not end a send.
//
// Functions that take a descriptor may be called concurrently, but do not wait for other calls on the
// socket: large payloads on a stream can mix. Concurrent calls must not share a Message, or a buffer to
// receive into. Descriptors, unlike files, must stay open during the call.
//
// # Calls that take a descriptor
//
// A function that sends or receives on a socket's descriptor makes one system call with the caller's flags,
// and never retries it. If that fails, the error is an [*os.SyscallError]. After EINTR or EAGAIN, nothing was
// sent or received: call again, after EAGAIN once the socket is ready. If SIGPIPE would end
// the program, use Send with MSG_NOSIGNAL.
//
// A Conn makes the same calls with MSG_NOSIGNAL and MSG_DONTWAIT. It retries after EINTR, and after EAGAIN
// once the socket is ready. If the caller passes MSG_DONTWAIT to Send or Recv, they return EAGAIN instead,
// but a Send on a stream still waits for other sends.
//
// # Errors
//
// Errors wrap the errno, so errors.Is(err, unix.EPIPE) works. They wrap [errors.ErrUnsupported] if the
// system lacks something, [os.ErrInvalid] for a nil argument and for a Conn or Listener created as a struct
// literal, and [os.ErrClosed] or [net.ErrClosed] for a closed argument. The methods of Conn and Listener,
// and the functions that create them, return a [*net.OpError], except for [io.EOF], [*TruncatedError] and
// [*ExpectError].
//
// After these errors the connection is unusable. Close it:
//
//   - io.EOF: the other end was closed, or sent an empty seqpacket message. After its CloseWrite you can
//     still send.
//   - EPIPE, ECONNRESET and, on a connected datagram socket, ECONNREFUSED: the other end was closed (EPIPE
//     also after your own CloseWrite).
//   - net.ErrClosed: this end was closed.
//   - On a stream, an error of a Write method with 0 < n < len(p), or [io.ErrShortWrite] from SendFile,
//     unless you send the rest without the files.
//   - On a stream, ENAMETOOLONG from RecvFile: the rest of the name is unread.
//
// After other errors it is usable. If the error concerns what was received, as a TruncatedError, an
// ExpectError or [ErrNoFile] does, this has left the queue. Otherwise, as after [os.ErrDeadlineExceeded],
// nothing was sent or received.
//
// # What the kernel does
//
// docs/pitfalls.md demonstrates most rules:
//
//   - On a stream, descriptors need at least one byte, and a receive needs a buffer. Linux sends nothing
//     for an empty payload, loses the descriptors and reports success. A Conn then returns
//     [ErrEmptyPayload], and without descriptors no error. Datagram and seqpacket sockets deliver an empty
//     message, which a seqpacket receiver cannot tell from the end if it has no descriptors.
//   - A stream has no message boundaries. The first byte of a send carries its descriptors. On Linux,
//     received descriptors belong to the send that contains the last byte received with them.
//   - TCP sockets drop descriptors and report success. A plain read, such as Conn.Read, drops them too.
//   - With SO_PASSCRED, SO_PASSPIDFD, SO_TIMESTAMP or SO_INQ, other control data takes up space for
//     descriptors, and can set MSG_CTRUNC. Only Recv makes space, for [Message].Cred and PIDFD. The sender
//     of a socket may have set them: turn SO_PASSCRED off with [PassCred].
//   - On Linux, each receive with MSG_PEEK installs the descriptors again.
//   - Setting or clearing O_NONBLOCK applies to every process that shares the file. If Go set
//     it, [os.File.Fd] and starting a child process clear it. NewConnFD, NewConnFile, RecvConn and
//     RecvListener set it.
//
// # Socket files
//
// [Listen] and [ListenPacket] replace a stale socket file, whose socket no process has open, so that
// connect(2) fails with ECONNREFUSED. Close removes the file, unless another has replaced it or
// SendConn or SendListener has sent the socket. Closing a received listener leaves the file.
// SetUnlinkOnClose changes this. If several Conns or Listeners borrow the same socket, the file stays if
// one of them is set to leave it.
//
// Do not use a path that other users can change (SECURITY.md). docs/questions.md explains long paths, and
// several listeners on one path.
//
// # Other systems
//
// docs/platforms.md lists what other systems lack. On Windows, WebAssembly and Plan 9, every call fails
// with errors.ErrUnsupported.
//
// # Two backends, one behaviour
//
// The cgo backend calls the C library in csrc, written in the style of UNP. The pure backend is
// written in Go. It is used without cgo and with the tag scm_purego (not purego: see docs/c.md). On Linux
// both make the same system calls. docs/trust.md lists where they differ from those of UNP. The race
// detector does not see net's ReadFrom, WriteTo, ReadMsgUnix, WriteMsgUnix and Buffers.
package scm

import (
	"os"

	"github.com/scm-rights/scm/internal/sys"
)

// WriteFD sends p and the descriptor fd through the socket sock, with a single sendmsg(2) call and no
// flags, like write_fd in UNP. On a stream p must not be empty: see "What the kernel does". WriteFD returns
// the number of bytes sent, or -1 and an error.
func WriteFD(sock int, p []byte, fd int) (n int, err error) {
	sys.BeforeSend()
	n, err = writeFD(toInt32(sock), p, toInt32(fd))
	if err != nil {
		return -1, os.NewSyscallError("sendmsg", err)
	}
	return n, nil
}

// ReadFD receives up to len(p) bytes and one descriptor from the socket sock, with a single recvmsg(2)
// call, like read_fd in UNP. The results are:
//
//   - n, fd, nil: one descriptor was received, and the caller must close it.
//   - n, -1, nil: no descriptor was received. n is 0 at the end of a stream, and for an empty message.
//   - n, -1, *TruncatedError: the control data was truncated, or had more than one descriptor.
//   - -1, -1 and an error that wraps the errno: the call failed.
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
