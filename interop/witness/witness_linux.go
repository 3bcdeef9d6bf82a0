// Package witness reports facts about the descriptors and threads of other processes. It obtains them from the
// kernel only, and does not rely on anything that a peer reports.
package witness

import (
	"os"
	"strings"
	"sync"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// The methods of comparing open file descriptions. If kcmp(2) is missing or not permitted, the witness toggles
// O_APPEND on the runner's own descriptor and checks whether the other process's descriptor shows the change. If
// that is not possible either, it compares inodes.
const (
	Kcmp   = "kcmp"
	Append = "O_APPEND"
	Inode  = "inode"
)

// A Witness compares open file descriptions and counts how often it has used each method.
type Witness struct {
	mu   sync.Mutex
	used map[string]int
}

func (w *Witness) count(way string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.used == nil {
		w.used = map[string]int{}
	}
	w.used[way]++
}

// Counts returns how often each method was used.
func (w *Witness) Counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := map[string]int{}
	for way, n := range w.used {
		counts[way] = n
	}
	return counts
}

// Holds reports whether descriptor fd of process pid refers to the open file description of f, whose owner is
// process ownerPid. If sure is false, Holds could only compare the inode, and other files have the same inode.
func (w *Witness) Holds(f *File, ownerPid, pid, fd int) (holds, sure bool, err error) {
	id, err := Identify(pid, fd)
	if err != nil || id != f.Identity {
		return false, true, err
	}
	refPid, ref := os.Getpid(), f.Own
	if ref < 0 {
		refPid, ref = ownerPid, f.FD
		// The owner may have closed its descriptor, which may now refer to another file or to another description of
		// the same file.
		if now, err := Identify(refPid, ref); err != nil || now != f.Identity || f.Reused {
			w.count(Inode)
			return true, f.Unique(), nil
		}
	}
	same, err := raw.SameDescription(refPid, ref, pid, fd)
	if err == nil {
		w.count(Kcmp)
		return same, true, nil
	}
	if f.Own >= 0 && f.Kind != "opath" {
		same, err = FollowsAppend(f.Own, pid, fd)
		if err == nil {
			w.count(Append)
			return same, true, nil
		}
	}
	w.count(Inode)
	return true, f.Unique(), nil
}

// toggling is held while O_APPEND is toggled. If both descriptors belong to this process, two concurrent
// comparisons could affect each other.
var toggling sync.Mutex

// FollowsAppend sets and clears O_APPEND on the runner's own descriptor and reports whether the other process's
// descriptor shows both changes.
func FollowsAppend(own, pid, fd int) (follows bool, err error) {
	toggling.Lock()
	defer toggling.Unlock()
	before, err := unix.FcntlInt(uintptr(own), unix.F_GETFL, 0)
	if err != nil {
		return false, err
	}
	defer func() {
		if _, e := unix.FcntlInt(uintptr(own), unix.F_SETFL, before); e != nil && err == nil {
			err = e
		}
	}()
	for _, flags := range []int{before | unix.O_APPEND, before &^ unix.O_APPEND} {
		if _, err := unix.FcntlInt(uintptr(own), unix.F_SETFL, flags); err != nil {
			return false, err
		}
		info, err := procfs.ReadFDInfo(pid, fd)
		if err != nil {
			return false, err
		}
		if info.Flags&unix.O_APPEND != flags&unix.O_APPEND {
			return false, nil
		}
	}
	return true, nil
}

// An Identity consists of a device number and an inode number. All open file descriptions of one file have the same
// Identity. For most kinds of anonymous file, all files of the kind also have the same Identity.
type Identity struct{ dev, ino uint64 }

// Identify returns the identity of the file that a descriptor of a process refers to. It never waits for a file
// system, because a peer can serve the file itself with FUSE, and a signal would not interrupt such a wait.
func Identify(pid, fd int) (Identity, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, procfs.FDPath(pid, fd), unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st)
	return Identity{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}, err
}

// IsPidfd reports whether a descriptor of a process is a pidfd. It does not access the file itself.
func IsPidfd(pid, fd int) bool {
	name, err := procfs.ReadLink(pid, fd)
	return err == nil && (name == "anon_inode:[pidfd]" || strings.HasPrefix(name, "pidfd:[")) // pidfs before the release of Linux 6.9
}
