package procfs

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// A Table is a descriptor table of a process. The threads of a process share one, except for threads that have called
// unshare(2) with CLONE_FILES, or close_range(2) with CLOSE_RANGE_UNSHARE.
type Table struct {
	TID   int            // of a thread that uses it
	Files map[int]FileID // as returned by Files
}

// Tables returns the descriptor tables of a process that are not empty. If kcmp(2) is missing or not permitted, Tables
// cannot determine which threads share one. It then reads the table of each thread, and returns a descriptor that has
// the same file in several threads only once.
func Tables(pid int) (tables []Table, err error) {
	// If a thread ends before its table is read, try again, because other threads may still use the table.
	for complete, tries := false, 3; !complete && tries > 0; tries-- {
		tids, distinct, err := tableTIDs(pid)
		if err != nil {
			return nil, err
		}
		tables, complete = nil, true
		for _, tid := range tids {
			files, err := filesOfThread(tid)
			if err != nil {
				return nil, err
			}
			complete = complete && len(files) > 0
			for _, t := range tables {
				maps.DeleteFunc(files, func(fd int, id FileID) bool {
					other, open := t.Files[fd]
					return !distinct && open && other == id
				})
			}
			if len(files) > 0 {
				tables = append(tables, Table{tid, files})
			}
		}
	}
	return tables, nil
}

// tableTIDs returns the ID of a thread for each descriptor table of a process. If distinct is false, several may have
// the same table.
func tableTIDs(pid int) (tids []int, distinct bool, err error) {
	all, err := Tasks(pid)
	if err != nil || len(all) == 1 { // most processes
		return all, true, err
	}
	distinct = true
	for _, tid := range all {
		shares := func(other int) bool {
			same, err := SameTable(tid, other)
			distinct = distinct && (err == nil || err == unix.ESRCH)
			return same
		}
		if !distinct || !slices.ContainsFunc(tids, shares) {
			tids = append(tids, tid)
		}
	}
	return tids, distinct, nil
}

// SameTable reports whether two threads use the same descriptor table, according to kcmp(2).
func SameTable(tid1, tid2 int) (bool, error) { return kcmp(tid1, tid2, kcmpFiles, 0, 0) }

// filesOfThread is Files for a thread. It returns none if the thread has ended.
func filesOfThread(tid int) (files map[int]FileID, err error) {
	fds, _, err := list(folder(tid) + "/fd")
	if err == nil {
		files, err = identifyAll(tid, fds)
	}
	if err != nil && !IsGone(err) {
		if s, _ := ReadStatus(tid); !s.IsEnding() {
			return nil, err
		}
	}
	return files, nil
}
