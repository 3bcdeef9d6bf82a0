//go:build !plan9

package handover

import (
	"io"
	"syscall"
)

// The errors that package syscall does not define on every system.
const (
	errQueueFull = syscall.EAGAIN
	errRefused   = syscall.ECONNREFUSED
	errInUse     = syscall.EADDRINUSE
)

// disconnected are the errors of a connection whose other end has been closed.
var disconnected = []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOTCONN}
