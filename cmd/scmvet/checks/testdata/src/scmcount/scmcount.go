package scmcount

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

func unchecked(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0]) // want `nothing checks len\(messages\), which may be 0, or more than the program uses and closes`
	if err != nil {
		return -1, err
	}
	return fds[0], nil // want `nothing checks len\(fds\)`
}

func checked(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	if len(fds) != 1 {
		closeAll(fds)
		return -1, errors.New("bad count")
	}
	return fds[0], nil
}

func byOther(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err == nil {
		err = check(fds)
	}
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// The parser returns an error for a buffer of zeros.
func whole(sock int) ([]int, error) {
	oob := make([]byte, 24)
	_, _, _, _, err := unix.Recvmsg(sock, nil, oob, 0)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	return unix.ParseUnixRights(&messages[0])
}

func loop(message *unix.SocketControlMessage) (first int, err error) {
	fds, err := unix.ParseUnixRights(message)
	for i, fd := range fds {
		if i > 0 {
			unix.Close(fd)
		}
	}
	return fds[0], err
}

func pair(fds []int) int { return fds[0] + fds[1] }

func check([]int) error

func closeAll([]int)

// The second descriptor stays open.
func onlyZero(message *unix.SocketControlMessage) (int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil || len(fds) == 0 {
		return -1, err
	}
	return fds[0], nil // want `nothing checks len\(fds\)`
}

func second(message *unix.SocketControlMessage) (int, int, error) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return -1, -1, err
	}
	return fds[0], fds[1], nil
}

// The buffer takes one descriptor.
func exactlyOne(sock int) (int, error) {
	oob := make([]byte, unix.CmsgLen(4))
	_, oobn, _, _, err := unix.Recvmsg(sock, nil, oob, 0)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) == 0 {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return -1, err
	}
	return fds[0], nil
}

// An Internet socket carries no descriptors.
func internet(conn *net.UDPConn, oob []byte) (*unix.SocketControlMessage, error) {
	_, oobn, _, _, err := conn.ReadMsgUDP(nil, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	return &messages[0], nil
}
