package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// OwnPIDFDID returns the inode number of this process's pidfds, which no other process ever has. ok is
// false if the kernel does not provide it: before Linux 6.9, or if a seccomp filter rejects the system
// calls.
func OwnPIDFDID() (id uint64, ok bool) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return 0, false
	}
	defer Close(fd)
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Fstatfs(fd, &fs) != nil || fs.Type != unix.PID_FS_MAGIC || unix.Fstat(fd, &st) != nil {
		return 0, false
	}
	return st.Ino, true
}
