package scmcloexec

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

func without(sock int, oob []byte) {
	unix.Recvmsg(sock, nil, oob, 0)                        // want `without MSG_CMSG_CLOEXEC, a child process started at this moment inherits the received descriptors`
	unix.RecvmsgBuffers(sock, nil, oob, unix.MSG_DONTWAIT) // want `without MSG_CMSG_CLOEXEC`
	syscall.Recvmsg(sock, nil, oob, syscall.MSG_DONTWAIT)  // want `without MSG_CMSG_CLOEXEC`
}

func with(sock, flags int, oob []byte) {
	unix.Recvmsg(sock, nil, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	unix.Recvmsg(sock, nil, oob, flags)
	unix.Recvmsg(sock, oob, nil, 0)
}

func locked(sock int, oob []byte) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	unix.Recvmsg(sock, nil, oob, unix.MSG_DONTWAIT)
	syscall.CloseOnExec(rights(oob))
}

// Package net passes the flag.
func byNet(conn *net.UnixConn, oob []byte) {
	conn.ReadMsgUnix(nil, oob)
}

func rights(oob []byte) int {
	fds, _ := unix.ParseUnixRights(&unix.SocketControlMessage{Data: oob})
	return fds[0]
}
