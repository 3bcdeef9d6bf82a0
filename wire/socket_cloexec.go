//go:build unix && !aix && !darwin

package wire

import "golang.org/x/sys/unix"

// datagramSocket returns a new socket that is close-on-exec.
func datagramSocket() (int, error) {
	return unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
}
