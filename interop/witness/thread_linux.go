package witness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// Tables returns one thread for each descriptor table of a process: the first that has not
// ended, and those that share no table with it.
func Tables(pid int) ([]int, error) {
	threads, err := numbersIn(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	first := FirstThread(pid)
	all := []int{first}
	for _, tid := range threads {
		if tid == first {
			continue
		}
		// Where kcmp(2) is refused, each is looked at. A thread that has ended has no table.
		if same, err := raw.SameTable(first, tid); (err != nil || !same) && !threadEnded(pid, tid) {
			all = append(all, tid)
		}
	}
	return all, nil
}

// FirstThread returns the first thread of a process that has not ended. If the first of all
// has called pthread_exit, /proc/PID shows no descriptors, and another thread has to be
// asked.
func FirstThread(pid int) int {
	if pid == os.Getpid() || !threadEnded(pid, pid) {
		return pid
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return pid
	}
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil && !threadEnded(pid, tid) {
			return tid
		}
	}
	return pid
}

// threadEnded tells whether a thread has ended and is still there.
func threadEnded(pid, tid int) bool {
	text, err := readProc(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
	if err != nil {
		return false
	}
	// The name, in brackets, may have spaces.
	return strings.HasPrefix(text[strings.LastIndexByte(text, ')')+1:], " Z")
}

// Sleeps reports whether no thread of a process ran between two looks.
func Sleeps(pid int) (bool, error) {
	first, asleep, err := switches(pid)
	if err != nil || !asleep {
		return false, err
	}
	second, asleep, err := switches(pid)
	return asleep && first == second, err
}

// switches counts how often the threads of a process have gone to sleep, and tells
// whether all do. The first may have ended, and is there until the others have.
func switches(pid int) (count int, asleep bool, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		return 0, false, unix.ESRCH
	}
	asleep, ended := true, 0
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			return 0, false, nil // a thread has ended: look again
		}
		for l := range strings.Lines(string(text)) {
			words := strings.Fields(l)
			switch {
			case len(words) < 2:
			case words[0] == "State:" && words[1] == "Z":
				ended++
			case words[0] == "State:":
				asleep = asleep && words[1] == "S"
			case strings.HasSuffix(words[0], "_ctxt_switches:"):
				n, err := strconv.Atoi(words[1])
				if err != nil {
					return 0, false, err
				}
				count += n
			}
		}
	}
	if ended == len(tasks) {
		return 0, false, unix.ESRCH
	}
	return count + len(tasks), asleep, nil
}

// Waiter returns the thread of a process that is in a call on the socket. Not every kernel
// tells; it is then the first thread that has not ended, which makes the calls of the
// reference.
func Waiter(pid, sock int) int {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return FirstThread(pid)
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
	return FirstThread(pid)
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
	for l := range strings.Lines(string(text)) {
		words := strings.Fields(l)
		switch {
		case len(words) < 3:
		case words[0] == "Uid:":
			uid, err = strconv.Atoi(words[2])
		case words[0] == "Gid:":
			gid, err = strconv.Atoi(words[2])
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return uid, gid, nil
}
