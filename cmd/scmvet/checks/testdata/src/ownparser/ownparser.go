// Package ownparser takes the descriptors from control data without ParseUnixRights, and knows other sockets too.
package ownparser

import "golang.org/x/sys/unix"

func open() (int, error) { return unix.Socket(unix.AF_NETLINK, 0, 0) }

func receive(sock int, oob []byte) (data []byte, err error) {
	_, oobn, _, _, err := unix.Recvmsg(sock, nil, oob, 0) // want `without MSG_CMSG_CLOEXEC`
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		if m.Header.Type == unix.SCM_RIGHTS {
			data = append(data, m.Data...)
		}
	}
	return data, err
}
