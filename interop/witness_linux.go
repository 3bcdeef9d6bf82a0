package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// The witness is the kernel: it is asked about descriptors of other processes.
// Where kcmp(2) is refused or missing, O_APPEND is toggled on the runner's own
// copy and watched in the other process; where that cannot be, inodes have to do.
const (
	witnessKcmp   = "kcmp"
	witnessAppend = "O_APPEND"
	witnessInode  = "inode"
)

// A witness counts which of its ways were used.
type witness struct {
	mu   sync.Mutex
	used map[string]int
}

func (w *witness) spoke(way string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.used == nil {
		w.used = map[string]int{}
	}
	w.used[way]++
}

func (w *witness) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := map[string]int{}
	for way, n := range w.used {
		counts[way] = n
	}
	return counts
}

// holds tells whether number fd of process pid is the open file description of
// f, whose owner is process ownerPid. sure is false where only the inode speaks
// and other files share it.
func (w *witness) holds(f *caseFile, ownerPid, pid, fd int) (holds, sure bool, err error) {
	id, err := identify(pid, fd)
	if err != nil || id != f.identity {
		return false, true, err
	}
	refPid, ref := os.Getpid(), f.own
	if ref < 0 {
		refPid, ref = ownerPid, f.number
		// Its owner may have closed the number, and have another file there by now.
		if now, err := identify(refPid, ref); err != nil || now != f.identity {
			w.spoke(witnessInode)
			return true, f.unique(), nil
		}
	}
	same, err := raw.SameDescription(refPid, ref, pid, fd)
	if err == nil {
		w.spoke(witnessKcmp)
		return same, true, nil
	}
	if f.own >= 0 && f.Kind != "opath" {
		same, err = followsAppend(f.own, pid, fd)
		if err == nil {
			w.spoke(witnessAppend)
			return same, true, nil
		}
	}
	w.spoke(witnessInode)
	return true, f.unique(), nil
}

// toggling is held while O_APPEND is toggled: two at once could be taken for
// each other where numbers of this very process are looked at.
var toggling sync.Mutex

// followsAppend sets and clears O_APPEND on the runner's own copy, and tells
// whether the other process's number shows it.
func followsAppend(own, pid, fd int) (follows bool, err error) {
	toggling.Lock()
	defer toggling.Unlock()
	before, err := unix.FcntlInt(uintptr(own), unix.F_GETFL, 0)
	if err != nil {
		return false, err
	}
	defer func() {
		if _, e := unix.FcntlInt(uintptr(own), unix.F_SETFL, before); e != nil && err == nil {
			err = e
		}
	}()
	for _, flags := range []int{before | unix.O_APPEND, before &^ unix.O_APPEND} {
		if _, err := unix.FcntlInt(uintptr(own), unix.F_SETFL, flags); err != nil {
			return false, err
		}
		info, err := fdInfo(pid, fd)
		if err != nil {
			return false, err
		}
		if info.flags&unix.O_APPEND != flags&unix.O_APPEND {
			return false, nil
		}
	}
	return true, nil
}

// info is what /proc/PID/fdinfo/N tells.
type info struct {
	pos   int64
	flags int
	pid   int // of a pidfd: whose it is
}

func (i info) cloexec() bool { return i.flags&unix.O_CLOEXEC != 0 }

func fdInfo(pid, fd int) (i info, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return i, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "pos":
			i.pos, err = strconv.ParseInt(value, 10, 64)
		case "flags":
			var flags int64
			flags, err = strconv.ParseInt(value, 8, 64)
			i.flags = int(flags)
		case "Pid":
			i.pid, err = strconv.Atoi(value)
		}
		if err != nil {
			return i, err
		}
	}
	return i, lines.Err()
}

// identity is device and inode. Descriptions of one file share it, and so do
// all anonymous inodes.
type identity struct{ dev, ino uint64 }

func identify(pid, fd int) (identity, error) {
	var st unix.Stat_t
	err := unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), &st)
	return identity{uint64(st.Dev), st.Ino}, err
}

// openNumbers lists the open descriptors of a process.
func openNumbers(pid int) ([]int, error) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// tables are the threads of a process by whose numbers it has all that it has open:
// the first that has not ended, and those that share no table with it.
func tables(pid int) ([]int, error) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	first := firstThread(pid)
	all := []int{first}
	for _, name := range names {
		tid, err := strconv.Atoi(name)
		if err != nil || tid == first || threadEnded(pid, tid) {
			continue
		}
		// Where kcmp(2) is refused, each is looked at.
		if same, err := raw.SameTable(first, tid); err != nil || !same {
			all = append(all, tid)
		}
	}
	return all, nil
}

// thread is the thread by whose number /proc and kcmp(2) tell what the peer has open.
func (proc *process) thread() int { return firstThread(proc.pid) }

// firstThread is the first thread of a process that has not ended. A process whose first
// thread has called pthread_exit lives on, and /proc/PID then shows no descriptors.
func firstThread(pid int) int {
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
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
	if err != nil {
		return false
	}
	// The name, in brackets, may have spaces.
	return bytes.HasPrefix(text[bytes.LastIndexByte(text, ')')+1:], []byte(" Z"))
}
