package peers

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// An interrupt need not wait for the process that builds.
func TestLockObeysTheContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), file)
	fdtest.Must(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, file); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
