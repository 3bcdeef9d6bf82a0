//go:build !unix

package pure

import (
	"errors"

	"github.com/scm-rights/scm/internal/msg"
)

// WriteFD says that the system cannot pass descriptors.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	return -1, errors.ErrUnsupported
}

// ReadFD says that the system cannot pass descriptors.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	return -1, -1, errors.ErrUnsupported
}

// Send says that the system cannot pass descriptors.
func Send(sock int32, m *msg.Message, flags int) error {
	m.ClearResults()
	return errors.ErrUnsupported
}

// Recv says that the system cannot pass descriptors.
func Recv(sock int32, m *msg.Message, flags int) error {
	m.ClearReceived()
	return errors.ErrUnsupported
}

// SendBatch says that the system cannot pass descriptors.
func SendBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return -1, errors.ErrUnsupported
}

// RecvBatch says that the system cannot pass descriptors.
func RecvBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return -1, errors.ErrUnsupported
}
