// Package sys has what differs between operating systems around a message, for package scm,
// its Go backend, fdchannel and wire: how a socket is made close-on-exec, how an address lies
// in memory, what can be asked of a file. What differs in the message itself, such as the room
// for control data, is in the backends, internal/pure and csrc. It also informs the race detector
// of messages, where a build has one.
//
// The first part of a file's name is its subject. The second part is a system, a group of
// systems or, where that says more, what these have: socket_forklock.go. A function has its
// comment in the file for Linux, in that for all Unix systems, or where it does something.
package sys

import "errors"

// ErrNotUnix is that of what is no AF_UNIX socket.
var ErrNotUnix = errors.New("scm: not a Unix socket")

// Error returns an error with a text of its own that wraps errno.
func Error(text string, errno error) error { return &errnoError{text, errno} }

type errnoError struct {
	text  string
	errno error
}

func (e *errnoError) Error() string { return e.text }
func (e *errnoError) Unwrap() error { return e.errno }
