//go:build !unix

package fdchannel_test

import (
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
)

// On systems that cannot pass descriptors every call says so.
func TestUnsupported(t *testing.T) {
	if socks, err := fdchannel.NewConnectedSockets(); err != scm.ErrUnsupported || socks != [2]int{-1, -1} {
		t.Errorf("NewConnectedSockets: %v, %v", socks, err)
	}
	ep := fdchannel.NewEndpoint(3)
	if err := ep.SendFD(0); err != scm.ErrUnsupported {
		t.Errorf("SendFD: %v", err)
	}
	if fd, err := ep.RecvFD(); err != scm.ErrUnsupported || fd != -1 {
		t.Errorf("RecvFD: %d, %v", fd, err)
	}
	if fd, err := ep.RecvFDNonblock(); err != scm.ErrUnsupported || fd != -1 {
		t.Errorf("RecvFDNonblock: %d, %v", fd, err)
	}
	ep.Shutdown()
	ep.Destroy()
}
