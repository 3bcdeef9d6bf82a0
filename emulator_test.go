//go:build linux

package scm_test

import (
	"encoding/binary"

	. "github.com/onsi/ginkgo/v2"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// cannotEmulateTwo skips a spec in which the pair receives two descriptors: on
// 64-bit systems its room admits both, on others one is cut off.
func cannotEmulateTwo() {
	GinkgoHelper()
	if unix.CmsgSpace(4) == unix.CmsgLen(4) {
		CannotEmulate(fdtest.NotCut)
	}
}

// bigEndian tells the byte order of this program; the kernel below an emulator may have the other.
func bigEndian() bool {
	return binary.NativeEndian.Uint16([]byte{0, 1}) == 1
}
