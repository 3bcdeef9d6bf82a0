package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Options of SOL_SOCKET that SetOption sets. SO_PASSRIGHTS is of Linux 6.16, and younger than the
// oldest x/sys that does; no architecture of Go has a number of its own for it.
const (
	OptionPassCred   = unix.SO_PASSCRED
	OptionPassPIDFD  = unix.SO_PASSPIDFD
	OptionPassRights = 0x53
)

// SetOption sets an option of SOL_SOCKET and asks whether it took: gVisor accepts options
// that it does not know.
func SetOption(sock, option int, on bool) error {
	value := 0
	if on {
		value = 1
	}
	if err := unix.SetsockoptInt(sock, unix.SOL_SOCKET, option, value); err != nil {
		return optionError("setsockopt", err)
	}
	now, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, option)
	switch {
	case err != nil:
		return optionError("getsockopt", err)
	case now != value:
		return optionError("setsockopt", unix.ENOPROTOOPT)
	}
	return nil
}

// PeerPIDFD returns a pidfd of the process at the other end of a socket, or -1.
func PeerPIDFD(sock int) (int, error) {
	pidfd, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return -1, optionError("getsockopt", err)
	}
	return pidfd, nil
}

// optionError is also ErrUnsupported for an option that the kernel does not know.
func optionError(call string, err error) error {
	if err == unix.ENOPROTOOPT {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return os.NewSyscallError(call, err)
}
