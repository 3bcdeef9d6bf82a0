package fdtest

import (
	"net"
	"syscall"
)

// Socket is a net.Conn and a net.Listener that has a descriptor and can do nothing else. It lets a test
// pass any file to a call that sends the descriptor of a connection.
type Socket struct {
	net.Conn
	net.Listener
	file syscall.Conn
}

// AsSocket returns a Socket with the descriptor of f, which it does not own.
func AsSocket(f syscall.Conn) Socket { return Socket{file: f} }

// SyscallConn returns the file's SyscallConn.
func (s Socket) SyscallConn() (syscall.RawConn, error) { return s.file.SyscallConn() }

// Close does nothing.
func (Socket) Close() error { return nil }
