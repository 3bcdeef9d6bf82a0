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

// HasPoll reports whether a file has a poll method. Without one, the runtime's poller rejects it.
// epoll_ctl(2) checks that first (EPERM), and only then whether its first argument is an epoll (EINVAL). It
// takes no lock and calls no method of the file, so it never waits. EBADF means that the descriptor was
// opened with O_PATH.
func HasPoll(fd int) bool {
	err := unix.EpollCtl(fd, unix.EPOLL_CTL_DEL, fd, nil)
	return err != unix.EPERM && err != unix.EBADF
}

// Pollable reports whether a received file that has a poll method may enter the runtime's poller. The kernel
// calls the method with the epoll locked, so if the method waits, the process stops. It can wait for a FUSE
// server, for a process that holds a lock of an epoll or of a vsock socket, or in an unknown driver. The
// methods of the files that Pollable admits never wait, except that of a terminal.
//
// The system calls that identify the file must not wait either. fstat(2) waits for a FUSE server, and
// F_GETPIPE_SZ for a partner that reads from the pipe.
func Pollable(fd int) bool {
	if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil {
		return isNetFamily(family) || family == unix.AF_NETLINK || family == unix.AF_PACKET
	}
	mode, device, err := inode(fd)
	if err != nil {
		return false
	}
	switch kindOf(mode) {
	case "pipe":
		return true
	case "character device":
		return isTerminal(device)
	}
	// Only the kernel creates names that do not begin with a slash.
	name, err := linkOf(fd)
	if err != nil {
		return false
	}
	switch AnonymousKind(name) {
	case "eventfd", "timerfd", "signalfd", "inotify", "pidfd":
		return true
	}
	return false
}

// isTerminal reports whether a character device is a terminal: /dev/tty, /dev/console, /dev/ptmx, or the
// master or slave of a pseudoterminal.
func isTerminal(device uint64) bool {
	major, minor := unix.Major(device), unix.Minor(device)
	return major == 5 && minor <= 2 || major == unix98PTYs
}

// unix98PTYs is UNIX98_PTY_SLAVE_MAJOR of linux/major.h.
const unix98PTYs = 136

// HasNetType reports whether a file is a socket for which package net has a type.
func HasNetType(fd int) bool {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && isNetFamily(family)
}

func isNetFamily(family int) bool {
	return family == unix.AF_UNIX || family == unix.AF_INET || family == unix.AF_INET6
}
