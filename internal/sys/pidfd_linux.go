package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// OwnPIDFDID returns the number of the inode that a pidfd of this process has. No other
// process ever has it. ok is false where the kernel does not say: before Linux 6.9, or where
// a filter refuses the question.
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
