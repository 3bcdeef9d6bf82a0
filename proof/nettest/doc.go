// Package nettest runs the tests for a net.Conn of golang.org/x/net with a scm.Conn.
package nettest
