//go:build !linux

package httpdrain

import "net"

// isUnread reports whether bytes wait in the socket of a connection, and false where that is not known.
func isUnread(net.Conn) bool { return false }
