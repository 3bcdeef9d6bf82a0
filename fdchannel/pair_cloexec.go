//go:build unix && !aix && !darwin

package fdchannel

import "golang.org/x/sys/unix"

func newSockets() ([2]int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return [2]int{-1, -1}, err
	}
	return pair, nil
}
