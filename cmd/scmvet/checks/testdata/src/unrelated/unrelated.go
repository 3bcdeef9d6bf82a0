// Package unrelated receives timestamps and interfaces, and no descriptors.
package unrelated

import "golang.org/x/sys/unix"

func timestamp(sock int) ([]unix.SocketControlMessage, error) {
	p, oob := make([]byte, 10), make([]byte, 64)
	n, oobn, _, _, err := unix.Recvmsg(sock, p, oob, 0)
	if err != nil || n > 5 {
		return nil, err
	}
	return unix.ParseSocketControlMessage(oob[:oobn])
}

func first(sock int, oob []byte) (*unix.SocketControlMessage, error) {
	_, oobn, _, _, err := unix.Recvmsg(sock, nil, oob, 0)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	return &messages[0], nil
}
