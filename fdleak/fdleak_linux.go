package fdleak

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
)

// unchecked returns the reason why descriptors cannot be checked, or "" if they can.
func unchecked() string {
	if _, err := procfs.OpenFDs(procfs.Self); err != nil {
		return err.Error()
	}
	return ""
}

type snapshot struct {
	fdtest.Snapshot
	left fdtest.Snapshot // the descriptors that every poll has seen, or nil before the first one
}

func take() *snapshot {
	fdtest.NoteReceived()
	return &snapshot{Snapshot: fdtest.Take()}
}

// gracePeriod is how long a descriptor may stay open after the tests.
const gracePeriod = 5 * time.Second

// tooLong is how many pauses may take too long.
const tooLong = 20

// wait waits until no descriptor is left open, for at most gracePeriod. It returns a list of the descriptors that are
// still open. It adds up the pauses between its polls instead of waiting until a deadline, because the goroutines of
// a stopped process have no time to close anything. For the same reason, it does not count a pause that took too
// long, up to tooLong times, so that it also ends on a machine where every pause does.
func (s *snapshot) wait() string {
	pause, ignored := time.Millisecond, 0
	for waited := time.Duration(0); ; {
		isLeft, err := s.poll()
		switch {
		case err == nil && !isLeft:
			return ""
		case waited < gracePeriod:
			if sleep(pause) < time.Second || ignored == tooLong {
				waited += 2 * pause
			} else {
				ignored++
			}
			pause = min(2*pause, 50*time.Millisecond)
		case err != nil: // EMFILE
			return "descriptors open: " + err.Error()
		default:
			return list(s.describe())
		}
	}
}

func list(left []string) string {
	switch len(left) {
	case 0:
		return ""
	case 1:
		return "1 descriptor open:\n    " + left[0]
	}
	return fmt.Sprintf("%d descriptors open:\n    %s", len(left), strings.Join(left, "\n    "))
}

// sleep sleeps twice, and returns how long that took. In a bubble of testing/synctest, time.Sleep takes time only
// inside the bubble, and Nanosleep only outside.
var sleep = func(d time.Duration) time.Duration {
	start := monotonic()
	time.Sleep(d)
	t := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&t, &t) == syscall.EINTR {
	}
	return monotonic() - start
}

// monotonic returns the time of a clock that runs in a bubble too.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

// poll reports whether any descriptor is still open with the file that every earlier poll saw. A descriptor that
// an earlier poll did not see was opened after the end.
func (s *snapshot) poll() (isLeft bool, err error) {
	now, err := s.Left()
	if err != nil {
		return false, err
	}
	maps.DeleteFunc(now, func(fd int, id fdtest.ID) bool {
		old, seen := s.left[fd]
		return s.left != nil && (!seen || old != id) || ofTesting(fdtest.Name(fd))
	})
	s.left = now
	if len(now) > 0 && len(now.WithoutSplicePipes()) == 0 {
		runtime.GC() // the second of two calls closes the pipes that io.Copy no longer uses
	}
	return len(now) > 0, nil
}

// describe describes the descriptors that are left open, unless they were closed or replaced since.
func (s *snapshot) describe() (lines []string) {
	left := s.left.WithoutSplicePipes()
	if len(left) == 0 {
		left = s.left
	}
	for _, fd := range slices.Sorted(maps.Keys(left)) {
		line := fmt.Sprintf("%d: %s", fd, fdtest.Describe(fd))
		if call := fdtest.ReceivedBy(fd); call != "" {
			line += "\n        " + call
		}
		if id, err := fdtest.Identify(fd); err == nil && id == s.left[fd] {
			lines = append(lines, line)
		}
	}
	return lines
}
