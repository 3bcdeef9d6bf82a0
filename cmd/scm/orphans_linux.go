package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// adopt makes this process the parent of whatever a peer starts and leaves behind, in
// a group of its own too, and returns what ends all of that once no peer runs any more.
// Who is its child already, because it was another program before, stays.
func adopt() (end func()) {
	if unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != nil {
		return func() {} // they are another's
	}
	older := children()
	return func() {
		deadline := time.Now().Add(10 * time.Second) // one may be another user's
		for time.Now().Before(deadline) {
			pids := slices.DeleteFunc(children(), func(pid int) bool { return slices.Contains(older, pid) })
			if len(pids) == 0 {
				return
			}
			for _, pid := range pids {
				_ = unix.Kill(pid, unix.SIGKILL) // not reaped yet: the number is its own
			}
			for _, pid := range pids {
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // or in the next round
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// children are the processes whose parent this one is.
func children() (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may have spaces.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
