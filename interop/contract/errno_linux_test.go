package contract

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestErrnoNames(t *testing.T) {
	for n := 1; n <= maxErrno; n++ {
		if name := unix.ErrnoName(unix.Errno(n)); name != "" && !isErrno(name) {
			t.Errorf("%d is %s, which is no errno", n, name)
		}
	}
}
