package kinds

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// everywhere are the kinds that no system lacks.
var everywhere = map[string]bool{"file": true, "dir": true, "null": true, "opath": true, "pipe-r": true, "pipe-w": true, "pair": true,
	"memfd": true, "eventfd": true, "epoll": true, "unix-dgram": true, "unix-listener": true}

// File is a file of a case, closed at the end of the test.
func File(t *testing.T, kind string) *witness.File {
	t.Helper()
	f, err := New(scenario.FileSpec{Name: "a", Owner: scenario.RoleA, Kind: kind}, t.TempDir())
	if err != nil && !everywhere[kind] {
		t.Skipf("this system has no %s: %v", kind, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// Number is a duplicate, closed at the end of the test.
func Number(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(n) })
	return n
}

// opened is the same file in another open file description, or -1 where nothing
// can be opened again.
func opened(t *testing.T, f *witness.File) int {
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
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(n) })
	return n
}

func getfl(t *testing.T, fd int) int {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags
}

func TestEveryKindHasAMaker(t *testing.T) {
	var kinds []string
	for _, k := range scenario.FileKinds {
		kinds = append(kinds, k.Name)
	}
	slices.Sort(kinds)
	if made := slices.Sorted(maps.Keys(makers)); !slices.Equal(kinds, made) {
		t.Errorf("scenario.FileKinds has\n%v\nand the makers are for\n%v", kinds, made)
	}
}

func TestWitnessKcmp(t *testing.T) {
	self := os.Getpid()
	if _, err := raw.SameDescription(self, 0, self, 0); err != nil {
		t.Skipf("kcmp: %v: only the weaker witnesses are tested", err)
	}
	for _, k := range scenario.FileKinds {
		kind := k.Name
		t.Run(kind, func(t *testing.T) {
			w := &witness.Witness{}
			f := File(t, kind)
			if holds, sure, err := w.Holds(f, self, self, Number(t, f.Own)); !holds || !sure || err != nil {
				t.Errorf("a duplicate: %v, %v, %v", holds, sure, err)
			}
			if n := opened(t, f); n >= 0 {
				if holds, sure, err := w.Holds(f, self, self, n); holds || !sure || err != nil {
					t.Errorf("opened again: %v, %v, %v", holds, sure, err)
				}
			}
			if f.Other >= 0 {
				if holds, _, err := w.Holds(f, self, self, f.Other); holds || err != nil {
					t.Errorf("the other end: %v, %v", holds, err)
				}
			}
			if holds, _, err := w.Holds(File(t, kind), self, self, f.Own); holds || err != nil {
				t.Errorf("another file of this kind: %v, %v", holds, err)
			}
			closed := Number(t, f.Own)
			if err := unix.Close(closed); err != nil {
				t.Fatal(err)
			}
			if holds, _, err := w.Holds(f, self, self, closed); holds || err == nil {
				t.Errorf("a closed number: %v, %v", holds, err)
			}
			if counts := w.Counts(); counts[witness.Kcmp] == 0 || len(counts) != 1 {
				t.Errorf("the witnesses were %v", counts)
			}
		})
	}
}

