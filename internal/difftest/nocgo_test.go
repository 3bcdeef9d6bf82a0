//go:build !cgo || !linux

package difftest

import "testing"

func TestWalk(t *testing.T) {
	fdtest.Missing(t, "the backends are compared on Linux with cgo")
}
