package scm

import (
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// Nonblock reports whether O_NONBLOCK is set on f. The flag belongs to the open file description: what
// a Go program sends often has it set, and a C program that receives it must expect EAGAIN.
func Nonblock(f syscall.Conn) (bool, error) {
	raw, err := rawConn(f)
	if err != nil {
		return false, err
	}
	var on bool
	err = control(raw, func(fd int) error {
		on, err = sys.Nonblock(fd)
		return err
	})
	return on, err
}

// SetNonblock sets or clears O_NONBLOCK on f, for everybody who has the open file description. Clear it
// before a file is passed on to a program that expects to block; reads and writes here then block a
// thread, and have no deadline. Set later on an [os.File] it gives EAGAIN: make a new file.
func SetNonblock(f syscall.Conn, on bool) error {
	raw, err := rawConn(f)
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error { return sys.SetNonblock(fd, on) })
}
