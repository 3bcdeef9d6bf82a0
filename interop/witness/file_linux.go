package witness

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// A File is a file that was created for a single case, so a process can have obtained it only as part of that case.
type File struct {
	scenario.FileSpec
	procfs.FileID
	Own    int  // the runner's descriptor of the open file description, or -1 after Drop
	Other  int  // the other end of a pipe or pair, or -1
	FD     int  // the descriptor in the process of its owner
	Reused bool // the owner has closed FD and later reported the same descriptor again
}

// Sure reports whether a result of Holds is certain. way is how Holds compared the files. The result is not certain if
// it compared only the inodes, and other files have the same inode.
func (f *File) Sure(way string) bool { return way != procfs.ByInode || f.Unique() }

// Holder returns "in process PID (PROGRAM)" for a process that has the file open, other than the runner, or "" if /proc
// shows none. Of the processes in except, it looks only at threads with a descriptor table of their own.
func Holder(id procfs.FileID, except ...int) string {
	Forking.RLock()
	defer Forking.RUnlock()
	paths, _ := filepath.Glob("/proc/[0-9]*") // the pattern is valid
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(path))
		tables, _ := procfs.Tables(pid) // the error means that the process has ended, or may not be inspected
		for _, table := range tables {
			known := pid == os.Getpid() || table.TID == pid && slices.Contains(except, pid)
			if known || !slices.Contains(slices.Collect(maps.Values(table.Files)), id) {
				continue
			}
			status, _ := procfs.ReadStatus(pid)
			text := fmt.Sprintf("in process %d (%s)", pid, status.Field("Name"))
			if table.TID != pid {
				text = fmt.Sprintf("in the descriptor table of thread %d %s", table.TID, text)
			}
			return text
		}
	}
	return ""
}

// OtherEnd returns the other end of a file as a separate File. Until then, only the runner has that end open.
func (f *File) OtherEnd(spec scenario.FileSpec) (*File, error) {
	end := &File{FileSpec: spec, Own: f.Other, Other: -1}
	f.Other = -1
	var err error
	end.FileID, err = procfs.Identify(os.Getpid(), end.Own)
	return end, err
}

// Reopen makes it possible to wait until the second end of a pipe is closed everywhere. It opens f's end of the pipe
// again as second.Other. It then closes f.Other, which is the runner's only descriptor of the second end. When Reopen
// is called, no process may have f's end open.
func (f *File) Reopen(second *File) (err error) {
	flags := map[string]int{"pipe-r": unix.O_RDONLY, "pipe-w": unix.O_WRONLY}
	flag, ok := flags[f.Kind]
	if !ok {
		return unix.EOPNOTSUPP
	}
	if second.Other, err = unix.Open(procfs.FDPath(procfs.Self, f.Other), flag|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
		CloseFD(&f.Other)
	}
	return err
}

// Drop closes the runner's descriptor of the file, but not its descriptor of the other end.
func (f *File) Drop() { CloseFD(&f.Own) }

// Close closes the runner's descriptors of the file. It first disables SO_LINGER on a TCP socket. A peer may have
// enabled the option, and closing the socket would then wait for unsent data.
func (f *File) Close() {
	if f.Kind == "tcp" {
		for _, fd := range []int{f.Own, f.Other} {
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{}) // it may be closed already
		}
	}
	CloseFD(&f.Own)
	CloseFD(&f.Other)
}

// Forking is locked while a child process is being started. Until its exec, the child has copies of all descriptors,
// so closing one in this process does not close the file. syscall.ForkLock is not enough, because it is released
// before the copies are closed.
var Forking sync.RWMutex

// CloseFD closes a descriptor of this process and sets it to -1. If it is -1, CloseFD does nothing.
func CloseFD(fd *int) {
	if *fd < 0 {
		return
	}
	Forking.RLock()
	defer Forking.RUnlock()
	_ = unix.Close(*fd) // the descriptor is closed even after an error
	*fd = -1
}

// A State contains the properties of an open file description that a peer must not change.
type State struct {
	Flags  int   // the status flags in changeable
	Offset int64 // -1 if the file has no offset
}

// changeable are the status flags that fcntl(2) can change.
const changeable = unix.O_APPEND | unix.O_ASYNC | unix.O_DIRECT | unix.O_NOATIME | unix.O_NONBLOCK

// StateOf reads the state of a file through the runner's own descriptor. If that descriptor was dropped, or if the
// kernel does not report the flags, ok is false.
func StateOf(f *File) (s State, ok bool) {
	if f.Own < 0 {
		return s, false
	}
	flags, err := unix.FcntlInt(uintptr(f.Own), unix.F_GETFL, 0)
	if err != nil {
		return s, false
	}
	// lseek(2) waits while a peer reads a file that has an offset.
	s = State{Flags: flags & changeable, Offset: -1}
	if offset, err := unix.Seek(f.Own, 0, unix.SEEK_CUR); err == nil {
		s.Offset = offset
	}
	return s, true
}
