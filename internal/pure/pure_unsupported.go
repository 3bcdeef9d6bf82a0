//go:build !unix

package pure

import "errors"

// WriteFD says that the system cannot pass descriptors.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	return -1, errors.ErrUnsupported
}

// ReadFD says that the system cannot pass descriptors.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	return -1, -1, errors.ErrUnsupported
}

// Send says that the system cannot pass descriptors.
func Send(sock int32, bufs [][]byte, fds []int32, flags int) (n int, err error) {
	return -1, errors.ErrUnsupported
}

// Recv says that the system cannot pass descriptors.
func Recv(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	return -1, 0, 0, errors.ErrUnsupported
}
