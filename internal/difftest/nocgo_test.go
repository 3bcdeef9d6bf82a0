//go:build !cgo || !linux

package difftest

import (
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

func TestWalk(t *testing.T) {
	fdtest.Missing(t, "the backends are compared on Linux with cgo")
}
