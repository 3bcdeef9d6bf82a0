package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The main goroutine keeps the main thread, and starts no program while it plays. The
// kernel makes the main thread the parent of the processes that a subreaper adopts, so
// its children are those alone: what os/exec and the recorder wait for are children of
// other threads.
func init() { runtime.LockOSThread() }

// adopt makes this process the parent of whatever a peer starts and leaves behind, in
// a group of its own too, and returns what ends all of that once no peer runs any more:
// before signals, SIGPIPE among them, may end this process again. Until then it reaps
// those that end. Who is its child already, because it was another
// program before, stays; but what such a child starts while peers run, and leaves behind,
// is taken for a peer's, and ended. Start the run as a child, and not by exec, of a shell
// with background jobs.
func adopt() (end func()) {
	if unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != nil {
		return func() {} // they are another's
	}
	older := descendants(nil)
	ended := make(chan os.Signal, 1) // one signal may stand for many
	signal.Notify(ended, unix.SIGCHLD)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for range ended {
			reapAdopted(older)
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(ended)
		close(ended)
		<-stopped
		// One may be another user's, and one may start others faster than they are found.
		if left := endAll(older, time.Now().Add(10*time.Second)); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "scm: peers have left processes behind that do not end: %s\n", strings.Trim(fmt.Sprint(left), "[]"))
		}
	})
}

// reapAdopted waits for the adopted processes that have ended. Who is traced, even when
// it has ended, is the recorder's, which learns of its end first. Where the kernel does
// not list children by thread they stay until the end of the run.
func reapAdopted(older []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err != nil {
		return
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil || slices.Contains(older, pid) {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil && strings.Contains(string(status), "\nState:\tZ") && strings.Contains(string(status), "\nTracerPid:\t0\n") {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // nobody asks how it ended
		}
	}
}

// endAll ends all descendants but the older ones, and returns those that are left. It
// stops them first, until none of them runs: who is killed before the others may be
// started again by one of them.
func endAll(older []int, deadline time.Time) (left []int) {
	for {
		if left = descendants(older); len(left) == 0 {
			return nil
		}
		signal := unix.SIGKILL
		late := time.Now().After(deadline)
		if slices.ContainsFunc(left, runs) && !late {
			signal = unix.SIGSTOP
		}
		for _, pid := range left {
			// The group too, which only one of them can lead: it has who was started since. What
			// is not reaped keeps its number.
			_ = unix.Kill(-pid, signal)
			_ = unix.Kill(pid, signal)
		}
		for _, pid := range left {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // or in the next round
		}
		switch {
		case late && signal == unix.SIGKILL && time.Now().After(deadline.Add(time.Second)):
			return left
		case signal == unix.SIGKILL:
			time.Sleep(time.Millisecond)
		}
	}
}

// runs reports whether a process may start another: it is neither stopped nor dead.
func runs(pid int) bool {
	fields := stat(pid)
	return len(fields) > 0 && !strings.Contains("TtZX", fields[0])
}

// stat are the fields of /proc/PID/stat from the state on; none if there is no such
// process.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The name, in brackets, may have spaces.
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// descendants returns the descendants of this process, without the processes of but
// and theirs.
func descendants(but []int) (pids []int) {
	pids = []int{os.Getpid()}
	for i := 0; i < len(pids); i++ {
		more, err := children(pids[i])
		if err != nil {
			return descendantsOfAll(but)
		}
		pids = append(pids, slices.DeleteFunc(more, func(pid int) bool { return slices.Contains(but, pid) })...)
	}
	if len(pids) == 1 {
		return descendantsOfAll(but) // the quick way may miss one while another ends
	}
	return pids[1:]
}

// children asks the kernel for those of one process: who starts others all the time has
// little time to do so.
func children(pid int) (pids []int, err error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil && pid != os.Getpid() {
		return nil, nil // it has ended
	}
	for _, task := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		if errors.Is(err, unix.ENOENT) {
			if _, e := os.Stat("/proc/thread-self/children"); e != nil {
				return nil, err // this kernel does not list them
			}
		}
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids, err
}

// descendantsOfAll looks at all processes there are.
func descendantsOfAll(but []int) (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	parents := map[int]int{}
	for _, name := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if fields := stat(pid); err == nil && len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	for pid := range parents {
		for up, seen := pid, 0; up != 0 && seen <= len(parents) && !slices.Contains(but, up); up, seen = parents[up], seen+1 {
			if parents[up] == os.Getpid() {
				pids = append(pids, pid)
				break
			}
		}
	}
	slices.Sort(pids)
	return pids
}
