package scm

import (
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// Nonblock reports whether O_NONBLOCK is set on f, such as a received file. It is
// one fcntl(2) of F_GETFL.
//
// The flag belongs to the open file description. So what a Go program sends
// often has it set, and a C program that receives it must expect EAGAIN.
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

// SetNonblock sets or clears O_NONBLOCK on f, for everybody who has the open file
// description: on a file that was received, the sender too. On Linux it is one ioctl(2)
// of FIONBIO, which changes no other flag; elsewhere fcntl(2) of F_GETFL and F_SETFL.
//
// An [os.File] is in the runtime's poller if the flag was set when the file was
// made (for received files see [NewFile]). Clear it before a file is passed on to a
// program that expects to block:
// reads and writes here then block a thread, and have no deadline. Setting it
// later gives EAGAIN: make a new file, or for a socket a [Conn].
func SetNonblock(f syscall.Conn, on bool) error {
	raw, err := rawConn(f)
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error { return sys.SetNonblock(fd, on) })
}
