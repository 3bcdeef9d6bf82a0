//go:build !unix

package scm_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/scm-rights/scm"
)

// Nothing makes a Conn on systems that cannot pass descriptors.
func TestUnsupportedConn(t *testing.T) {
	ctx := context.Background()
	calls := map[string]func() error{
		"NewConn":      func() error { _, err := scm.NewConn(os.Stdin); return err },
		"NewConnFD":    func() error { _, err := scm.NewConnFD(0); return err },
		"Dial":         func() error { _, err := scm.Dial(ctx, "unix", "socket"); return err },
		"Listen":       func() error { _, err := scm.Listen(ctx, "unix", "socket"); return err },
		"ListenPacket": func() error { _, err := scm.ListenPacket(ctx, "unixgram", "socket"); return err },
		"Pair":         func() error { _, _, err := scm.Pair("unix"); return err },
		"Nonblock":     func() error { _, err := scm.Nonblock(os.Stdin); return err },
		"SetNonblock":  func() error { return scm.SetNonblock(os.Stdin, true) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, scm.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !errors.Is(scm.ErrInUse, scm.ErrUnsupported) {
		t.Error("ErrInUse does not say that the system cannot pass descriptors")
	}
}
