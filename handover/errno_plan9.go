package handover

import (
	"errors"
	"io"
)

// Plan 9 has no Unix sockets, so no call returns these.
var (
	errQueueFull = errors.New("resource temporarily unavailable")
	errRefused   = errors.New("connection refused")
	errInUse     = errors.New("address already in use")
)

var disconnected = []error{io.EOF, io.ErrUnexpectedEOF}
