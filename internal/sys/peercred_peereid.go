//go:build netbsd || openbsd

package sys

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func PeerCred(sock int) (pid, uid, gid int, err error) {
	level, option := 0, 3 // LOCAL_PEEREID of NetBSD
	if runtime.GOOS == "openbsd" {
		level, option = unix.SOL_SOCKET, 0x1022 // SO_PEERCRED
	}
	if err := needUnix(sock); err != nil {
		return 0, -1, -1, err
	}
	f, err := unix.GetsockoptICMPv6Filter(sock, level, option) // any getter of x/sys with room for three integers
	if err != nil {
		return 0, -1, -1, os.NewSyscallError("getsockopt", err)
	}
	if ids := f.Filt; runtime.GOOS == "openbsd" {
		uid, gid, pid = int(ids[0]), int(ids[1]), int(ids[2])
	} else {
		pid, uid, gid = int(ids[0]), int(ids[1]), int(ids[2])
	}
	return pid, uid, gid, nil
}
