package fdtest

import (
	"maps"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func left(t *testing.T, s Snapshot) []int {
	t.Helper()
	left, err := s.Left()
	Must(t, err)
	return slices.Sorted(maps.Keys(left))
}

func TestLeft(t *testing.T) {
	r, w := pipe(t)
	s := Take()
	if fds := left(t, s); len(fds) > 0 {
		t.Errorf("left %v, want none; nothing was opened", fds)
	}
	d := dup(t, r)
	if fds := left(t, s); !slices.Equal(fds, []int{d}) {
		t.Errorf("left %v, want %d", fds, d)
	}
	Must(t, unix.Close(r))
	if fds := left(t, s); len(fds) > 0 {
		t.Errorf("left %v, want none; the read end of the pipe has another descriptor", fds)
	}
	other, _ := pipe(t) // takes the place of r
	if fds := left(t, s); len(fds) != 2 || fds[0] != other {
		t.Errorf("left %v, want both ends of another pipe", fds)
	}
	Must(t, unix.Close(w))
	again := dup(t, d)
	if fds := left(t, s); slices.Contains(fds, again) || len(fds) != 2 {
		t.Errorf("left %v, want both ends of another pipe", fds)
	}
	if third := dup(t, d); !slices.Contains(left(t, s), third) {
		t.Errorf("%d is not left; there are three descriptors for a pipe that had two", third)
	}
}

// A closed eventfd does not hide a timerfd, although both have the ID of the anonymous files.
func TestLeftAnonymous(t *testing.T) {
	before, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	Must(t, err)
	s := Take()
	Must(t, unix.Close(before))
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	Must(t, err)
	defer func() { _ = unix.Close(timer) }()
	if fds := left(t, s); !slices.Equal(fds, []int{timer}) {
		t.Errorf("left %v, want the timerfd %d", fds, timer)
	}
}

func TestKeptByC(t *testing.T) {
	for description, want := range map[string]bool{
		"Unix stream socket without a name, peer /var/lib/sss/pipes/nss of process 1": true,
		"regular file /var/lib/sss/mc/passwd (read-only)":                             true,
		"regular file /tmp/var/lib/sss/mc/passwd (read-only)":                         false,
		"Unix stream socket /run/x, peer without a name of process 1":                 false,
	} {
		if got := keptByC(description); got != want {
			t.Errorf("%s: got %v, want %v", description, got, want)
		}
	}
}
