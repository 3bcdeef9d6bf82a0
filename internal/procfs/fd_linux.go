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
	fds, dir, err := list(folder(pid) + "/fd")
	if err != nil {
		return nil, err
	}
	if pid == Self || pid == unix.Getpid() {
		fds = slices.DeleteFunc(fds, func(fd int) bool { return fd == dir })
	}
	return fds, nil
}

// FDPath returns the path of a descriptor in /proc. System calls that follow symbolic links reach the
// descriptor's file through it.
func FDPath(pid, fd int) string {
	return folder(pid) + "/fd/" + strconv.Itoa(fd)
}

// ReadLink returns the kernel's name for the file of a descriptor: its path, or a name such as pipe:[4711] or
// anon_inode:[eventfd].
func ReadLink(pid, fd int) (string, error) {
	var link [unix.PathMax]byte
	path := FDPath(pid, fd)
	n, err := ignoringEINTR(func() (int, error) { return unix.Readlink(path, link[:]) })
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
	path := folder(pid) + "/fdinfo/" + strconv.Itoa(fd)
	file, err := open(path, 0)
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
