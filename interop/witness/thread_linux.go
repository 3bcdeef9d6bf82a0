package witness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Sleeps reports whether all threads of a process sleep, and none ran between two looks.
func Sleeps(pid int) (bool, error) {
	before, asleep, err := threads(pid)
	if err != nil || !asleep {
		return false, err
	}
	now, asleep, err := threads(pid)
	return asleep && before == now, err
}

// Stopped reports whether all threads of a process are stopped, perhaps by their tracer.
func Stopped(pid int) (bool, error) {
	all, _, err := threads(pid)
	return all != "" && inStates(all, "T", "t", "Z"), err
}

// inStates reports whether all threads of which all has the status are in these states.
func inStates(all string, states ...string) bool {
	n := strings.Count(all, "\nState:\t")
	for _, s := range states {
		n -= strings.Count(all, "\nState:\t"+s)
	}
	return n == 0
}

// threads returns what /proc shows of the threads of a process, which includes how often each
// has gone to sleep, and tells whether all do.
func threads(pid int) (all string, asleep bool, err error) {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(names) == 0 {
		return "", false, unix.ESRCH
	}
	ended := true
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", false, nil // a thread has ended: look again
		}
		all += string(text)
		ended = ended && strings.Contains(string(text), "\nState:\tZ")
	}
	if ended {
		return "", false, unix.ESRCH
	}
	return all, inStates(all, "S", "Z"), nil
}

// Waiter returns the thread of a process that is in a call on the socket. Not every kernel
// tells; it is then the first thread that has not ended, which makes the calls of the
// reference.
func Waiter(pid, sock int) int {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return pid
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task + "/syscall")
		words := strings.Fields(string(text))
		if err != nil || len(words) < 2 {
			continue
		}
		number, err1 := strconv.Atoi(words[0])
		first, err2 := strconv.ParseUint(words[1], 0, 64)
		if err1 == nil && err2 == nil && first == uint64(sock) && messageCalls[number] {
			tid, err := strconv.Atoi(filepath.Base(task))
			if err == nil {
				return tid
			}
		}
	}
	return pid
}

// messageCalls are the calls that wait for a message.
var messageCalls = map[int]bool{
	unix.SYS_RECVMSG: true, unix.SYS_RECVMMSG: true, unix.SYS_RECVFROM: true, unix.SYS_READ: true, unix.SYS_READV: true,
	unix.SYS_SENDMSG: true, unix.SYS_SENDMMSG: true, unix.SYS_SENDTO: true, unix.SYS_WRITE: true, unix.SYS_WRITEV: true,
}

// CannotLook reports whether err means that the kernel does not let the runner look at the
// process (one that is not dumpable), and not that the process is gone. Where /proc is
// mounted with hidepid, such a process looks as if it were gone.
func CannotLook(pid int, err error) bool {
	if UnlessGone(err) != nil {
		return true
	}
	if err == nil {
		return false
	}
	_, err = os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err != nil && unix.Kill(pid, 0) == nil
}

// UnlessGone returns err, or nil if err means that the process or descriptor is gone.
func UnlessGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Owner returns the effective user and group of a process.
func Owner(pid int) (uid, gid int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	var real int
	_, ids, _ := strings.Cut(string(text), "\nUid:")
	if _, err = fmt.Sscan(ids, &real, &uid); err != nil {
		return 0, 0, err
	}
	_, ids, _ = strings.Cut(ids, "\nGid:")
	_, err = fmt.Sscan(ids, &real, &gid)
	return uid, gid, err
}
