package kinds

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// everywhere lists the kinds that every system has.
var everywhere = map[string]bool{"file": true, "dir": true, "null": true, "opath": true, "pipe-r": true, "pipe-w": true, "pair": true,
	"memfd": true, "eventfd": true, "epoll": true, "unix-dgram": true, "unix-listener": true}

// newFile makes a file of a case and closes it at the end of the test.
func newFile(t *testing.T, kind string) *witness.File {
	t.Helper()
	f, err := New(scenario.FileSpec{Name: "a", Owner: scenario.RoleA, Kind: kind}, t.TempDir())
	if err != nil && !everywhere[kind] {
		t.Skip(lacks(kind, err))
	}
	fdtest.Must(t, err)
	t.Cleanup(f.Close)
	return f
}

// duplicate duplicates a descriptor and closes the duplicate at the end of the test.
func duplicate(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	fdtest.Must(t, err)
	t.Cleanup(func() { _ = unix.Close(n) })
	return n
}

// openAgain opens the same file again and returns the new descriptor, or -1 if the file cannot be opened again.
func openAgain(t *testing.T, f *witness.File) int {
	t.Helper()
	mode := map[string]int{
		"file": unix.O_RDWR, "dir": unix.O_RDONLY, "null": unix.O_RDWR, "opath": unix.O_PATH,
		"pipe-r": unix.O_RDONLY | unix.O_NONBLOCK, "pipe-w": unix.O_WRONLY, "memfd": unix.O_RDWR,
	}
	m, ok := mode[f.Kind]
	if !ok {
		return -1
	}
	n, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Own), m|unix.O_CLOEXEC, 0)
	fdtest.Must(t, err)
	t.Cleanup(func() { _ = unix.Close(n) })
	return n
}

func getfl(t *testing.T, fd int) int {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	fdtest.Must(t, err)
	return flags
}

func TestEveryKindHasAMaker(t *testing.T) {
	var kinds []string
	for _, k := range scenario.FileKinds {
		kinds = append(kinds, k.Name)
	}
	slices.Sort(kinds)
	if made := slices.Sorted(maps.Keys(makers)); !slices.Equal(kinds, made) {
		t.Errorf("scenario.FileKinds has\n%v\nbut there are makers for\n%v", kinds, made)
	}
}

func TestWitnessKcmp(t *testing.T) {
	self := os.Getpid()
	if _, err := procfs.Kcmp(self, 0, self, 0); err != nil {
		t.Skipf("kcmp: %v: only the weaker witnesses are tested", err)
	}
	for _, k := range scenario.FileKinds {
		kind := k.Name
		t.Run(kind, func(t *testing.T) {
			w := &witness.Witness{}
			f := newFile(t, kind)
			if holds, way, err := w.Holds(f, self, self, duplicate(t, f.Own)); !holds || !f.Sure(way) || err != nil {
				t.Errorf("a duplicate: %v, %q, %v", holds, way, err)
			}
			if n := openAgain(t, f); n >= 0 {
				if holds, way, err := w.Holds(f, self, self, n); holds || !f.Sure(way) || err != nil {
					t.Errorf("opened again: %v, %q, %v", holds, way, err)
				}
			}
			if f.Other >= 0 {
				if holds, _, err := w.Holds(f, self, self, f.Other); holds || err != nil {
					t.Errorf("the other end: %v, %v", holds, err)
				}
			}
			if holds, _, err := w.Holds(newFile(t, kind), self, self, f.Own); holds || err != nil {
				t.Errorf("another file of this kind: %v, %v", holds, err)
			}
			closed := duplicate(t, f.Own)
			fdtest.Must(t, unix.Close(closed))
			if holds, _, err := w.Holds(f, self, self, closed); holds || err == nil {
				t.Errorf("a closed descriptor: %v, %v", holds, err)
			}
			if counts := w.Counts(); counts[procfs.ByKcmp] == 0 || len(counts) != 1 {
				t.Errorf("the witnesses were %v", counts)
			}
		})
	}
}

// Whether a descriptor follows O_APPEND shows the same as kcmp(2), and the file keeps its flags.
func TestWitnessAppend(t *testing.T) {
	self := os.Getpid()
	for _, k := range scenario.FileKinds {
		kind := k.Name
		if kind == "opath" || kind == "mount" {
			continue // their flags cannot be changed
		}
		t.Run(kind, func(t *testing.T) {
			f := newFile(t, kind)
			again := openAgain(t, f)
			set := func(fd, flag int) (flags int) {
				flags = getfl(t, fd)&^unix.O_APPEND | flag
				if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags); err != nil {
					t.Fatal(err)
				}
				return flags
			}
			for _, flags := range [][2]int{{0, 0}, {0, unix.O_APPEND}, {unix.O_APPEND, 0}, {unix.O_APPEND, unix.O_APPEND}} {
				before := set(f.Own, flags[0])
				if follows, err := procfs.FollowsAppend(f.Own, self, duplicate(t, f.Own)); !follows || err != nil {
					t.Errorf("a duplicate: %v, %v", follows, err)
				}
				if follows, err := procfs.FollowsAppend(f.Own, self, -1); follows || err == nil {
					t.Errorf("descriptor -1: %v, %v", follows, err)
				}
				if again >= 0 {
					was := set(again, flags[1])
					if follows, err := procfs.FollowsAppend(f.Own, self, again); follows || err != nil || getfl(t, again) != was {
						t.Errorf("opened again: %v, %v, flags %#x", follows, err, getfl(t, again))
					}
				}
				if now := getfl(t, f.Own); now != before {
					t.Errorf("the flags are %#x, were %#x", now, before)
				}
			}
		})
	}
}

// If neither the runner nor the owner has the file open, the witness can only compare the inode. The
// result is sure only for kinds of file whose inodes are unique.
func TestWitnessInode(t *testing.T) {
	self := os.Getpid()
	unique := []string{"file", "rdonly", "append", "tmpfile", "fifo", "pipe-r", "pipe-w", "memfd", "pair", "tcp", "tcp-listener", "udp", "unix-dgram", "unix-listener"}
	for _, k := range scenario.FileKinds {
		kind := k.Name
		t.Run(kind, func(t *testing.T) {
			w := &witness.Witness{}
			f := newFile(t, kind)
			shared := newFile(t, kind).FileID == f.FileID
			kept := duplicate(t, f.Own)
			f.Drop()
			f.FD = -1
			holds, way, err := w.Holds(f, self, self, kept)
			sure := f.Sure(way)
			if !holds || sure && shared || !sure && slices.Contains(unique, kind) || err != nil {
				t.Errorf("a duplicate: %v, %v, %v", holds, sure, err)
			}
			if counts := w.Counts(); counts[procfs.ByInode] != 1 || len(counts) != 1 {
				t.Errorf("the witnesses were %v", counts)
			}
			null, err := unix.Open("/proc/self/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			fdtest.Must(t, err)
			defer unix.Close(null)
			if holds, _, err := w.Holds(f, self, self, null); holds || err != nil {
				t.Errorf("a file with another inode: %v, %v", holds, err)
			}
		})
	}
}
