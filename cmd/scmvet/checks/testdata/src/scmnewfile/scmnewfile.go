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
		files = append(files, os.NewFile(uintptr(fd), "")) // want `os.NewFile polls the received file, so a sender that serves the file by FUSE can stop the whole program`
	}
	first := uintptr(fds[0])
	return append(files, os.NewFile(uintptr(fds[0]), ""), os.NewFile(first, "")) // want `os.NewFile polls` `os.NewFile polls`
}

func other(fd int) *os.File { return os.NewFile(uintptr(fd), "") }
