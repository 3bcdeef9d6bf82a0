//go:build darwin || freebsd

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// xucred returns the user and the effective group, which is the first in the list of groups.
func xucred(sock int) (uid, gid int, err error) {
	x, err := unix.GetsockoptXucred(sock, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, -1, os.NewSyscallError("getsockopt", err)
	}
	if x.Ngroups < 1 {
		return int(x.Uid), -1, nil
	}
	return int(x.Uid), int(x.Groups[0]), nil
}
