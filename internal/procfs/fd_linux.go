package procfs

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenFDs returns the open descriptors of a process in ascending order. For the calling process, the list
// omits the descriptor with which OpenFDs reads /proc.
func OpenFDs(pid int) ([]int, error) {
	fds, _, err := openFDs(pid)
	return fds, err
}

// openFDs is OpenFDs. It also returns the ID of the thread whose descriptors they are.
func openFDs(pid int) ([]int, int, error) {
	fds, dir, err := list(tableFolder(pid) + "/fd")
	if err != nil || len(fds) == 0 {
		if tid := holder(pid); tid != pid {
			return openFDs(tid)
		}
	}
	if err != nil {
		return nil, pid, err
	}
	if pid == Self || pid == unix.Getpid() {
		fds = slices.DeleteFunc(fds, func(fd int) bool { return fd == dir })
	}
	return fds, pid, nil
}

// LimitFor returns the lowest RLIMIT_NOFILE with which a process that has these descriptors open can open exactly
// this many more. If that is none, it is the lowest descriptor that is not open, which opening a file would use.
func LimitFor(open []int, free int) uint64 {
	limit := 0
	for none := free == 0; free > 0 || none && slices.Contains(open, limit); limit++ {
		if !slices.Contains(open, limit) {
			free--
		}
	}
	return uint64(limit)
}

// FDPath returns the path of a descriptor in /proc. System calls that follow symbolic links reach the
// descriptor's file through it.
func FDPath(pid, fd int) string {
	return tableFolder(pid) + "/fd/" + strconv.Itoa(fd)
}

// tableFolder returns the folder with the descriptors of a process. The kernel shows none of a thread that has ended,
// and the first thread of this process may have.
func tableFolder(pid int) string {
	if pid == Self {
		return "/proc/thread-self"
	}
	return folder(pid)
}

// holder returns the ID of a thread that has the descriptors of a process whose first thread has ended, or else pid.
// Another thread of a process whose first thread is running may have descriptors of its own. The first thread that has
// ended has none for root, and another user gets EACCES.
func holder(pid int) int {
	if s, err := ReadStatus(pid); pid == Self || err != nil || !s.HasEnded() {
		return pid
	}
	tids, _ := Tasks(pid)
	for _, tid := range append([]int{pid}, tids...) {
		if hasFDs(tid) {
			return tid
		}
	}
	return pid
}

// hasFDs reports whether the kernel shows descriptors of a process. It reads only the first ones.
func hasFDs(pid int) bool {
	dir, err := open(tableFolder(pid)+"/fd", unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(dir) }()
	var buf [256]byte
	n, err := ignoringEINTR(func() (int, error) { return unix.ReadDirent(dir, buf[:]) })
	_, _, names := unix.ParseDirent(buf[:max(n, 0)], -1, nil)
	return err == nil && len(names) > 0
}

// ReadLink returns the kernel's name for the file of a descriptor: its path, or a name such as pipe:[4711] or
// anon_inode:[eventfd].
func ReadLink(pid, fd int) (string, error) {
	var link [unix.PathMax]byte
	path := FDPath(pid, fd)
	n, err := ignoringEINTR(func() (int, error) { return unix.Readlink(path, link[:]) })
	if err != nil {
		if tid := holder(pid); tid != pid {
			return ReadLink(tid, fd)
		}
	}
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(link[:n]), nil
}

// FDInfo is what /proc/PID/fdinfo reports about a descriptor.
type FDInfo struct {
	Pos   int64  // the file offset
	Flags int    // of open(2), with O_CLOEXEC if the descriptor is close-on-exec
	Ino   string // the inode number, or "" before Linux 5.14
	PID   int    // of a pidfd: its process, 0 if it is in another PID namespace, or -1 if it has ended
}

// CloseOnExec reports whether the descriptor is close-on-exec.
func (i FDInfo) CloseOnExec() bool { return i.Flags&unix.O_CLOEXEC != 0 }

// ReadFDInfo returns the information about a descriptor. If the kernel's text cannot be parsed, the error
// wraps ENODATA.
func ReadFDInfo(pid, fd int) (i FDInfo, err error) {
	path := tableFolder(pid) + "/fdinfo/" + strconv.Itoa(fd)
	file, err := open(path, 0)
	if err != nil {
		if tid := holder(pid); tid != pid {
			return ReadFDInfo(tid, fd)
		}
	}
	if err != nil {
		return i, err
	}
	defer func() { _ = unix.Close(file) }()
	// One read returns the common lines, which are the first ones. The kernel prints further lines for some
	// files, such as one for each watch of an epoll instance.
	var text [4096]byte
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(file, text[:]) })
	if err != nil {
		return i, &os.PathError{Op: "read", Path: path, Err: err}
	}
	i, err = parseFDInfo(string(text[:n]))
	if err != nil {
		return i, &os.PathError{Op: "parse", Path: path, Err: err}
	}
	return i, nil
}

func parseFDInfo(text string) (i FDInfo, err error) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "pos":
			i.Pos, err = strconv.ParseInt(value, 10, 64)
		case "flags":
			var flags int64
			flags, err = strconv.ParseInt(value, 8, 64)
			i.Flags = int(flags)
		case "ino":
			i.Ino = value
		case "Pid":
			i.PID, err = strconv.Atoi(value)
		}
		if err != nil {
			return FDInfo{}, fmt.Errorf("%w: %v", unix.ENODATA, err)
		}
	}
	return i, nil
}
