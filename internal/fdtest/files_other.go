//go:build unix && !linux

package fdtest

import (
	"fmt"

	"golang.org/x/sys/unix"
)

type fileID struct {
	dev, ino uint64
	typ      uint32
}

// Anonymous is for Linux, where all anonymous files of a kind share one inode.
func (fileID) Anonymous() bool { return false }

// openFDs asks for each descriptor that a test can reach, because /dev/fd shows only 0 to 2 on FreeBSD without fdescfs.
func openFDs() (fds []int, err error) {
	for fd := range 4096 {
		if IsOpen(fd) {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

func identify(fd int) (fileID, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return fileID{uint64(st.Dev), uint64(st.Ino), uint32(st.Mode) & unix.S_IFMT}, err
}

func readName(fd int) (string, error) {
	id, err := identify(fd)
	return fmt.Sprintf("type %#o:[%d]", id.typ, id.ino), err
}

// same reports whether b shows a change of O_APPEND through a.
func same(a, b int) (bool, error) {
	if x, err := identify(a); err != nil {
		return false, err
	} else if y, err := identify(b); err != nil || x != y {
		return false, err
	}
	before, err := unix.FcntlInt(uintptr(a), unix.F_GETFL, 0)
	if err != nil {
		return false, err
	}
	if _, err := unix.FcntlInt(uintptr(a), unix.F_SETFL, before^unix.O_APPEND); err != nil {
		return false, err
	}
	after, err := unix.FcntlInt(uintptr(b), unix.F_GETFL, 0)
	_, _ = unix.FcntlInt(uintptr(a), unix.F_SETFL, before)
	return (before^after)&unix.O_APPEND != 0, err
}
