//go:build !unix

package handover_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/internal/fdtest"
)

// On systems that cannot pass descriptors, a process serves without a predecessor, and cannot be replaced.
func TestUnsupported(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	for range 2 {
		p, err := handover.Start(ctx, path)
		fdtest.Must(t, err)
		defer func() {
			if err := p.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}()
		l, err := p.Listen(ctx, "web", "tcp", "127.0.0.1:0")
		fdtest.Must(t, err)
		defer func() { _ = l.Close() }()
		if f := p.File("state"); f != nil {
			t.Error("a file: ", f.Name())
		}
		if err := errors.Join(p.Keep("state", os.Stdin), p.Ready(ctx)); err != nil {
			t.Error(err)
		}
		if err := p.Upgrade(ctx, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Upgrade: %v", err)
		}
		select {
		case <-p.Replaced():
			t.Error("replaced")
		default:
		}
	}
}
