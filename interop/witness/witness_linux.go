// Package witness reports facts about the descriptors and threads of other processes. It obtains them from the
// kernel only, and does not rely on anything that a peer reports.
package witness

import (
	"os"
	"sync"

	"github.com/scm-rights/scm/internal/procfs"
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
// process ownerPid, and the way in which it has found out (procfs.ByKcmp and so on, or "" if the files differ).
// f.Sure says whether the result is certain.
func (w *Witness) Holds(f *File, ownerPid, pid, fd int) (holds bool, way string, err error) {
	id, err := procfs.Identify(pid, fd)
	if err != nil || id != f.FileID {
		return false, "", err
	}
	refPid, ref := os.Getpid(), f.Own
	if ref < 0 {
		refPid, ref = ownerPid, f.FD
	}
	same, way, err := procfs.Same(refPid, ref, pid, fd)
	if f.Own < 0 {
		// The owner may have closed its descriptor, which may now refer to another file or to another description of
		// the same file. It may do so at any time, so this check comes after the comparison.
		if now, err := procfs.Identify(refPid, ref); err != nil || now != f.FileID || f.Reused {
			w.count(procfs.ByInode)
			return true, procfs.ByInode, nil
		}
	}
	if err != nil {
		return false, "", err
	}
	w.count(way)
	return same, way, nil
}

// IsPidfd reports whether a descriptor of a process is a pidfd. It does not access the file itself.
func IsPidfd(pid, fd int) bool {
	name, err := procfs.ReadLink(pid, fd)
	return err == nil && procfs.Kind(name, false) == "pidfd"
}
