package sys

import (
	"testing"

	"golang.org/x/sys/unix"
)

// With RLIMIT_NOFILE 0, F_DUPFD_CLOEXEC and poll(2) fail with EINVAL.
func TestLimitOfZero(t *testing.T) {
	a, b, err := Pair("unixgram")
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll([]int{a, b})
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	writable, cause := Writable(int32(a)), TruncationCause(a, 0, 1)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !writable || cause != unix.EMFILE {
		t.Errorf("got %v and %v, want true, so that a send pauses, and EMFILE", writable, cause)
	}
}
