package report

import (
	"os"

	"golang.org/x/sys/unix"
)

// locked reports whether another run has the file locked, and if not locks it until it is
// closed. On a file system without locks nobody has.
func locked(f *os.File) (other bool) {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB)
		}
	})
	return err == unix.EWOULDBLOCK
}
