package sys

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SymlinkAccess is the access mode of an opened symbolic link. Linux opens one only with O_PATH and
// O_NOFOLLOW.
const SymlinkAccess = "path"

// modeFlags are the flags of open(2) that are not status flags: the access mode, O_PATH, and the file
// creation flags. O_TMPFILE includes O_DIRECTORY.
const modeFlags = unix.O_ACCMODE | unix.O_PATH | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_TRUNC |
	unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_TMPFILE

// flagNames are the status flags that have a name. O_SYNC includes O_DSYNC, and so precedes it; the rest of O_SYNC
// is what a file with O_DSYNC lacks.
var flagNames = []flagName{
	{unix.O_APPEND, "O_APPEND"}, {unix.O_NONBLOCK, "O_NONBLOCK"}, {unix.O_ASYNC, "O_ASYNC"}, {unix.O_SYNC, "O_SYNC"},
	{unix.O_SYNC &^ unix.O_DSYNC, "O_SYNC"}, {unix.O_DSYNC, "O_DSYNC"}, {unix.O_DIRECT, "O_DIRECT"}, {unix.O_NOATIME, "O_NOATIME"},
}

// CanTell reports whether Look recognizes files of a kind and, if more is set, also seals, protocols
// and O_PATH.
func CanTell(string, bool) bool { return true }

// Look returns the kind of a descriptor's file, and how it was opened. It queries the kernel, and the
// file itself only for what the kernel does not know.
func Look(fd int) (f File, err error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return f, os.NewSyscallError("fcntl", err)
	}
	sealable := false
	if flags&unix.O_PATH != 0 {
		f.Access = "path" // no other query works
	} else {
		f.Access, f.Flags = accessOf(flags), StatusFlags(flags)
		if err := f.askSocket(fd); err != nil || f.Kind != "" {
			return f, err
		}
		if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err == nil {
			f.Seals, sealable = seals, true
		}
	}

	name, err := linkOf(fd)
	if err != nil {
		return f, err
	}
	if f.Kind = AnonymousKind(name); f.Kind != "" {
		return f, nil
	}
	mode, err := Mode(fd)
	if errors.Is(err, unix.EACCES) { // a FUSE file, which the kernel shows only to its user
		f.Kind = kindOf(0)
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.Kind = kindOf(mode)
	if sealable && strings.HasPrefix(name, "/memfd:") { // any tmpfs file has seals
		f.Kind = "memfd"
	}
	return f, nil
}

// askSocket fills in the fields of a socket. It leaves f unchanged for other files.
func (f *File) askSocket(fd int) error {
	for _, q := range []struct {
		option int
		answer *int
	}{
		{unix.SO_TYPE, &f.Type}, {unix.SO_DOMAIN, &f.Family}, {unix.SO_PROTOCOL, &f.Protocol},
	} {
		value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, q.option)
		switch {
		case err == unix.ENOTSOCK:
			return nil
		case err != nil:
			return os.NewSyscallError("getsockopt", err)
		}
		*q.answer = value
	}
	f.Kind = "socket"
	return nil
}

// linkOf returns the kernel's name for the file, or "" if the path is too long for readlink(2).
func linkOf(fd int) (string, error) {
	// Not /proc/self: a thread can have its own descriptor table.
	name, err := os.Readlink("/proc/thread-self/fd/" + strconv.Itoa(fd))
	if errors.Is(err, unix.ENAMETOOLONG) {
		return "", nil
	}
	return name, err
}

// Mode returns a file's st_mode, without waiting for a file system.
func Mode(fd int) (uint32, error) {
	mode, _, err := inode(fd)
	return mode, err
}

// inode returns a file's st_mode and st_rdev, without waiting for a file system.
func inode(fd int) (mode uint32, device uint64, err error) {
	var sx unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &sx)
	if err != unix.ENOSYS && err != unix.EPERM {
		return uint32(sx.Mode), unix.Mkdev(sx.Rdev_major, sx.Rdev_minor), os.NewSyscallError("statx", err)
	}
	// Some seccomp filters do not know statx.
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return st.Mode, uint64(st.Rdev), os.NewSyscallError("fstat", err)
}
