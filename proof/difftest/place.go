//go:build linux

package difftest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/proof/must"
)

// A place is what worlds have in common: a folder, and the files that they pass.
type place struct {
	*layout
	dir     string
	files   []int // in the order of the layout
	limited bool  // whether ETOOMANYREFS applies to the user
}

// limit is the RLIMIT_NOFILE of the process. It allows two messages of 253 descriptors in flight in each
// world.
const limit = 704

// newPlace makes a folder in the folder parent, or in the one for temporary files, and opens the files.
func newPlace(parent string) (*place, error) {
	dir, err := os.MkdirTemp(parent, "difftest")
	if err != nil {
		return nil, err
	}
	p := &place{layout: newLayout(), dir: dir}
	if err := must.Try(p.begin); err != nil {
		p.closeFiles()
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return p, nil
}

func (p *place) begin() {
	var r unix.Rlimit
	must.OK(unix.Getrlimit(unix.RLIMIT_NOFILE, &r))
	r.Cur = limit
	must.OK(unix.Setrlimit(unix.RLIMIT_NOFILE, &r))
	wakePoller()
	p.open()
	p.limited = isLimited(p.files[0])
}

// closeFiles closes the files, of which the worlds have duplicates.
func (p *place) closeFiles() {
	for _, fd := range p.files {
		_ = unix.Close(fd)
	}
	p.files = nil
}

// open opens the files that the worlds pass. One of them is opened twice.
func (p *place) open() {
	add := func(fd int, err error) {
		must.OK(err)
		p.files = append(p.files, fd)
	}
	path := filepath.Join(p.dir, "file")
	add(unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0))
	var ends [2]int
	must.OK(unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	p.files = append(p.files, ends[:]...)
	add(unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600))
	add(unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0))
	add(unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0))
	add(unix.Open(p.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	add(unix.MemfdCreate("difftest", unix.MFD_CLOEXEC))
	add(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))
	add(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))
	add(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
}

func newLayout() *layout {
	l := &layout{files: []string{"null", "pipe-r", "pipe-w", "file", "file-again", "path", "folder",
		"memfd", "eventfd", "eventfd2", "epoll", "unconnected"}}
	for i := range l.socks {
		l.socks[i] = l.file(len(l.files) + i)
	}
	l.first = l.socks[0]
	l.end = l.first + 320 // enough for a message of 253, and quick to fill
	return l
}

// wakePoller makes the runtime open the descriptors of its poller. They must be open before a world gets its
// own descriptor table.
func wakePoller() {
	r, w, err := os.Pipe()
	must.OK(err)
	must.OK(errors.Join(r.Close(), w.Close()))
}

// isLimited reports whether ETOOMANYREFS applies to this user.
func isLimited(file int) bool {
	s := must.Get(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0))
	defer func() { _, _ = unix.Close(s[0]), unix.Close(s[1]) }()
	rights := unix.UnixRights(slices.Repeat([]int{file}, 250)...)
	for range limit/250 + 2 {
		switch err := unix.Sendmsg(s[0], []byte("x"), rights, nil, unix.MSG_DONTWAIT); err {
		case nil:
		case unix.ETOOMANYREFS:
			return true
		default:
			must.OK(err)
		}
	}
	return false
}
