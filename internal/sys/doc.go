// Package sys hides the differences between operating systems for package scm, its Go backend,
// fdchannel and wire: how to make a socket close-on-exec, the memory layout of an address, what
// the system reports about a file. Differences in the message itself, such as the size of the
// control buffer, are in the backends, internal/pure and csrc. In builds with the race detector,
// the package also informs it of messages.
//
// The first part of a file's name is a capability. A second part says how a system provides it:
//
//	(none)         in the same way on every system
//	_unix          with calls that every Unix system has
//	_linux         with calls, flags or files in /proc of Linux
//	_posix         for other Unix systems than Linux, with POSIX calls; new descriptors are made
//	               close-on-exec by fcntl(2) under syscall.ForkLock
//	_bsd, _aix     with BSD's interface, or with what AIX has in its place
//	_cmsgcloexec   with MSG_CMSG_CLOEXEC
//	_forklock      without that flag, under syscall.ForkLock
//	_xucred        with LOCAL_PEERCRED, of macOS and FreeBSD
//	_peereid       with an option that gives three IDs, of NetBSD and OpenBSD
//	_ucred         with getpeerucred, of Solaris and illumos
//	_detector      with the race detector, on Unix systems
//	_none          not at all: the functions do nothing, or return ErrUnsupported
//
// On systems that are not Unix, nonunix.go takes the place of all files that need a Unix system.
// TestFileNames checks that each second part has a single build constraint. The doc comment of
// a function is in the file for Linux, in the file for all Unix systems, or in the only file
// where the function does something.
package sys

import "errors"

// ErrNotUnix is the error for a file that is not an AF_UNIX socket.
var ErrNotUnix = errors.New("scm: not a Unix socket")

// ErrInUse is the error for an address that cannot be bound because it exists. ErrLive, which wraps it, means that a
// running process has bound the address.
var (
	ErrInUse = Error("scm: the address is in use", EADDRINUSE)
	ErrLive  = Error("a running process has this socket open", ErrInUse)
)

// Error returns an error with the given text that wraps errno.
func Error(text string, errno error) error { return &errnoError{text, errno} }

type errnoError struct {
	text  string
	errno error
}

func (e *errnoError) Error() string { return e.text }
func (e *errnoError) Unwrap() error { return e.errno }
