package httpdrain

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// isUnread reports whether the socket of a connection has bytes to read.
func isUnread(conn net.Conn) bool {
	inner, ok := conn.(interface{ NetConn() net.Conn }) // as tls.Conn has
	if ok {
		conn = inner.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	unread := uint32(0)
	_ = raw.Control(func(fd uintptr) { unread, _ = unix.IoctlGetUint32(int(fd), unix.TIOCINQ) })
	return unread > 0
}
