//go:build !unix

package pure

import (
	"errors"

	"github.com/scm-rights/scm/internal/msg"
)

// WriteFD returns ErrUnsupported.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	return -1, errors.ErrUnsupported
}

// ReadFD returns ErrUnsupported.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	return -1, -1, errors.ErrUnsupported
}

// Send returns ErrUnsupported.
func Send(sock int32, m *msg.Message, flags int) error {
	m.ClearResults()
	return errors.ErrUnsupported
}

// Recv returns ErrUnsupported.
func Recv(sock int32, m *msg.Message, flags int) error {
	m.ClearReceived()
	return errors.ErrUnsupported
}
