package scmflags

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

func discarded(sock int, p, oob []byte) ([]int, error) {
	_, oobn, _, _, err := unix.Recvmsg(sock, p, oob, unix.MSG_CMSG_CLOEXEC) // want `nothing reads the flags of this receive, so the loss of descriptors \(MSG_CTRUNC\) goes unnoticed`
	if err != nil {
		return nil, err
	}
	return rights(oob[:oobn])
}

func discardedByNet(conn *net.UnixConn, p, oob []byte) (int, error) {
	n, _, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	return n, err
}

func discardedByInterface(conn net.Conn, p, oob []byte) (int, error) {
	n, _, _, _, err := conn.(interface { // want `nothing reads the flags`
		ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error)
	}).ReadMsgUnix(p, oob)
	return n, err
}

func discardedBySyscall(sock int, p, oob []byte) (int, error) {
	n, _, _, _, err := syscall.Recvmsg(sock, p, oob, 0) // want `nothing reads the flags`
	return n, err
}

func read(sock int, p, oob []byte) ([]int, error) {
	_, oobn, flags, _, err := unix.RecvmsgBuffers(sock, [][]byte{p}, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	fds, err := rights(oob[:oobn])
	if flags&unix.MSG_CTRUNC != 0 {
		closeAll(fds)
		return nil, errors.New("truncated")
	}
	return fds, err
}

func returned(conn *net.UnixConn, p, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error) {
	return conn.ReadMsgUnix(p, oob)
}

func withoutControlData(conn *net.UnixConn, p []byte) (int, error) {
	n, _, _, _, err := conn.ReadMsgUnix(p, nil)
	return n, err
}

func exactCount(conn *net.UnixConn, p, oob []byte, want int) error {
	_, oobn, _, _, err := conn.ReadMsgUnix(p, oob)
	if err != nil {
		return err
	}
	m, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&m[0])
	if want != len(fds) {
		closeAll(fds)
	}
	return err
}

func onlyZero(conn *net.UnixConn, p, oob []byte, m *unix.SocketControlMessage) error {
	_, _, _, _, err := conn.ReadMsgUnix(p, oob) // want `nothing reads the flags`
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(m)
	if len(fds) == 0 {
		return errors.New("no descriptor")
	}
	closeAll(fds)
	return err
}

func rights([]byte) ([]int, error)

func closeAll([]int)
