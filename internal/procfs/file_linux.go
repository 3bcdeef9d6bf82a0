package procfs

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A FileID identifies a file while it is open. All open file descriptions of one file have the same FileID. For
// most kinds of anonymous file, such as eventfds, all files of the kind also have the same FileID.
type FileID struct {
	Dev, Ino uint64
	Type     uint32 // the type in st_mode, or 0 for an anonymous file
}

// Anonymous reports whether the file is an anonymous file, such as an eventfd.
func (id FileID) Anonymous() bool { return id.Type == 0 }

// Identify returns the FileID of a descriptor. It never waits for the server of a network or FUSE file system,
// because the server may be the process itself, and a signal would not interrupt such a wait.
func Identify(pid, fd int) (FileID, error) {
	return Statx(pid, fd, 0, new(unix.Statx_t))
}

// IdentifyOwn is Identify for a descriptor of the calling thread. It does not need /proc.
func IdentifyOwn(fd int) (FileID, error) {
	id, err := identifyAt(fd, "", unix.AT_EMPTY_PATH)
	if err == nil {
		return id, nil
	}
	// FUSE returns EACCES. Seccomp filters that do not know statx return EPERM or ENOSYS.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return FileID{}, err
	}
	return FileID{uint64(st.Dev), st.Ino, st.Mode & unix.S_IFMT}, nil
}

// Statx is Identify for a caller that needs further fields, which mask selects.
func Statx(pid, fd, mask int, st *unix.Statx_t) (FileID, error) {
	id, err := statxAt(unix.AT_FDCWD, FDPath(pid, fd), 0, mask, st)
	if err != nil {
		if tid := holder(pid); tid != pid {
			return Statx(tid, fd, mask, st)
		}
	}
	return id, err
}

func identifyAt(dir int, path string, flags int) (FileID, error) {
	return statxAt(dir, path, flags, 0, new(unix.Statx_t))
}

func statxAt(dir int, path string, flags, mask int, st *unix.Statx_t) (FileID, error) {
	err := unix.Statx(dir, path, flags|unix.AT_STATX_DONT_SYNC, mask|unix.STATX_TYPE|unix.STATX_INO, st)
	if err != nil {
		return FileID{}, err
	}
	return FileID{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, uint32(st.Mode) & unix.S_IFMT}, nil
}

// Files returns the FileIDs of the open descriptors of a process. The FileID is zero for a file that cannot be
// examined, such as the fd directory in /proc of a process that has ended. Files omits descriptors that are closed
// during the call.
func Files(pid int) (map[int]FileID, error) {
	fds, pid, err := openFDs(pid)
	if err != nil {
		return nil, err
	}
	return identifyAll(pid, fds)
}

func identifyAll(pid int, fds []int) (map[int]FileID, error) {
	dir, err := open(tableFolder(pid)+"/fd", unix.O_PATH|unix.O_DIRECTORY) // faster than a path for each descriptor
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(dir) }()
	files := map[int]FileID{}
	for _, fd := range fds {
		id, err := identifyAt(dir, strconv.Itoa(fd), 0)
		if err != nil {
			if _, err := ReadLink(pid, fd); IsGone(err) {
				continue
			}
		}
		files[fd] = id
	}
	return files, nil
}

// The ways in which Same compares open file descriptions.
const (
	ByKcmp   = "kcmp"
	ByAppend = "O_APPEND"
	ByInode  = "inode"
)

// Same reports whether descriptor fd1 of process pid1 and descriptor fd2 of process pid2 refer to the same open file
// description, and how it has found out. If kcmp(2) is missing or not permitted, and pid1 is the calling process, it
// toggles O_APPEND through fd1. If that is not possible either, it compares only the FileIDs.
func Same(pid1, fd1, pid2, fd2 int) (same bool, way string, err error) {
	id1, err := Identify(pid1, fd1)
	if err != nil {
		return false, ByInode, err
	}
	id2, err := Identify(pid2, fd2)
	if err != nil || id1 != id2 {
		return false, ByInode, err
	}
	if same, err := Kcmp(pid1, fd1, pid2, fd2); err == nil {
		return same, ByKcmp, nil
	}
	if isSelf(pid1) {
		if same, err := FollowsAppend(fd1, pid2, fd2); err == nil {
			return same, ByAppend, nil
		}
	}
	return true, ByInode, nil
}

// Kcmp reports whether two descriptors refer to the same open file description, according to kcmp(2). Unlike Same, it
// makes only this call.
func Kcmp(pid1, fd1, pid2, fd2 int) (bool, error) {
	same, err := kcmp(pid1, pid2, kcmpFile, fd1, fd2)
	if err == unix.EBADF || err == unix.EPERM {
		if tid1, tid2 := holder(pid1), holder(pid2); tid1 != pid1 || tid2 != pid2 {
			return Kcmp(tid1, fd1, tid2, fd2)
		}
	}
	return same, err
}

// The types of comparison in linux/kcmp.h.
const (
	kcmpFile  = 0 // KCMP_FILE
	kcmpFiles = 2 // KCMP_FILES
)

func kcmp(pid1, pid2, typ, fd1, fd2 int) (same bool, err error) {
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, realPID(pid1), realPID(pid2), uintptr(typ), uintptr(fd1), uintptr(fd2), 0)
	if errno != 0 {
		return false, errno
	}
	return order == 0, nil
}

func realPID(pid int) uintptr {
	if pid == Self {
		pid = unix.Gettid()
	}
	return uintptr(pid)
}

func isSelf(pid int) bool { return pid == Self || pid == unix.Getpid() }

// toggling is held while O_APPEND is toggled. If both descriptors belong to this process, two concurrent
// comparisons could affect each other.
var toggling sync.Mutex

// FollowsAppend sets and clears O_APPEND on a descriptor of this process and reports whether the other process's
// descriptor shows both changes.
func FollowsAppend(own, pid, fd int) (follows bool, err error) {
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
		info, err := ReadFDInfo(pid, fd)
		if err != nil {
			return false, err
		}
		if info.Flags&unix.O_APPEND != flags&unix.O_APPEND {
			return false, nil
		}
	}
	return true, nil
}

// Kind returns the kind of file that a name of ReadLink denotes, such as "pipe", "eventfd", "pidfd" or "socket", or ""
// if the name is a path. A path does not reveal the kind, unless st_mode has no type, as for /dmabuf:NAME.
func Kind(name string, typeless bool) string {
	switch {
	case strings.HasPrefix(name, "/") && !typeless:
		return ""
	case strings.HasPrefix(name, "anon_inode:"):
		return strings.Trim(strings.TrimPrefix(name, "anon_inode:"), "[]")
	}
	kind := strings.TrimPrefix(name, "/")
	if i := strings.IndexAny(kind, ":["); i >= 0 { // pipe:[4711], pidfd:[12], net:[4026531840]
		kind = kind[:i]
	}
	return kind
}
