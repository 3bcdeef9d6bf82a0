//go:build unix && !linux

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// modeFlags are the flags of open(2) that are not status flags: the access mode and the file creation flags.
const modeFlags = unix.O_ACCMODE | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC | unix.O_CLOEXEC |
	unix.O_DIRECTORY | unix.O_NOFOLLOW

var flagNames = []flagName{{unix.O_APPEND, "O_APPEND"}, {unix.O_NONBLOCK, "O_NONBLOCK"}, {unix.O_SYNC, "O_SYNC"}}

var familyNames map[int]string

func CanTell(kind string, more bool) bool {
	switch kind {
	case "", "regular", "directory", "symlink", "pipe", "socket", "character device", "block device":
		return !more
	}
	return false
}

// pathFlag is 0 because an access mode of "path" exists on Linux only.
const pathFlag = 0

func (f *File) Identify(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if f.Kind = kindOf(uint32(st.Mode)); f.Kind != "socket" {
		return nil
	}
	var err error
	if f.Type, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil && err != unix.EAFNOSUPPORT { // x/sys does not know the family
		return os.NewSyscallError("getsockname", err)
	}
	switch name.(type) {
	case *unix.SockaddrUnix:
		f.Family = unix.AF_UNIX
	case *unix.SockaddrInet4:
		f.Family = unix.AF_INET
	case *unix.SockaddrInet6:
		f.Family = unix.AF_INET6
	}
	return nil
}

// HasPoll always reports true: these systems can poll every file.
func HasPoll(int) bool { return true }

// Pollable reports whether a received file may enter the runtime's poller: pipes and sockets may. For a
// file in a FUSE file system, fstat(2) queries its server.
func Pollable(fd int) bool {
	if HasNetType(fd) {
		return true
	}
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && kindOf(uint32(st.Mode)) == "pipe"
}

// HasNetType reports whether a file is a socket. Package net itself rejects families that it does not
// know.
func HasNetType(fd int) bool {
	is, _ := IsSocket(fd)
	return is
}
