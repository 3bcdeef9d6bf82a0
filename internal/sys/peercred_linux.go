package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// noUID is (uid_t)-1, which the kernel returns if it has no credentials for the peer.
const noUID = 1<<32 - 1

// PeerCred returns the PID, user and group of the process at the other end of a socket, as recorded by
// the kernel when the connection was made. PID 0 means that there is no PID.
func PeerCred(sock int) (pid, uid, gid int, err error) {
	u, err := unix.GetsockoptUcred(sock, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err == nil && u.Uid == noUID {
		err = unix.ENOTCONN
	}
	if err != nil {
		return 0, -1, -1, os.NewSyscallError("getsockopt", err)
	}
	return int(u.Pid), int(u.Uid), int(u.Gid), nil
}
