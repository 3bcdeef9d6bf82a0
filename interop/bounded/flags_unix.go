//go:build unix

package bounded

import (
	"errors"
	"os"
	"syscall"
)

// Flags of open for a file whose folder is somebody else's: it is no wait for the other end
// of a FIFO, and no link is followed.
const (
	Nonblock = syscall.O_NONBLOCK
	NoFollow = syscall.O_NOFOLLOW
)

// NoReader reports whether open(2) failed because no process has the FIFO open for reading.
func NoReader(err error) bool { return errors.Is(err, syscall.ENXIO) }

// Owner returns the owner and the group of a file.
func Owner(info os.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1, false
	}
	return int(st.Uid), int(st.Gid), true
}
