package scmnewfile

import (
	"os"

	"golang.org/x/sys/unix"
)

func received(message *unix.SocketControlMessage) (files []*os.File) {
	fds, err := unix.ParseUnixRights(message)
	if err != nil {
		return nil
	}
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "")) // want `os.NewFile polls a received file that the sender made non-blocking, so a sender that serves it by FUSE can stop the whole program; use scm.NewFile, or clear O_NONBLOCK first \(scmnewfile\)`
	}
	first := uintptr(fds[0])
	return append(files, os.NewFile(uintptr(fds[0]), ""), os.NewFile(first, "")) // want `os.NewFile polls` `os.NewFile polls`
}

func other(fd int) *os.File { return os.NewFile(uintptr(fd), "") }
