package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const soPeerGroups = 59 // SO_PEERGROUPS of asm-generic/socket.h

// PeerGroups returns the supplementary groups that the process at the other end of a Unix socket had when it connected.
func PeerGroups(sock int) ([]uint32, error) {
	for n := uint32(64); ; {
		groups := make([]uint32, n)
		size := 4 * n
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(sock), unix.SOL_SOCKET, soPeerGroups,
			uintptr(unsafe.Pointer(unsafe.SliceData(groups))), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno != unix.ERANGE:
			return nil, errno
		}
		n = size / 4
	}
}

// SetThreadIDs changes the user and the groups of the calling thread only. The thread should end soon, because other
// goroutines must not run on it.
func SetThreadIDs(uid, gid uint32, groups []uint32) error {
	_, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
	if errno == 0 {
		_, _, errno = unix.RawSyscall(sysSetresgid, uintptr(gid), uintptr(gid), uintptr(gid))
	}
	if errno == 0 {
		_, _, errno = unix.RawSyscall(sysSetresuid, uintptr(uid), uintptr(uid), uintptr(uid))
	}
	_, err := result(0, errno)
	return err
}
