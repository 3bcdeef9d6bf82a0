//go:build linux

package pure

import (
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
)

// PutControl returns the control buffer that Send passes to the kernel for m, of any size.
func PutControl(m *msg.Message) []byte {
	var c control
	buf := c.bytes()
	return buf[:putControl(buf, m)]
}

// PutSmallControl does the same for a message with up to SmallFDs descriptors and no credentials.
func PutSmallControl(m *msg.Message) []byte {
	var c smallControl
	buf := c.bytes()
	return buf[:putControl(buf, m)]
}

// PutUsedControl does the same for a message of a batch whose memory an earlier batch has used.
func PutUsedControl(m *msg.Message) []byte {
	b := new(batch)
	buf := b.control[0].bytes()
	for i := range buf {
		buf[i] = 0xff
	}
	b.putControl(0, m)
	return buf[:b.msgs[0].hdr.Controllen]
}

var (
	ControlRoom = controlRoom
	TakeControl = takeControl
	PairFD      = pairFD
)

const (
	PairControl = pairControl
	CredBytes   = credBytes
	SmallFDs    = smallFDs

	SizeofMmsghdr    = unsafe.Sizeof(mmsghdr{})
	OffsetMmsghdrHdr = unsafe.Offsetof(mmsghdr{}.hdr)
	OffsetMmsghdrLen = unsafe.Offsetof(mmsghdr{}.len)
)
