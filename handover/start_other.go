//go:build !linux

package handover

import (
	"os/exec"

	"github.com/scm-rights/scm"
)

// start starts a successor and returns a function that waits for it to exit.
func (m *manager) start(cmd *exec.Cmd) (wait func() error, err error) {
	return cmd.Wait, cmd.Start()
}

func openPIDFD(*scm.Conn, int) int { return -1 }

func hasExited(_, _ int) bool { return false }
