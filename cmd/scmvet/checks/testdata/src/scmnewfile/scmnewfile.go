package scmnewfile

import (
	"os"
	"syscall"

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

func blocking(message *unix.SocketControlMessage, flags int) (files []*os.File) {
	fds, _ := unix.ParseUnixRights(message)
	for _, fd := range fds {
		unix.SetNonblock(fd, false)
		files = append(files, os.NewFile(uintptr(fd), ""))
	}
	syscall.SetNonblock(fds[0], false)
	files = append(files, os.NewFile(uintptr(fds[0]), ""), os.NewFile(uintptr(fds[1]), "")) // want `os.NewFile polls`
	unix.FcntlInt(uintptr(fds[2]), unix.F_SETFL, flags&^unix.O_NONBLOCK)
	return append(files, os.NewFile(uintptr(fds[2]), ""))
}

func stillNonblocking(message *unix.SocketControlMessage, flags int, on bool) (files []*os.File) {
	fds, _ := unix.ParseUnixRights(message)
	unix.SetNonblock(fds[0], true)
	unix.SetNonblock(fds[1], on)
	unix.FcntlInt(uintptr(fds[2]), unix.F_SETFL, flags|unix.O_NONBLOCK)
	files = append(files, os.NewFile(uintptr(fds[0]), "")) // want `os.NewFile polls`
	files = append(files, os.NewFile(uintptr(fds[1]), "")) // want `os.NewFile polls`
	files = append(files, os.NewFile(uintptr(fds[2]), "")) // want `os.NewFile polls`
	files = append(files, os.NewFile(uintptr(fds[3]), "")) // want `os.NewFile polls`
	unix.SetNonblock(fds[3], false)
	return files
}
