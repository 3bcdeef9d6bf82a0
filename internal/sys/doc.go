// Package sys hides the differences between operating systems for package scm, its Go backend,
// fdchannel and wire: how to make a socket close-on-exec, the memory layout of an address, what
// the system reports about a file. Differences in the message itself, such as the size of the
// control buffer, are in the backends, internal/pure and csrc. In builds with the race detector,
// the package also informs it of messages.
//
// The first part of a file's name is its subject. The second part is a system, a group of systems
// or, if that says more, a feature that they share: socket_forklock.go. The doc comment of a
// function is in the file for Linux, in the file for all Unix systems, or in the only file where
// the function does something.
package sys

import "errors"

// ErrNotUnix is the error for a file that is not an AF_UNIX socket.
var ErrNotUnix = errors.New("scm: not a Unix socket")

// Error returns an error with the given text that wraps errno.
func Error(text string, errno error) error { return &errnoError{text, errno} }

type errnoError struct {
	text  string
	errno error
}

func (e *errnoError) Error() string { return e.text }
func (e *errnoError) Unwrap() error { return e.errno }