func TestWitnessAppend(t *testing.T) {
	self := os.Getpid()
	for _, k := range scenario.FileKinds {
		kind := k.Name
		if kind == "opath" || kind == "mount" {
			continue // they have no flags to change
		}
		t.Run(kind, func(t *testing.T) {
			f := File(t, kind)
			before := getfl(t, f.Own)
			if follows, err := witness.FollowsAppend(f.Own, self, Number(t, f.Own)); !follows || err != nil {
				t.Errorf("a duplicate: %v, %v", follows, err)
			}
			if n := opened(t, f); n >= 0 {
				again := getfl(t, n)
				if follows, err := witness.FollowsAppend(f.Own, self, n); follows || err != nil {
					t.Errorf("opened again: %v, %v", follows, err)
				}
				if now := getfl(t, n); now != again {
					t.Errorf("the flags of another description became %#x, were %#x", now, again)
				}
				if _, err := unix.FcntlInt(uintptr(n), unix.F_SETFL, again|unix.O_APPEND); err != nil {
					t.Fatal(err)
				}
				if follows, err := witness.FollowsAppend(f.Own, self, n); follows || err != nil {
					t.Errorf("opened again, with O_APPEND: %v, %v", follows, err)
				}
			}
			if now := getfl(t, f.Own); now != before {
				t.Errorf("the flags are %#x, were %#x", now, before)
			}

			// What has O_APPEND already keeps it.
			if _, err := unix.FcntlInt(uintptr(f.Own), unix.F_SETFL, before|unix.O_APPEND); err != nil {
				t.Fatal(err)
			}
			if follows, err := witness.FollowsAppend(f.Own, self, Number(t, f.Own)); !follows || err != nil {
				t.Errorf("a duplicate, with O_APPEND: %v, %v", follows, err)
			}
			if now := getfl(t, f.Own); now != before|unix.O_APPEND {
				t.Errorf("the flags are %#x, were %#x", now, before|unix.O_APPEND)
			}

			// Also where nothing can be told.
			if follows, err := witness.FollowsAppend(f.Own, self, -1); follows || err == nil {
				t.Errorf("no number: %v, %v", follows, err)
			}
			if now := getfl(t, f.Own); now != before|unix.O_APPEND {
				t.Errorf("after an error the flags are %#x, were %#x", now, before|unix.O_APPEND)
			}
		})
	}
	if follows, err := witness.FollowsAppend(File(t, "opath").Own, self, 0); follows || err == nil {
		t.Errorf("O_PATH: %v, %v", follows, err)
	}
}

// Once neither the runner nor the owner has the file any more, only its inode is
// left to know it by, which convicts where it belongs to nothing else.
func TestWitnessInode(t *testing.T) {
	self := os.Getpid()
	unique := []string{"file", "rdonly", "append", "tmpfile", "fifo", "pipe-r", "pipe-w", "memfd", "pair", "tcp", "tcp-listener", "udp", "unix-dgram", "unix-listener"}
	for _, k := range scenario.FileKinds {
		kind := k.Name
		t.Run(kind, func(t *testing.T) {
			w := &witness.Witness{}
			f := File(t, kind)
			shared := File(t, kind).Identity == f.Identity
			kept := Number(t, f.Own)
			f.Drop()
			f.FD = -1
			holds, sure, err := w.Holds(f, self, self, kept)
			if !holds || sure && shared || !sure && slices.Contains(unique, kind) || err != nil {
				t.Errorf("a duplicate: %v, %v, %v", holds, sure, err)
			}
			if counts := w.Counts(); counts[witness.Inode] != 1 || len(counts) != 1 {
				t.Errorf("the witnesses were %v", counts)
			}
			null, err := unix.Open("/proc/self/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(null)
			if holds, _, err := w.Holds(f, self, self, null); holds || err != nil {
				t.Errorf("a file with another inode: %v, %v", holds, err)
			}
		})
	}
}

func TestFDInfo(t *testing.T) {
	f := File(t, "file")
	if _, err := unix.Seek(f.Own, 1234, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.Dup(f.Own)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	for n, cloexec := range map[int]bool{f.Own: true, inherited: false} {
		info, err := procfs.ReadFDInfo(os.Getpid(), n)
		if err != nil || info.Pos != 1234 || info.CloseOnExec() != cloexec || info.Flags&unix.O_ACCMODE != unix.O_RDWR {
			t.Errorf("%d: got %+v, %v", n, info, err)
		}
	}
	if _, err := procfs.ReadFDInfo(os.Getpid(), -1); err == nil {
		t.Error("there is no number -1")
	}
}

func TestOpenNumbers(t *testing.T) {
	n := Number(t, 0)
	numbers, err := procfs.OpenFDs(os.Getpid())
	if err != nil || !slices.Contains(numbers, n) || slices.Contains(numbers, 1_000_000) {
		t.Errorf("got %v, %v; want %d among them", numbers, err, n)
	}
	if _, err := procfs.OpenFDs(1 << 30); err == nil {
		t.Error("there is no such process")
	}
}
