package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Options of SOL_SOCKET for SetOption. SO_PASSRIGHTS is new in Linux 6.16, and the oldest supported x/sys
// does not define it. Its value is the same on every architecture that Go supports.
const (
	OptionPassCred   = unix.SO_PASSCRED
	OptionPassPIDFD  = unix.SO_PASSPIDFD
	OptionPassRights = 0x53
)

// SetOption sets an option of SOL_SOCKET and reads it back, because gVisor accepts options that it does
// not know.
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

// asksForControl reports whether sock has an option that makes the kernel add other control data to the
// descriptors of a message. It does not find SO_INQ, because no kernel returns the value of that option.
func asksForControl(sock int) bool {
	for _, option := range []int{
		unix.SO_PASSCRED, unix.SO_PASSPIDFD, unix.SO_PASSSEC,
		unix.SO_TIMESTAMP, unix.SO_TIMESTAMP_NEW, unix.SO_TIMESTAMPNS, unix.SO_TIMESTAMPNS_NEW,
	} {
		if on, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, option); err == nil && on != 0 {
			return true
		}
	}
	return false
}

// PeerPIDFD returns a pidfd for the process at the other end of a socket, or -1 on error.
func PeerPIDFD(sock int) (int, error) {
	pidfd, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return -1, optionError("getsockopt", err)
	}
	return pidfd, nil
}

// optionError also wraps ErrUnsupported if the kernel does not know the option.
func optionError(call string, err error) error {
	if err == unix.ENOPROTOOPT {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return os.NewSyscallError(call, err)
}

// OwnPIDFDID returns the inode number of this process's pidfds, which no other process ever has. ok is
// false if the kernel does not provide it: before Linux 6.9, or if a seccomp filter rejects the system
// calls.
func OwnPIDFDID() (id uint64, ok bool) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return 0, false
	}
	defer Close(fd)
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Fstatfs(fd, &fs) != nil || fs.Type != unix.PID_FS_MAGIC || unix.Fstat(fd, &st) != nil {
		return 0, false
	}
	return st.Ino, true
}
