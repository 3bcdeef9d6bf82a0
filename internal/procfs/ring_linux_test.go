package procfs

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/scm-rights/scm/internal/ringtest"
	"golang.org/x/sys/unix"
)

// newRing returns a ring with free slots.
func newRing(t *testing.T) int {
	t.Helper()
	fd, err := ringtest.New(4)
	if err != nil {
		t.Skip("the kernel does not permit an io_uring: ", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// ring returns what Rings shows of a ring of this process.
func ring(t *testing.T, fd int) (Ring, error) {
	t.Helper()
	rings, err := Table{os.Getpid(), map[int]FileID{fd: {}}}.Rings()
	if err != nil {
		return Ring{}, err
	}
	if len(rings) != 1 {
		t.Fatalf("got the rings %v, want one", rings)
	}
	return rings[0], nil
}

func TestRings(t *testing.T) {
	fd := newRing(t)
	file, err := unix.MemfdCreate("a b\\c", unix.MFD_CLOEXEC)
	must(t, err)
	link, err := ReadLink(Self, file)
	put := int32(file)
	must(t, errors.Join(err, ringtest.Put(fd, 2, &put), unix.Close(file)))
	got, err := ring(t, fd)
	old := strings.Trim(strings.TrimSuffix(link, " (deleted)"), "/")
	if err != nil || got.FD != fd || got.Size != 4 || len(got.Files) != 1 || got.Files[0] != link && got.Files[0] != old {
		t.Errorf("got %+v and %v, want 4 slots, one of them with %q", got, err, link)
	}
	put = -1
	must(t, ringtest.Put(fd, 2, &put))
	if got, err := ring(t, fd); err != nil || got.Size != 4 || len(got.Files) > 0 {
		t.Errorf("got %+v and %v, want no fixed files", got, err)
	}
}

// Rings looks again at a ring that other threads use.
func TestRingsInUse(t *testing.T) {
	fd := newRing(t)
	file := int32(0) // standard input
	must(t, ringtest.Put(fd, 0, &file))
	var stop atomic.Bool
	var users sync.WaitGroup
	for range 2 {
		users.Add(1)
		go func() {
			defer users.Done()
			for free := int32(-1); !stop.Load(); {
				_ = ringtest.Put(fd, 1, &free)
			}
		}()
	}
	for range 5000 {
		if got, err := ring(t, fd); err != nil || len(got.Files) != 1 {
			t.Errorf("got %+v and %v, want one fixed file", got, err)
			break
		}
	}
	stop.Store(true)
	users.Wait()
}

// A ring with two descriptors counts once.
func TestRingsWithSeveralDescriptors(t *testing.T) {
	pid, fd, other := os.Getpid(), newRing(t), newRing(t)
	if _, err := Kcmp(pid, fd, pid, fd); err != nil {
		t.Skip("kcmp:", err)
	}
	second, err := unix.Dup(fd)
	must(t, err)
	defer unix.Close(second)
	rings, err := Table{pid, map[int]FileID{fd: {}, other: {}, second: {}}}.Rings()
	if err != nil || len(rings) != 2 || rings[0].FD != fd || rings[1].FD != other {
		t.Errorf("got %v and %v, want %d and %d", rings, err, fd, other)
	}
}

// The kernel's text of Linux 5.10 has the free slots, and only the last element of a path.
func TestParseRing(t *testing.T) {
	const head = "pos:\t0\nflags:\t02000002\nSQEs:\t1\n    0: opcode:READ, fd:3\n"
	for text, want := range map[string]Ring{
		"UserFiles:\t3\n    0: <none>\n    1: memfd:a\n    2: \nUserBufs:\t1\n    0: 0x1/1\n": {
			Size: 3, Files: []string{"memfd:a", ""}},
		"UserFiles:\t2\n    1: /tmp/a\\040\\134040b\nUserBufs:\t0\n": {Size: 2, Files: []string{`/tmp/a \040b`}},
		"UserFiles:\t0\nUserBufs:\t0\n":                              {},
	} {
		if got, shown := parseRing(head + text); !shown || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: got %+v, %t, want %+v", text, got, shown, want)
		}
	}
	if got, shown := parseRing(head); shown {
		t.Errorf("a text without a list: got %+v", got)
	}
}
