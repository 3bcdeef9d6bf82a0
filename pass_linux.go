package scm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	optionPassCred   = unix.SO_PASSCRED
	optionPassPIDFD  = unix.SO_PASSPIDFD
	optionPassRights = unix.SO_PASSRIGHTS
)

func setOption(sock, option, value int) (call string, err error) {
	err = unix.SetsockoptInt(sock, unix.SOL_SOCKET, option, value)
	if err != nil {
		return "setsockopt", knownOption(err)
	}
	now, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, option)
	switch {
	case err != nil:
		return "getsockopt", knownOption(err)
	case now != value:
		return "setsockopt", knownOption(unix.ENOPROTOOPT)
	}
	return "", nil
}

func peerPIDFD(sock int) (int, error) {
	pidfd, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	return pidfd, knownOption(err)
}

// knownOption makes ErrUnsupported of what the kernel says of an option that it
// does not know.
func knownOption(err error) error {
	if err == unix.ENOPROTOOPT {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}
