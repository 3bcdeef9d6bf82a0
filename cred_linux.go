package scm

import "golang.org/x/sys/unix"

// nobody is (uid_t)-1: the kernel has no credentials of a peer.
const nobody = 1<<32 - 1

func peerCred(sock int) (cred Cred, call string, err error) {
	u, err := unix.GetsockoptUcred(sock, unix.SOL_SOCKET, unix.SO_PEERCRED)
	switch {
	case err != nil:
		return Cred{}, "getsockopt", err
	case u.Uid == nobody:
		return Cred{}, "getsockopt", unix.ENOTCONN
	}
	return Cred{PID: int(u.Pid), UID: int(u.Uid), GID: int(u.Gid)}, "", nil
}
