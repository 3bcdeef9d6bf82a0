package nettest

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/scm-rights/scm"
)

// fdConn is a Conn whose Read and Write can pass descriptors.
type fdConn struct{ *scm.Conn }

func (c fdConn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, _, err = c.ReadFDs(p, nil)
	return n, err
}

func (c fdConn) Write(p []byte) (n int, err error) { return c.WriteFDs(p) }

func TestConn(t *testing.T) {
	for name, wrap := range map[string]func(c *scm.Conn) net.Conn{
		"Conn":                 func(c *scm.Conn) net.Conn { return c },
		"WithContext":          func(c *scm.Conn) net.Conn { return c.WithContext(t.Context()) },
		"ReadFDs and WriteFDs": func(c *scm.Conn) net.Conn { return fdConn{c} },
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
				x, y, err := scm.Pair("unix")
				if err != nil {
					return nil, nil, nil, err
				}
				return wrap(x), wrap(y), func() { _ = x.Close(); _ = y.Close() }, nil
			})
		})
	}
}
