//go:build !cgo || !linux

package difftest

import "testing"

func TestWalk(t *testing.T) {
	missing(t, "the backends are compared on Linux with cgo")
}
