//go:build unix && !aix

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// DontWait makes a call fail with EAGAIN instead of waiting.
const DontWait = unix.MSG_DONTWAIT

// Lock locks a file until it is closed. It never waits: if the file is locked, it fails with EAGAIN.
func Lock(fd int) error {
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			return os.NewSyscallError("flock", err)
		}
	}
}
