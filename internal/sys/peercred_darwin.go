package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

func PeerCred(sock int) (pid, uid, gid int, err error) {
	uid, gid, err = xucred(sock)
	if err != nil {
		return 0, -1, -1, err
	}
	pid, err = unix.GetsockoptInt(sock, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return 0, -1, -1, os.NewSyscallError("getsockopt", err)
	}
	return pid, uid, gid, nil
}
