//go:build linux

package pure

import "github.com/scm-rights/scm/internal/msg"

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

var (
	ControlRoom = controlRoom
	TakeControl = takeControl
	PairFD      = pairFD
)

const (
	PairControl = pairControl
	CredBytes   = credBytes
	SmallFDs    = smallFDs
)
