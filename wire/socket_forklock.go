//go:build aix || darwin

package wire

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// datagramSocket sets close-on-exec while no child process can be started: there is
// no SOCK_CLOEXEC here.
func datagramSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		unix.CloseOnExec(sock)
	}
	return sock, err
}
