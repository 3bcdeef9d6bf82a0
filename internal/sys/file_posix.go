//go:build unix && !linux

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// SymlinkAccess is the access mode of a symbolic link that macOS opens with O_SYMLINK. It is also the
// result of accessOf for FreeBSD's O_PATH.
const SymlinkAccess = "read-only"

// modeFlags are the flags of open(2) that are not status flags: the access mode and the file creation flags.
const modeFlags = unix.O_ACCMODE | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC | unix.O_CLOEXEC |
	unix.O_DIRECTORY | unix.O_NOFOLLOW

var flagNames = []flagName{{unix.O_APPEND, "O_APPEND"}, {unix.O_NONBLOCK, "O_NONBLOCK"}, {unix.O_SYNC, "O_SYNC"}}

func CanTell(kind string, more bool) bool {
	switch kind {
	case "", "regular", "directory", "symlink", "pipe", "socket", "character device", "block device":
		return !more
	}
	return false
}

func Look(fd int) (f File, err error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return f, os.NewSyscallError("fcntl", err)
	}
	f.Access, f.Flags = accessOf(flags), StatusFlags(flags)
	mode, err := Mode(fd)
	if err != nil {
		return f, err
	}
	if f.Kind = kindOf(mode); f.Kind != "socket" {
		return f, nil
	}
	if f.Type, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return f, os.NewSyscallError("getsockopt", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil && err != unix.EAFNOSUPPORT { // x/sys does not know the family
		return f, os.NewSyscallError("getsockname", err)
	}
	switch name.(type) {
	case *unix.SockaddrUnix:
		f.Family = unix.AF_UNIX
	case *unix.SockaddrInet4:
		f.Family = unix.AF_INET
	case *unix.SockaddrInet6:
		f.Family = unix.AF_INET6
	}
	return f, nil
}

func Mode(fd int) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return uint32(st.Mode), nil
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
	_, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil
}
