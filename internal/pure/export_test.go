//go:build linux

package pure

import "github.com/scm-rights/scm/internal/msg"

// PutControl returns the control buffer that Send passes to the kernel for m, of any size.
func PutControl(m *msg.Message) []byte {
	var c control
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
)
