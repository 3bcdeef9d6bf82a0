// Package scm sends open files between processes over Unix sockets (SCM_RIGHTS), as the classic C code does:
// every byte of a send that Stevens' write_fd defines is the same, and a receive differs from read_fd only
// where docs/departures.md lists it. A [Conn] adds flags to the calls, and retries them.
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
	"os"
)

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
