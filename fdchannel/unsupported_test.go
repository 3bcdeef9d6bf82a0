//go:build !unix

package fdchannel_test

import (
	"errors"
	"testing"

	"github.com/scm-rights/scm/fdchannel"
)

// On systems that cannot pass descriptors, every call returns an error.
func TestUnsupported(t *testing.T) {
	socks, err := fdchannel.NewConnectedSockets()
	ep := fdchannel.NewEndpoint(3)
	fd, received := ep.RecvFD()
	for _, err := range []error{err, ep.SendFD(0), received} {
		if err != errors.ErrUnsupported || socks != [2]int{-1, -1} || fd != -1 {
			t.Errorf("got %v, %v and descriptor %d; want ErrUnsupported and -1", err, socks, fd)
		}
	}
}
