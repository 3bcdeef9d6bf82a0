//go:build !unix

package wire

import "github.com/scm-rights/scm"

// Nothing is sent or received on these systems.
const (
	noSignal         = 0
	controlTruncated = 0
	dataTruncated    = 0
	dontWait         = 0
)

func closeAll([]int) {}

func isCloseOnExec(int) (bool, error) { return false, scm.ErrUnsupported }

func closeOnExec(int) error { return scm.ErrUnsupported }

func wouldWait(error) bool { return false }

func dialDatagram(string) (sock int, err error) { return -1, scm.ErrUnsupported }
