package fdtest

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/scm-rights/scm/internal/procfs"
)

// Ended reports whether all threads of a process have ended, so that its descriptors are closed. It is not
// enough that /proc shows a zombie: it does so as soon as the main thread has ended, while others may still run.
func Ended(pid int) bool {
	status, err := procfs.ReadStatus(pid)
	if err != nil {
		return procfs.IsGone(err)
	}
	threads, err := strconv.Atoi(status.Field("Threads"))
	return err == nil && threads <= 1 && status.HasEnded()
}

// WaitEnded waits until Ended reports true.
func WaitEnded(t testing.TB, pid int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("process %d has ended", pid), func() bool { return Ended(pid) })
}
