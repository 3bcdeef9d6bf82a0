//go:build !unix

package wire

import "github.com/scm-rights/scm"

// Nothing is sent or received on these systems.
const (
	noSignal         = 0
	controlTruncated = 0
	dataTruncated    = 0
)

func closeAll([]int) {}

func closeOnExec(int) error { return scm.ErrUnsupported }

func dialDatagram(string) (sock int, err error) { return -1, scm.ErrUnsupported }
