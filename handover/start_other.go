//go:build !linux

package handover

import "os/exec"

// start starts a successor and returns a function that waits for it to exit.
func (m *manager) start(cmd *exec.Cmd) (wait func() error, err error) {
	return cmd.Wait, cmd.Start()
}
