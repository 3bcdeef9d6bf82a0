//go:build solaris

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

func PeerCred(sock int) (pid, uid, gid int, err error) {
	u, err := unix.GetPeerUcred(uintptr(sock))
	if err != nil {
		return 0, -1, -1, os.NewSyscallError("getpeerucred", err)
	}
	return u.Getpid(), u.Geteuid(), u.Getegid(), nil
}
