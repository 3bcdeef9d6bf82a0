//go:build !plan9

package handover

import (
	"io"
	"syscall"
)

// Package syscall does not define these errors on every system.
const (
	errQueueFull = syscall.EAGAIN
	errRefused   = syscall.ECONNREFUSED
	errInUse     = syscall.EADDRINUSE
)

// disconnected lists the errors of a connection whose other end is closed.
var disconnected = []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOTCONN}
