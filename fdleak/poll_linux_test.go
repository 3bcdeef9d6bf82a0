package fdleak

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"golang.org/x/sys/unix"
)

// A descriptor counts only if every poll has seen it with the same file.
func TestPoll(t *testing.T) {
	open := func(path string) int {
		t.Helper()
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		fdtest.Must(t, err)
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	s := take()
	poll := func(want ...int) {
		t.Helper()
		isLeft, err := s.poll()
		if got := slices.Sorted(maps.Keys(s.left)); err != nil || isLeft != (len(want) > 0) || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v, %v, want %v", isLeft, got, err, want)
		}
	}
	null, zero := open("/dev/null"), open("/dev/zero")
	poll(null, zero)
	full := open("/dev/full")
	poll(null, zero) // full was opened after the first poll
	fdtest.Must(t, unix.Dup3(full, zero, unix.O_CLOEXEC))
	poll(null) // zero has another file
	fdtest.Must(t, unix.Dup3(full, null, unix.O_CLOEXEC))
	if lines := s.describe(); len(lines) > 0 {
		t.Errorf("described %q, which was replaced after the last poll", lines)
	}
	poll()
}

// A check of a test that left nothing open does not start to count later.
func TestPollAfterNone(t *testing.T) {
	s := take()
	if isLeft, err := s.poll(); isLeft || err != nil {
		t.Fatalf("nothing was opened: a descriptor is left: %v, %v; want false", isLeft, err)
	}
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	fdtest.Must(t, err)
	defer func() { _ = unix.Close(fd) }()
	if isLeft, err := s.poll(); isLeft || err != nil {
		t.Errorf("opened after the first poll: a descriptor is left: %v, %v; want false", isLeft, err)
	}
}

// While this process is stopped, its goroutines have no time to close a file, even if the pause before the last poll
// ends during that time.
func TestWaitDoesNotCountTheTimeInWhichTheProcessIsStopped(t *testing.T) {
	original := sleep
	t.Cleanup(func() { sleep = original })
	leak := func() (s *snapshot, fd int) {
		t.Helper()
		s = take()
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		fdtest.Must(t, err)
		return s, fd
	}

	s, fd := leak()
	last := 0
	sleep = func(d time.Duration) time.Duration { last++; return 2 * d }
	if s.wait() == "" {
		t.Error("a descriptor that stays open is not reported")
	}
	_ = unix.Close(fd)

	for _, stopped := range []int{1, last} {
		s, fd := leak()
		n := 0
		sleep = func(d time.Duration) time.Duration {
			switch n++; n {
			case stopped:
				return time.Minute
			case stopped + 1: // its goroutines run again
				_ = unix.Close(fd)
			}
			return 2 * d
		}
		if left := s.wait(); left != "" {
			t.Errorf("stopped in pause %d of %d: %s", stopped, last, left)
		}
	}
}

// On a machine where every pause takes too long, the check ends.
func TestWaitIgnoresNotEveryPause(t *testing.T) {
	original := sleep
	t.Cleanup(func() { sleep = original })
	s := take()
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	fdtest.Must(t, err)
	defer func() { _ = unix.Close(fd) }()
	pauses := 0
	sleep = func(time.Duration) time.Duration {
		if pauses++; pauses == 1000 {
			t.Error("after 1000 pauses, the check still waits")
			_ = unix.Close(fd) // ends it
		}
		return time.Second
	}
	if s.wait() == "" {
		t.Error("the descriptor is not reported")
	}
}
