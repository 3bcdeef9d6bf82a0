package procfs

import (
	"os"
	"slices"
	"testing"

	"github.com/scm-rights/scm/internal/ownthread"
	"golang.org/x/sys/unix"
)

// inTables returns the threads whose tables have the file of a descriptor of this process.
func inTables(t *testing.T, fd int) (tids []int) {
	t.Helper()
	id, err := IdentifyOwn(fd)
	must(t, err)
	tables, err := Tables(os.Getpid())
	must(t, err)
	for _, table := range tables {
		for _, other := range table.Files {
			if other == id {
				tids = append(tids, table.TID)
			}
		}
	}
	return tids
}

// All threads of a process but one share a table, which counts once.
func TestTablesOfThreads(t *testing.T) {
	if _, err := kcmp(os.Getpid(), os.Getpid(), kcmpFiles, 0, 0); err != nil {
		t.Skip("kcmp:", err)
	}
	r, w := pipe(t)
	_ = unix.Close(w)
	if got := inTables(t, r); !slices.Equal(got, []int{os.Getpid()}) {
		t.Fatalf("before unshare: in the tables of %v, want only that of %d", got, os.Getpid())
	}
	ownthread.Run(func() {
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			t.Error(err)
			return
		}
		fd, err := unix.MemfdCreate("apart", unix.MFD_CLOEXEC)
		if err != nil {
			t.Error(err)
			return
		}
		if got := inTables(t, r); !slices.Equal(got, []int{os.Getpid(), unix.Gettid()}) {
			t.Errorf("after unshare: in the tables of %v, want those of %d and %d", got, os.Getpid(), unix.Gettid())
		}
		if got := inTables(t, fd); !slices.Equal(got, []int{unix.Gettid()}) {
			t.Errorf("a descriptor of the thread only: in the tables of %v, want that of %d", got, unix.Gettid())
		}
	})
}
