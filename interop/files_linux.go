package interop

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fileSize is the length of the content of kind "file": byte i is i mod 251.
const fileSize = 4096

// A caseFile is a file of one case: made fresh for it, so that who holds it can
// only have it from this case.
type caseFile struct {
	FileSpec
	identity
	own    int // the runner's copy of the very description, or -1 when dropped
	other  int // the other end of a pipe or pair, or -1
	number int // in the process of its owner
}

func newCaseFile(spec FileSpec) (f *caseFile, err error) {
	f = &caseFile{FileSpec: spec, own: -1, other: -1}
	defer func() {
		if err != nil {
			f.close()
			err = fmt.Errorf("file %s=%s: %w", spec.Name, spec.Kind, err)
		}
	}()
	var two [2]int
	switch spec.Kind {
	case "file":
		f.own, err = unlinkedFile()
	case "dir":
		f.own, err = unix.Open("/", unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	case "null":
		f.own, err = unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	case "opath":
		f.own, err = unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	case "memfd":
		f.own, err = unix.MemfdCreate("scm-interop", unix.MFD_CLOEXEC)
	case "eventfd":
		f.own, err = unix.Eventfd(0, unix.EFD_CLOEXEC)
	case "pipe-r":
		if err = unix.Pipe2(two[:], unix.O_CLOEXEC); err == nil {
			f.own, f.other = two[0], two[1]
		}
	case "pipe-w":
		if err = unix.Pipe2(two[:], unix.O_CLOEXEC); err == nil {
			f.own, f.other = two[1], two[0]
		}
	case "pair":
		if two, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
			f.own, f.other = two[0], two[1]
		}
	default:
		err = fmt.Errorf("no such kind")
	}
	if err != nil {
		return f, err
	}
	f.identity, err = identify(os.Getpid(), f.own)
	return f, err
}

// unlinkedFile is a regular file without a name, so that nothing is left of it.
func unlinkedFile() (int, error) {
	t, err := os.CreateTemp("", "scm-interop-*")
	if err != nil {
		return -1, err
	}
	defer t.Close()
	if err := os.Remove(t.Name()); err != nil {
		return -1, err
	}
	content := make([]byte, fileSize)
	for i := range content {
		content[i] = byte(i % 251)
	}
	if _, err := t.WriteAt(content, 0); err != nil {
		return -1, err
	}
	fd := -1
	raw, err := t.SyscallConn()
	if err != nil {
		return -1, err
	}
	ctlErr := raw.Control(func(n uintptr) {
		fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0)
	})
	if ctlErr != nil {
		return -1, ctlErr
	}
	return fd, err
}

// unique tells whether device and inode belong to this file alone.
func (f *caseFile) unique() bool {
	switch f.Kind {
	case "file", "memfd", "pipe-r", "pipe-w", "pair":
		return true
	}
	return false
}

func (f *caseFile) drop() {
	closeNumber(&f.own)
}

func (f *caseFile) close() {
	f.drop()
	closeNumber(&f.other)
}

func closeNumber(fd *int) {
	if *fd >= 0 {
		_ = unix.Close(*fd) // the runner's own copy: nothing to do about an error
		*fd = -1
	}
}
