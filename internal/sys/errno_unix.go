//go:build unix

package sys

import "syscall"

// The errnos that package scm itself returns.
const (
	EAGAIN       = syscall.EAGAIN
	EINVAL       = syscall.EINVAL
	EMSGSIZE     = syscall.EMSGSIZE
	ENAMETOOLONG = syscall.ENAMETOOLONG
	EADDRINUSE   = syscall.EADDRINUSE
)
