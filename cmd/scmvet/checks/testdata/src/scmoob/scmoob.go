package scmoob

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

func whole(sock int, oob []byte) ([]unix.SocketControlMessage, error) {
	_, oobn, _, _, err := unix.Recvmsg(sock, nil, oob, 0)
	if err != nil || oobn == 0 {
		return nil, err
	}
	return unix.ParseSocketControlMessage(oob) // want `the whole control buffer is parsed, although the receive may have filled only part of it`
}

func array(conn *net.UnixConn) ([]syscall.SocketControlMessage, error) {
	var oob [64]byte
	_, length, _, _, err := conn.ReadMsgUnix(nil, oob[:])
	if err != nil || length == 0 {
		return nil, err
	}
	return syscall.ParseSocketControlMessage(oob[:]) // want `the whole control buffer is parsed`
}

func withoutLength(conn *net.UnixConn) ([]syscall.SocketControlMessage, error) {
	oob := make([]byte, 64)
	if _, _, _, _, err := conn.ReadMsgUnix(nil, oob); err != nil {
		return nil, err
	}
	return syscall.ParseSocketControlMessage(oob) // want `the whole control buffer is parsed`
}

// The length is not known where the buffer is parsed, so that there is no fix.
func unknownLength(conn *net.UnixConn) ([]syscall.SocketControlMessage, error) {
	oob := make([]byte, 64)
	if _, oobn, _, _, err := conn.ReadMsgUnix(nil, oob); err != nil || oobn == 0 {
		return nil, err
	}
	return syscall.ParseSocketControlMessage(oob) // want `the whole control buffer is parsed`
}

func shortened(sock int, oob []byte) ([]unix.SocketControlMessage, error) {
	_, oobn, _, _, err := unix.Recvmsg(sock, nil, oob, 0)
	if err != nil {
		return nil, err
	}
	oob = oob[:oobn]
	return unix.ParseSocketControlMessage(oob)
}

// With one descriptor, the buffer is full.
func forOne(sock int) ([]unix.SocketControlMessage, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	if _, _, _, _, err := unix.Recvmsg(sock, nil, oob, 0); err != nil {
		return nil, err
	}
	return unix.ParseSocketControlMessage(oob)
}

func reused(sock int) error {
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		if _, _, _, _, err := unix.Recvmsg(sock, nil, oob, 0); err != nil {
			return err
		}
		unix.ParseSocketControlMessage(oob) // want `the whole control buffer is parsed`
	}
}

func reusedByRange(socks []int) error {
	oob := make([]byte, unix.CmsgSpace(4))
	for _, sock := range socks {
		if _, _, _, _, err := unix.Recvmsg(sock, nil, oob, 0); err != nil {
			return err
		}
		unix.ParseSocketControlMessage(oob) // want `the whole control buffer is parsed`
	}
	return nil
}

// The caller may have passed only a part.
func parameter(oob []byte) ([]unix.SocketControlMessage, error) {
	return unix.ParseSocketControlMessage(oob)
}
