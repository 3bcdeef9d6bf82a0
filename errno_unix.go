//go:build unix

package scm

import "syscall"

const (
	errnoTooManyFDs     = syscall.EINVAL
	errnoTooManyBuffers = syscall.EMSGSIZE
	errnoNoRoom         = syscall.EMSGSIZE
	errnoNameTooLong    = syscall.ENAMETOOLONG
	errnoInUse          = syscall.EADDRINUSE
)
