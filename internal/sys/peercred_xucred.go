//go:build darwin || freebsd

package sys

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// localPeerPID is LOCAL_PEERPID, which FreeBSD does not have.
const localPeerPID = 2

func PeerCred(sock int) (pid, uid, gid int, err error) {
	if err := needUnix(sock); err != nil {
		return 0, -1, -1, err
	}
	x, err := unix.GetsockoptXucred(sock, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err == nil && runtime.GOOS == "freebsd" {
		// The PID follows the groups, at the end, in a union with a pointer. Before FreeBSD 13, it is 0.
		pid = int(*(*int32)(unsafe.Add(unsafe.Pointer(x), unix.SizeofXucred-unix.SizeofPtr)))
	} else if err == nil {
		pid, err = unix.GetsockoptInt(sock, unix.SOL_LOCAL, localPeerPID)
	}
	if err != nil {
		return 0, -1, -1, os.NewSyscallError("getsockopt", err)
	}
	gid = -1
	if x.Ngroups >= 1 {
		gid = int(x.Groups[0]) // the effective group is the first in the list
	}
	return pid, int(x.Uid), gid, nil
}
