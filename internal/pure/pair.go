//go:build unix

package pure

import (
	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"
)

// pairFD returns the descriptor that ReadFD returns for a message with a capacity of one: the
// received one, -1, or FDLost if MSG_CTRUNC is set.
func pairFD(m *msg.Message) int32 {
	switch {
	case m.Flags&unix.MSG_CTRUNC != 0:
		if m.NFD == 1 {
			closeFD(int32(m.FDs[0]))
		}
		return FDLost
	case m.NFD == 0:
		return -1
	}
	return int32(m.FDs[0])
}
