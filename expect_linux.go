package scm

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unanswerable tells whether something is wanted that the system cannot tell.
func (e Expect) unanswerable() bool { return false }

// look tells what an open number stands for. The kernel is asked first: only
// what it cannot tell by itself is asked of the file.
func look(fd int) (f file, err error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return f, os.NewSyscallError("fcntl", err)
	}
	sealable := false
	if flags&unix.O_PATH != 0 {
		f.access = "path" // and no other question is answered
	} else {
		f.access = accessOf(flags)
		if err := f.askSocket(fd); err != nil || f.kind != "" {
			return f, err
		}
		if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err == nil {
			f.seals, sealable = seals, true
		}
	}

	name, err := linkOf(fd)
	if err != nil {
		return f, err
	}
	if f.kind = anonymousKind(name); f.kind != "" {
		return f, nil
	}
	// Any file can have such a name; one with seals is in memory.
	if sealable && strings.HasPrefix(name, "/memfd:") {
		f.kind = "memfd"
		return f, nil
	}
	f.kind, err = typeOf(fd)
	return f, err
}

// askSocket fills in what is known of a socket, and nothing of other files.
func (f *file) askSocket(fd int) error {
	for _, q := range []struct {
		option int
		answer *int
	}{
		{unix.SO_TYPE, &f.typ}, {unix.SO_DOMAIN, &f.family}, {unix.SO_PROTOCOL, &f.protocol},
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
	f.kind = "socket"
	return nil
}

// linkOf is the name that the kernel has for the file. A path that is too long
// to be told is "".
func linkOf(fd int) (string, error) {
	// Not /proc/self: a thread can have a table of its own.
	name, err := os.Readlink("/proc/thread-self/fd/" + strconv.Itoa(fd))
	if errors.Is(err, unix.ENAMETOOLONG) {
		return "", nil
	}
	return name, err
}

// anonymousKind is the kind that the kernel's name tells: "anon_inode:[eventfd]",
// "anon_inode:inotify", "pipe:[4711]", and for a pidfd one form or the other. A
// file system's names begin with a slash, and tell nothing.
func anonymousKind(name string) Kind {
	if strings.HasPrefix(name, "/") {
		return ""
	}
	if kind, ok := strings.CutPrefix(name, "anon_inode:"); ok {
		return Kind(strings.Trim(kind, "[]"))
	}
	kind, _, _ := strings.Cut(name, ":[")
	return Kind(kind)
}

// typeOf asks for the type of the file, without waiting for a file system.
func typeOf(fd int) (Kind, error) {
	var sx unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &sx)
	if err == nil {
		return kindOf(uint32(sx.Mode)), nil
	}
	if err != unix.ENOSYS && err != unix.EPERM {
		return "", os.NewSyscallError("statx", err)
	}
	// Before Linux 4.11, and under filters that do not know statx.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", os.NewSyscallError("fstat", err)
	}
	return kindOf(st.Mode), nil
}
