//go:build !linux

package httpdrain

import "net"

// isUnread returns false: here, it is not known whether the socket of a connection has bytes to read.
func isUnread(net.Conn) bool { return false }
