package fdtest

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/procfs"
)

// Open returns the numbers that are open in this process, in order.
func Open() []int {
	open, err := procfs.OpenFDs(procfs.Self)
	if err != nil {
		panic(err)
	}
	return open
}

// IsOpen reports whether the number is open.
func IsOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// CloseOnExec reports whether the number is open and close-on-exec.
func CloseOnExec(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC != 0
}

// Name is what the kernel calls the file behind a number, such as pipe:[4711].
func Name(fd int) string {
	name, err := procfs.ReadLink(procfs.Self, fd)
	if err != nil {
		return "closed"
	}
	return name
}

// ID distinguishes files. Both ends of a pipe have the same ID, and so do all anonymous files of one
// kind, such as eventfds. Equal IDs therefore do not prove that two files are the same.
type ID struct {
	Dev, Ino  uint64
	Anonymous string // the kernel's name for an anonymous file, which has no inode of its own
}

// Identify returns the ID of the file behind a number. It does not wait for a file system,
// such as FUSE.
func Identify(fd int) (ID, error) {
	var sx unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &sx)
	if err == nil {
		return newID(fd, unix.Mkdev(sx.Dev_major, sx.Dev_minor), sx.Ino, uint32(sx.Mode)), nil
	}
	// EACCES of FUSE, EPERM and ENOSYS of filters that do not know statx.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return ID{}, err
	}
	return newID(fd, uint64(st.Dev), st.Ino, st.Mode), nil
}

func newID(fd int, dev, ino uint64, mode uint32) ID {
	id := ID{Dev: dev, Ino: ino}
	if mode&unix.S_IFMT == 0 {
		id.Anonymous = Name(fd)
	}
	return id
}

// Same reports whether two numbers are open and hold the same open file
// description. Where kcmp is refused or missing it changes O_APPEND for a
// moment by way of one number, and looks whether the other one follows.
func Same(a, b int) bool {
	idA, errA := Identify(a)
	idB, errB := Identify(b)
	if errA != nil || errB != nil || idA != idB {
		return false
	}
	if same, err := sameByKcmp(a, b); err == nil {
		return same
	}
	if same, err := sameByFlag(a, b); err == nil {
		return same
	}
	return true // O_PATH has no flags to change: all that is left is the ID
}

// kcmpFile is KCMP_FILE of linux/kcmp.h.
const kcmpFile = 0

func sameByKcmp(a, b int) (bool, error) {
	pid := uintptr(os.Getpid())
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, uintptr(a), uintptr(b), 0)
	if errno != 0 {
		return false, errno
	}
	return order == 0, nil
}

func sameByFlag(a, b int) (same bool, err error) {
	fcntl := func(fd, cmd, arg int) (flags int) {
		if err == nil {
			flags, err = unix.FcntlInt(uintptr(fd), cmd, arg)
		}
		return flags
	}
	flags, before := fcntl(a, unix.F_GETFL, 0), fcntl(b, unix.F_GETFL, 0)
	fcntl(a, unix.F_SETFL, flags^unix.O_APPEND)
	after := fcntl(b, unix.F_GETFL, 0)
	fcntl(a, unix.F_SETFL, flags)
	return (before^after)&unix.O_APPEND != 0, err
}

// Ledger is the numbers that a test owns. The zero value owns none.
type Ledger struct {
	entries []entry
}

type entry struct {
	fd int
	id ID
}

// open reports whether the number still holds its file.
func (e entry) open() bool {
	id, err := Identify(e.fd)
	return err == nil && id == e.id
}

// Own enters open numbers: the test owns them from here on, and Close closes
// them. It panics at a number that is not open.
func (l *Ledger) Own(fds ...int) {
	for _, fd := range fds {
		id, err := Identify(fd)
		if err != nil {
			panic(fmt.Sprintf("fdtest: %d: %v", fd, err))
		}
		l.entries = append(l.entries, entry{fd, id})
	}
}

// CloseNow closes one owned number. The files that it held stay under watch.
func (l *Ledger) CloseNow(fd int) {
	for i, e := range l.entries {
		if e.fd == fd {
			_ = unix.Close(fd)
			l.entries[i].fd = closed
			return
		}
	}
	panic(fmt.Sprintf("fdtest: %d is not owned", fd))
}

// closed is the number of an entry whose file is still under watch.
const closed = -1

// Strays names each open number that holds a file of the ledger and is not
// in it: leaked descriptors.
func (l *Ledger) Strays() []string {
	var strays []string
	for _, fd := range Open() {
		if !l.Owns(fd) && l.holds(fd) {
			strays = append(strays, fmt.Sprintf("%d %s", fd, Name(fd)))
		}
	}
	return strays
}

// Lost names each owned number that is closed or holds another file by now.
func (l *Ledger) Lost() []string {
	var lost []string
	for _, e := range l.entries {
		if e.fd != closed && !e.open() {
			lost = append(lost, fmt.Sprintf("%d %s", e.fd, Name(e.fd)))
		}
	}
	return lost
}

// Close closes every owned number that still holds its file.
func (l *Ledger) Close() {
	for _, e := range l.entries {
		if e.open() {
			_ = unix.Close(e.fd)
		}
	}
	l.entries = nil
}

// Owns reports whether the number is in the ledger.
func (l *Ledger) Owns(fd int) bool {
	return slices.ContainsFunc(l.entries, func(e entry) bool { return e.fd == fd })
}

// holds reports whether fd holds a file of the ledger: the very description
// where a number for it is still open. Once all are closed it is the ID that
// convicts, and only where an ID is a file's own.
func (l *Ledger) holds(fd int) bool {
	id, err := Identify(fd)
	if err != nil {
		return false
	}
	gone := false
	for _, e := range l.entries {
		switch {
		case e.id != id:
		case e.fd == closed:
			gone = true
		case Same(e.fd, fd):
			return true
		}
	}
	return gone && !strings.HasPrefix(Name(fd), "anon_inode:")
}

// Snapshot is what every open number held at one time.
type Snapshot map[int]ID

// Take makes a snapshot. The two numbers that the Go runtime opens when it
// first waits (epoll and an eventfd) are in it.
func Take() Snapshot {
	wakePoller()
	s := Snapshot{}
	for _, fd := range Open() {
		if id, err := Identify(fd); err == nil {
			s[fd] = id
		}
	}
	return s
}

func wakePoller() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	_ = r.Close()
	_ = w.Close()
}

// NewSince names each number that is open now and was not, or held another
// file, when the snapshot was taken.
func (s Snapshot) NewSince() []string {
	var fresh []string
	for _, fd := range Open() {
		id, err := Identify(fd)
		if old, ok := s[fd]; err == nil && (!ok || old != id) {
			fresh = append(fresh, fmt.Sprintf("%d %s", fd, Name(fd)))
		}
	}
	return fresh
}
