//go:build aix || darwin

package fdchannel

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// newSockets sets close-on-exec while no child process can be started: there is
// no SOCK_CLOEXEC here.
func newSockets() ([2]int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return [2]int{-1, -1}, err
	}
	for _, fd := range pair {
		unix.CloseOnExec(fd)
	}
	return pair, nil
}
