//go:build unix && !linux

package scm

import (
	"os"

	"golang.org/x/sys/unix"
)

// unanswerable tells whether something is wanted that the system cannot tell.
func (e Expect) unanswerable() bool {
	switch e.Kind {
	case "", "regular", "directory", "symlink", "pipe", "socket", "character device", "block device":
	default:
		return true
	}
	return e.Seals != 0 || e.Protocol != 0 || e.Access == "path"
}

// look tells what an open number stands for.
func look(fd int) (f file, err error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return f, os.NewSyscallError("fcntl", err)
	}
	f.access = accessOf(flags)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return f, os.NewSyscallError("fstat", err)
	}
	if f.kind = kindOf(uint32(st.Mode)); f.kind != "socket" {
		return f, nil
	}
	if f.typ, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return f, os.NewSyscallError("getsockopt", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil && err != unix.EAFNOSUPPORT { // of a family that x/sys does not know
		return f, os.NewSyscallError("getsockname", err)
	}
	switch name.(type) {
	case *unix.SockaddrUnix:
		f.family = unix.AF_UNIX
	case *unix.SockaddrInet4:
		f.family = unix.AF_INET
	case *unix.SockaddrInet6:
		f.family = unix.AF_INET6
	}
	return f, nil
}
