// Package sys is all that the operating system decides, for package scm, its backends,
// fdchannel and wire: which call makes a descriptor close-on-exec, how an address lies in
// memory, what can be asked of a file.
//
// Its files are named by what a system can do. A function has its comment in the file for
// Linux, or in that for all Unix systems.
package sys

import "errors"

// ErrNotUnix is that of what is no AF_UNIX socket.
var ErrNotUnix = errors.New("scm: not a Unix socket")
