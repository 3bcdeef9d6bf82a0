package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// nobody is (uid_t)-1: the kernel has no credentials of a peer.
const nobody = 1<<32 - 1

// PeerCred returns the process at the other end of a socket, its user and its group, as
// the kernel kept them when the connection was made. PID 0 stands for none.
func PeerCred(sock int) (pid, uid, gid int, err error) {
	u, err := unix.GetsockoptUcred(sock, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err == nil && u.Uid == nobody {
		err = unix.ENOTCONN
	}
	if err != nil {
		return 0, -1, -1, os.NewSyscallError("getsockopt", err)
	}
	return int(u.Pid), int(u.Uid), int(u.Gid), nil
}
