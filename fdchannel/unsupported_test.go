//go:build !unix

package fdchannel_test

import (
	"errors"
	"testing"

	"github.com/scm-rights/scm/fdchannel"
)

// On systems that cannot pass descriptors, every call returns an error.
func TestUnsupported(t *testing.T) {
	if socks, err := fdchannel.NewConnectedSockets(); err != errors.ErrUnsupported || socks != [2]int{-1, -1} {
		t.Errorf("NewConnectedSockets: %v, %v", socks, err)
	}
	ep := fdchannel.NewEndpoint(3)
	if err := ep.SendFD(0); err != errors.ErrUnsupported {
		t.Errorf("SendFD: %v", err)
	}
	if fd, err := ep.RecvFD(); err != errors.ErrUnsupported || fd != -1 {
		t.Errorf("RecvFD: %d, %v", fd, err)
	}
	if fd, err := ep.RecvFDNonblock(); err != errors.ErrUnsupported || fd != -1 {
		t.Errorf("RecvFDNonblock: %d, %v", fd, err)
	}
	ep.Shutdown()
	ep.Destroy()
}
