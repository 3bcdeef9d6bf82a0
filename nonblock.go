package scm

import (
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// Nonblock reports whether O_NONBLOCK is set on f, as it often is in Go programs (docs/pitfalls.md).
func Nonblock(f syscall.Conn) (bool, error) {
	raw, err := rawConn("file", f)
	if err != nil {
		return false, err
	}
	var on bool
	err = sys.Control(raw, func(fd int) error {
		on, err = sys.Nonblock(fd)
		return err
	})
	return on, err
}

// SetNonblock sets or clears O_NONBLOCK on f, for every process that shares the file. Clear it for a partner
// that expects calls on the file to block. Calls here then block a thread and have no deadline. If it is set
// on an [os.File] that was created without it, calls fail with EAGAIN, so create a new file with [NewFile].
func SetNonblock(f syscall.Conn, on bool) error {
	raw, err := rawConn("file", f)
	if err != nil {
		return err
	}
	return sys.Control(raw, func(fd int) error { return sys.SetNonblock(fd, on) })
}
