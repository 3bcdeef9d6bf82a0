package sys

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// CloseAll closes consecutive descriptors with one call, and none of those between others.
func TestCloseAll(t *testing.T) {
	for _, closes := range [][]int{{0, 1, 3, 6, 7}, {5, 4}, {4, 2, 3}, {6}} {
		var fds [8]int
		for i := range fds {
			var err error
			if fds[i], err = Dup(2, 100); err != nil { // consecutive, because no other test runs
				t.Fatalf("duplicate %d for CloseAll of %v: %v", i, closes, err)
			}
			if on, err := IsCloseOnExec(fds[i]); !on || err != nil {
				t.Error("a duplicate is not close-on-exec", err)
			}
		}
		list := make([]int, len(closes))
		for i, n := range closes {
			list[i] = fds[n]
		}
		CloseAll(list)
		for i, fd := range fds {
			if open := unix.Close(fd) == nil; open == slices.Contains(closes, i) {
				t.Errorf("after CloseAll of %v, descriptor %d: open is %v", closes, i, open)
			}
		}
	}
}

// With RLIMIT_NOFILE 0, F_DUPFD_CLOEXEC and poll(2) fail with EINVAL.
func TestLimitOfZero(t *testing.T) {
	var limit unix.Rlimit
	a, b, err := Pair("unixgram")
	err = errors.Join(err, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	err = errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max}))
	writable, cause := Writable(int32(a)), TruncationCause(a, 0, 1)
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)); err != nil {
		t.Fatal(err)
	}
	CloseAll([]int{a, b})
	if !writable || cause != unix.EMFILE {
		t.Errorf("got %v and %v, want true, so that a send pauses, and EMFILE", writable, cause)
	}
}
