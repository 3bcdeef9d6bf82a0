//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !solaris

package sys

import (
	"errors"
	"os"
)

func PeerCred(int) (pid, uid, gid int, err error) {
	return 0, -1, -1, os.NewSyscallError("getsockopt", errors.ErrUnsupported)
}
