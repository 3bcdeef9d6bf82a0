package scm

import (
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// Nonblock reports whether O_NONBLOCK is set on f. The flag belongs to the open file description, which a
// file shares with every duplicate that was sent to another process. Files that a Go program sends often
// have it set. A C program that receives such a file must expect EAGAIN.
//
// Nonblock makes one fcntl(2) call with F_GETFL. The error is [os.ErrInvalid] if f is nil, [os.ErrClosed]
// or [net.ErrClosed] if f is closed, or one that wraps the errno.
func Nonblock(f syscall.Conn) (bool, error) {
	raw, err := rawConn(f)
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

// SetNonblock sets or clears O_NONBLOCK on f, and therefore for every process that shares the open file
// description.
//
// Package os clears the flag on each file that it passes to a child process, and a call to [os.File.Fd] does
// too: see [Pair]. Set it again if this process still uses the file.
//
// Clear the flag before you send a file to a program that expects calls on the file to block. In this
// process, reads and writes of the file then block a thread and have no deadline. If you set the flag on an
// [os.File] that was created without it, reads and writes that would block fail with EAGAIN: create a new
// file with [NewFile].
//
// On Linux, SetNonblock makes one ioctl(2) call with FIONBIO, which changes no other flag. On other systems
// it calls fcntl(2) with F_GETFL and F_SETFL. It returns the same errors as [Nonblock].
func SetNonblock(f syscall.Conn, on bool) error {
	raw, err := rawConn(f)
	if err != nil {
		return err
	}
	return sys.Control(raw, func(fd int) error { return sys.SetNonblock(fd, on) })
}
