package procfs

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Self is the pid of the calling process in all functions of this package. It works even if /proc belongs to
// another PID namespace, in which the process has another ID.
const Self = 0

// folder returns the folder of a process.
func folder(pid int) string {
	if pid == Self {
		return "/proc/self"
	}
	return "/proc/" + strconv.Itoa(pid)
}

// Exists reports whether /proc shows the process. It does not show a process of another user if it is
// mounted with hidepid.
func Exists(pid int) bool {
	return unix.Access(folder(pid), unix.F_OK) == nil
}

// IsGone reports whether err means that the process, the thread or the descriptor does not exist.
func IsGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
}

// Check returns an error if /proc is not mounted, or if it belongs to another PID namespace than the calling process.
// The pids that system calls return then name no processes in /proc, or other ones.
func Check() error {
	var fs unix.Statfs_t
	if err := unix.Statfs("/proc", &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return errors.New("/proc is not mounted: mount -t proc proc /proc")
	}
	self, _ := os.Readlink("/proc/self") // it fails if the namespace of /proc does not contain the process
	s, err := ReadStatus(Self)
	// NSpid has the ID in each namespace, starting with that of /proc.
	if self != strconv.Itoa(unix.Getpid()) || err != nil || len(strings.Fields(s.Field("NSpid"))) > 1 {
		return errors.New("/proc belongs to another PID namespace, in which processes have other IDs: " +
			"mount the /proc of this namespace (mount -t proc proc /proc, or unshare --mount-proc)")
	}
	return nil
}

// Tasks returns the IDs of the threads of a process in ascending order.
func Tasks(pid int) ([]int, error) {
	tids, _, err := list(folder(pid) + "/task")
	return tids, err
}

// Children returns the pids of the children of a process. It omits the children of threads that end
// during the call. While a child ends, the kernel may omit another one. If the process does not exist,
// Children returns none.
func Children(pid int) (children []int, err error) {
	tids, err := Tasks(pid)
	if err != nil && !IsGone(err) {
		return nil, err
	}
	for _, tid := range tids {
		// Not below /proc/PID: what the kernel caches there is removed both when a thread ends and when the process is
		// waited for, and the second spins while the first is not done. The ID of an own thread might be used again.
		dir := folder(tid)
		if pid == Self {
			dir = folder(Self)
		}
		text, err := read(dir + "/task/" + strconv.Itoa(tid) + "/children")
		if IsGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for word := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				children = append(children, child)
			}
		}
	}
	return children, nil
}

// list returns the names in a folder that are integers, in ascending order, and the descriptor with which it
// has read the folder.
func list(name string) (ids []int, dir int, err error) {
	dir, err = open(name, unix.O_DIRECTORY)
	if err != nil {
		return nil, -1, err
	}
	defer func() { _ = unix.Close(dir) }()
	var buf [8192]byte
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.ReadDirent(dir, buf[:]) })
		if err != nil {
			return nil, dir, &os.PathError{Op: "readdirent", Path: name, Err: err}
		}
		if n <= 0 {
			break
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if id, err := strconv.Atoi(name); err == nil {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids, dir, nil
}

// read returns the whole content of a file.
func read(name string) (text []byte, err error) {
	fd, err := open(name, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	text = make([]byte, 0, 4096)
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, text[len(text):cap(text)]) })
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		}
		if n <= 0 {
			return text, nil
		}
		text = text[:len(text)+n]
		text = slices.Grow(text, 1024)
	}
}

// open opens a file without package os, which would first offer it to the poller. That takes as long as
// opening and reading the file, and at its first use the poller opens descriptors of its own.
func open(name string, flags int) (fd int, err error) {
	fd, err = ignoringEINTR(func() (int, error) { return unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0) })
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
