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

func newCaseFile(spec FileSpec, dir string) (f *caseFile, err error) {
	f = &caseFile{FileSpec: spec, own: -1, other: -1}
	own, other, err := makers[spec.Kind](dir)
	if err == nil {
		f.own, f.other = own, other
		f.identity, err = identify(os.Getpid(), f.own)
	}
	if err != nil {
		f.close()
		err = fmt.Errorf("file %s=%s: %w", spec.Name, spec.Kind, err)
	}
	return f, err
}

// otherEnd is the other end of a file, as a file of its own: nobody else has it.
func (f *caseFile) otherEnd(spec FileSpec) (*caseFile, error) {
	end := &caseFile{FileSpec: spec, own: f.other, other: -1}
	f.other = -1
	var err error
	end.identity, err = identify(os.Getpid(), end.own)
	return end, err
}

// unlinkedFile is a regular file without a name, so that nothing is left of it.
func unlinkedFile(dir string, flags int) (int, error) {
	t, err := os.CreateTemp(dir, "scm-interop-*")
	if err != nil {
		return -1, err
	}
	defer os.Remove(t.Name())
	defer t.Close()
	content := make([]byte, fileSize)
	for i := range content {
		content[i] = byte(i % 251)
	}
	if _, err := t.WriteAt(content, 0); err != nil {
		return -1, err
	}
	return unix.Open(t.Name(), flags|unix.O_CLOEXEC, 0)
}

// unique tells whether device and inode belong to this file alone.
func (f *caseFile) unique() bool {
	switch f.Kind {
	case "file", "rdonly", "append", "tmpfile", "fifo", "memfd", "memfd-sealable", "memfd-rdonly", "memfd-secret", "pipe-r", "pipe-w",
		"pair", "tcp", "tcp-listener", "udp", "netlink", "packet", "unix-dgram", "unix-listener", "sock":
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
		forking.RLock()
		defer forking.RUnlock()
		_ = unix.Close(*fd) // the runner's own copy: nothing to do about an error
		*fd = -1
	}
}
