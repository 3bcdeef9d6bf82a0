package fdtest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ended reports whether all threads of a process have ended, so that its descriptors are closed.
// That the process is a zombie is not enough: /proc shows it as one as soon as its main thread has
// ended, although others may still run.
func Ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
	}
	// The name, in parentheses, may have spaces. The fields after it are those of proc_pid_stat(5)
	// from 3, the state, to 20, the number of threads.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	threads, err := strconv.Atoi(fields[20-3])
	return err == nil && threads <= 1 && (fields[0] == "Z" || fields[0] == "X")
}

// WaitEnded waits until Ended reports true.
func WaitEnded(t testing.TB, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !Ended(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d has not ended within a minute", pid)
		}
	}
}
