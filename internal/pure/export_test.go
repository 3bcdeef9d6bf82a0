//go:build linux

package pure

import (
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
)

// PutControl is the control buffer that Send gives the kernel for m.
func PutControl(m *msg.Message) []byte {
	var c control
	buf := c.bytes()
	return buf[:putControl(buf, m)]
}

var ControlRoom = controlRoom

const (
	PairControl = pairControl
	CredBytes   = credBytes

	SizeofMmsghdr    = unsafe.Sizeof(mmsghdr{})
	OffsetMmsghdrHdr = unsafe.Offsetof(mmsghdr{}.hdr)
	OffsetMmsghdrLen = unsafe.Offsetof(mmsghdr{}.len)
)
