// Package forwarded receives control data that another package parses.
package forwarded

import (
	"io"

	"golang.org/x/sys/unix"
)

func receive(sock int, p, oob []byte) (n, oobn int, err error) {
	n, oobn, _, _, err = unix.Recvmsg(sock, p, oob, 0) // want `without MSG_CMSG_CLOEXEC`
	return n, oobn, err
}

func local(sock int, p []byte) ([]byte, error) {
	oob := make([]byte, 64)
	n, oobn, _, _, err := unix.Recvmsg(sock, p, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if n < 4 {
		return nil, io.EOF // want `this return leaks the descriptors`
	}
	return oob[:oobn], nil
}
