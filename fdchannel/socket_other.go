//go:build !unix

package fdchannel

import "github.com/scm-rights/scm"

// There are no flags to give where scm makes no system call.
const (
	msgTrunc    = 0
	msgCtrunc   = 0
	msgDontWait = 0
)

func newSockets() ([2]int, error) {
	return [2]int{-1, -1}, scm.ErrUnsupported
}

func closeFD(int) {}

func shutdown(int) {}
