package sys

import (
	"errors"
	"math/bits"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CanTell reports whether Look recognizes files of a kind, and, if more is set, also seals,
// protocols and O_PATH.
func CanTell(string, bool) bool { return true }

// Look returns what kind of file a descriptor is, and how it was opened. It asks the
// kernel, and the file only for what the kernel does not know.
func Look(fd int) (f File, err error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return f, os.NewSyscallError("fcntl", err)
	}
	sealable := false
	if flags&unix.O_PATH != 0 {
		f.Access = "path" // and no other question is answered
	} else {
		f.Access = accessOf(flags)
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
	s, err := statusOf(fd)
	if errors.Is(err, unix.EACCES) { // a FUSE file, which the kernel shows to its user alone
		f.Kind = kindOf(0)
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.Kind = kindOf(s.mode)
	// Any file can have such a name, and any file of a tmpfs has seals.
	if sealable && strings.HasPrefix(name, "/memfd:") {
		memory, err := s.memory()
		if err != nil {
			return f, err
		}
		if memory {
			f.Kind = "memfd"
		}
	}
	return f, nil
}

// askSocket fills in what is known of a socket, and nothing of other files.
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

// linkOf returns the kernel's name for the file, "" for a path that is too long for
// readlink(2).
func linkOf(fd int) (string, error) {
	// Not /proc/self: a thread can have a table of its own.
	name, err := os.Readlink("/proc/thread-self/fd/" + strconv.Itoa(fd))
	if errors.Is(err, unix.ENAMETOOLONG) {
		return "", nil
	}
	return name, err
}

// AnonymousKind returns the kind that is part of the kernel's name for a file: "anon_inode:[eventfd]",
// "anon_inode:inotify", "pipe:[4711]", and for a pidfd one form or the other. A
// name that begins with a slash is of a file system, and the kind is "".
func AnonymousKind(name string) string {
	if strings.HasPrefix(name, "/") {
		return ""
	}
	if kind, ok := strings.CutPrefix(name, "anon_inode:"); ok {
		return strings.Trim(kind, "[]")
	}
	kind, _, _ := strings.Cut(name, ":[")
	return kind
}

// status is what statx(2) or fstat(2) returns of a file.
type status struct {
	mode         uint32
	major, minor uint32 // of the device
	block        uint64 // the size of one
}

// Mode returns a file's st_mode, without waiting for a file system.
func Mode(fd int) (uint32, error) {
	s, err := statusOf(fd)
	return s.mode, err
}

// statusOf asks for the type of the file, without waiting for a file system.
func statusOf(fd int) (status, error) {
	var sx unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &sx)
	if err == nil {
		return status{uint32(sx.Mode), sx.Dev_major, sx.Dev_minor, uint64(sx.Blksize)}, nil
	}
	if err != unix.ENOSYS && err != unix.EPERM {
		return status{}, os.NewSyscallError("statx", err)
	}
	// Before Linux 4.11, and under filters that do not know statx.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return status{}, os.NewSyscallError("fstat", err)
	}
	return status{st.Mode, unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), uint64(st.Blksize)}, nil
}

// memory reports whether a file is where the kernel keeps memfds: on a device that
// nobody can mount. Those of huge pages are on another one for each size of pages.
func (s status) memory() (bool, error) {
	const sizeShift = 26 // MFD_HUGE_SHIFT
	own, err := memfdStatus(0)
	if err == nil && !s.sameDevice(own) {
		size := bits.TrailingZeros64(s.block)
		own, err = memfdStatus(unix.MFD_HUGETLB | size<<sizeShift)
		// Where there are no such pages, the file has none.
		if err != nil && !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) {
			return false, nil
		}
	}
	if errors.Is(err, unix.ENOSYS) { // before Linux 3.17
		return false, nil
	}
	return err == nil && s.sameDevice(own), err
}

func (s status) sameDevice(other status) bool {
	return s.major == other.major && s.minor == other.minor
}

// memfdStatus is that of a memfd of our own.
func memfdStatus(flags int) (status, error) {
	fd, err := unix.MemfdCreate("scm", unix.MFD_CLOEXEC|flags)
	if err != nil {
		return status{}, os.NewSyscallError("memfd_create", err)
	}
	defer Close(fd)
	return statusOf(fd)
}
