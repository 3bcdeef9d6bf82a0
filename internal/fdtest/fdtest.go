//go:build unix

package fdtest

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Open returns the open descriptors of this process in ascending order.
func Open() []int {
	open, err := openFDs()
	if err != nil {
		panic(err)
	}
	return open
}

// IsOpen reports whether the descriptor is open.
func IsOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// CloseOnExec reports whether the descriptor is open and close-on-exec.
func CloseOnExec(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC != 0
}

// Name returns the kernel's name for the file of a descriptor, such as pipe:[4711], or "closed".
func Name(fd int) string {
	name, err := readName(fd)
	if err != nil {
		return "closed"
	}
	return name
}

// ID distinguishes files. Both ends of a pipe have the same ID, and so do all anonymous files of one
// kind, such as eventfds. Equal IDs therefore do not prove that two files are the same.
type ID struct {
	fileID
	// the kernel's name for an anonymous file, which has no inode of its own, or one that Identify cannot examine
	Name string
}

// Identify returns the ID of a descriptor's file. It does not wait for a file system such as FUSE. The error is
// EBADF if the descriptor is closed. A file that the kernel does not let this process examine, such as one on
// the FUSE file system of another user, is identified only by its name.
func Identify(fd int) (ID, error) {
	id, err := identify(fd)
	switch {
	case errors.Is(err, unix.EBADF):
		return ID{}, err
	case err != nil, id.Anonymous():
		return ID{id, Name(fd)}, nil
	}
	return ID{fileID: id}, nil
}

// Same reports whether two descriptors are open and refer to the same open file description. For an O_PATH
// descriptor, it can only compare the files unless kcmp(2) is permitted.
func Same(a, b int) bool {
	same, err := same(a, b)
	return same && err == nil
}

// A Ledger lists the descriptors that a test owns. The zero value lists none.
type Ledger struct {
	entries []entry
}

type entry struct {
	fd int
	id ID
}

// open reports whether the descriptor still refers to its file.
func (e entry) open() bool {
	id, err := Identify(e.fd)
	return err == nil && id == e.id
}

// Own adds open descriptors, which the test owns from now on and Close closes. It panics if one is not open.
func (l *Ledger) Own(fds ...int) {
	for _, fd := range fds {
		id, err := Identify(fd)
		if err != nil {
			panic(fmt.Sprintf("fdtest: %d: %v", fd, err))
		}
		l.entries = append(l.entries, entry{fd, id})
	}
}

// CloseNow closes one owned descriptor. Strays still looks for its file.
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

// closed replaces the descriptor in an entry that CloseNow has closed.
const closed = -1

// Strays describes each leaked descriptor: one that is open and refers to a file of the ledger, but is not in
// the ledger.
func (l *Ledger) Strays() []string {
	var strays []string
	for _, fd := range Open() {
		if !l.Owns(fd) && l.holds(fd) {
			strays = append(strays, fmt.Sprintf("%d %s", fd, Name(fd)))
		}
	}
	return strays
}

// Lost describes each owned descriptor that has been closed or now refers to another file.
func (l *Ledger) Lost() []string {
	var lost []string
	for _, e := range l.entries {
		if e.fd != closed && !e.open() {
			lost = append(lost, fmt.Sprintf("%d %s", e.fd, Name(e.fd)))
		}
	}
	return lost
}

// Close closes every owned descriptor that still refers to its file.
func (l *Ledger) Close() {
	for _, e := range l.entries {
		if e.open() {
			_ = unix.Close(e.fd)
		}
	}
	l.entries = nil
}

// Owns reports whether the descriptor is in the ledger.
func (l *Ledger) Owns(fd int) bool {
	return slices.ContainsFunc(l.entries, func(e entry) bool { return e.fd == fd })
}

// holds reports whether fd refers to a file of the ledger. While an owned descriptor of the file is open, it
// compares open file descriptions. After that it compares IDs, unless the file is anonymous.
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
	return gone && !id.Anonymous()
}

// A Snapshot has the file of every descriptor that was open at one time.
type Snapshot map[int]ID

// Take makes a snapshot. It includes the two descriptors of the runtime's poller, an epoll instance and an
// eventfd, which the runtime opens when it is first needed.
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

// NewSince describes each open descriptor that was not open when the snapshot was taken, or referred to another
// file.
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
