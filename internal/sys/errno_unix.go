//go:build unix

package sys

import "syscall"

// Errnos that package scm itself returns.
const (
	EINVAL       = syscall.EINVAL
	EMSGSIZE     = syscall.EMSGSIZE
	ENAMETOOLONG = syscall.ENAMETOOLONG
	EADDRINUSE   = syscall.EADDRINUSE

	ENOTSOCK        = syscall.ENOTSOCK
	EPROTONOSUPPORT = syscall.EPROTONOSUPPORT
)
