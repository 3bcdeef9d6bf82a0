//go:build unix

package scm

import "syscall"

const (
	errnoAgain          = syscall.EAGAIN
	errnoTooManyFDs     = syscall.EINVAL
	errnoTooManyBuffers = syscall.EMSGSIZE
	errnoNoRoom         = syscall.EMSGSIZE
	errnoNameTooLong    = syscall.ENAMETOOLONG
	errnoInUse          = syscall.EADDRINUSE
)
