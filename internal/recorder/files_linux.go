package recorder

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// A File describes the file that a descriptor of the traced program referred to when the program made
// the call.
type File struct {
	FD          int32
	Kind        string // "regular", "unix stream", "pipe", "eventfd" and so on; empty if it is not open or Errno is set
	Name        string // the kernel's name: a path, or a name such as pipe:[4711]
	Access      string // "read", "write", "read-write" or "path"; empty if it was not looked up
	CloseOnExec bool   // looked up together with Access
	AtExit      bool   // the call has received it

	identity string   // of the file; empty if it cannot be distinguished from others of its kind
	from     *Receipt // of the received descriptor that it is, or that it duplicates; nil if there is none, or if AtExit

	// Errno is not 0 if the recorder could not look up all of the fields. For example, a process
	// that is not dumpable hides its descriptors (EACCES) from a tracer without CAP_SYS_PTRACE.
	Errno syscall.Errno
}

// Open reports whether the descriptor was open. If Errno is not 0, Open may return false for a
// descriptor that was open.
func (f *File) Open() bool { return f.Kind != "" }

const maxSockets = 4096 // in lookup.sockets

// A lookup looks up descriptors of stopped threads in /proc.
type lookup struct {
	sockets map[string]string // the kinds of sockets, by name; the kernel does not soon reuse their inodes
}

// lookUpEntry describes the socket of a call with messages, and the descriptors that it sends.
func (c *Call) lookUpEntry(l *lookup) {
	c.lookUp(l, c.socket(), false, false)
	if c.receives() {
		return
	}
	for i := range c.Entry.Messages {
		for _, fd := range c.Entry.Messages[i].Control.firstFDs() {
			c.lookUp(l, fd, true, false)
		}
	}
}

// lookUpExit describes the descriptors that the call has received.
func (c *Call) lookUpExit(l *lookup) {
	for _, fd := range c.ReceivedFDs() {
		c.lookUp(l, fd, true, true)
	}
}

// lookUp adds the description of a descriptor to Files. It looks up the access mode only if whole
// is true.
func (c *Call) lookUp(l *lookup, fd int32, whole, atExit bool) {
	if fd < 0 {
		return
	}
	f := c.file(fd, atExit)
	if f == nil {
		c.Files = append(c.Files, File{FD: fd, AtExit: atExit})
		f = &c.Files[len(c.Files)-1]
	} else if !whole || f.Access != "" {
		return
	}
	*f = l.file(c.Thread, fd, whole)
	f.AtExit = atExit
}

// file describes a descriptor. It looks up the access mode only if whole is true.
func (l *lookup) file(tid int, fd int32, whole bool) File {
	f := File{FD: fd}
	name, err := procfs.ReadLink(tid, int(fd))
	if errors.Is(err, unix.ENOENT) { // the descriptor is not open
		return f
	}
	if err == nil {
		f.Name = name
		f.Kind, f.identity = l.kind(tid, fd, name), identity(tid, fd, name)
		if whole {
			err = f.readInfo(tid)
		}
	}
	_ = errors.As(err, &f.Errno)
	return f
}

// kind returns the kind of a descriptor with this name.
func (l *lookup) kind(tid int, fd int32, name string) string {
	switch {
	case strings.HasPrefix(name, "/memfd:"):
		return "memfd"
	case strings.HasPrefix(name, "/"):
		return fileKind(procfs.FDPath(tid, int(fd)), name)
	case !strings.HasPrefix(name, "socket:["):
		return procfs.Kind(name, false)
	}
	kind, ok := l.sockets[name]
	if !ok {
		kind = socketKind(tid, fd, name)
		if l.sockets == nil || len(l.sockets) == maxSockets {
			l.sockets = map[string]string{}
		}
		l.sockets[name] = kind
	}
	return kind
}

// identity returns a text that no other file has, also after the file no longer exists. It returns "" for a file that
// shares its inode with others.
func identity(tid int, fd int32, name string) string {
	if strings.HasPrefix(name, "socket:[") || strings.HasPrefix(name, "pipe:[") {
		return name
	}
	var st unix.Statx_t
	id, err := procfs.Statx(tid, int(fd), 0, &st)
	if err != nil || sharesInode(id, &st) {
		return ""
	}
	// A file system can give the inode number of a deleted file to another one, which has another handle.
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, procfs.FDPath(tid, int(fd)), unix.AT_SYMLINK_FOLLOW)
	if err != nil { // such as that of overlayfs
		return fmt.Sprint(id, strings.TrimSuffix(name, deleted))
	}
	return fmt.Sprint(id, handle.Bytes())
}

// unique reports whether other processes cannot open the file.
func (f *File) unique() bool {
	return f.Kind == "memfd" || strings.HasPrefix(f.Name, "socket:[") || strings.HasPrefix(f.Name, "pipe:[")
}

func fileKind(path, name string) string {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if err == nil && st.Mode&unix.S_IFMT == 0 {
		return procfs.Kind(name, true)
	}
	return cmp.Or(fileKinds[st.Mode&unix.S_IFMT], "file")
}

var fileKinds = map[uint32]string{
	unix.S_IFREG: "regular", unix.S_IFDIR: "directory", unix.S_IFCHR: "character device",
	unix.S_IFBLK: "block device", unix.S_IFIFO: "fifo", unix.S_IFSOCK: "socket file",
}

// socketKind returns the kind of a socket: its protocol, and for a Unix socket also its type, which is
// in the table of the program's own network namespace.
func socketKind(tid int, fd int32, name string) string {
	var proto [64]byte
	n, err := unix.Getxattr(procfs.FDPath(tid, int(fd)), "system.sockprotoname", proto[:])
	if err != nil {
		return "socket"
	}
	protocol := strings.ToLower(string(bytes.TrimRight(proto[:n], "\x00")))
	if protocol != "unix" && protocol != "unix-stream" {
		return protocol + " socket"
	}
	inode := strings.TrimSuffix(strings.TrimPrefix(name, "socket:["), "]")
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/net/unix") // if it cannot be read, the protocol is the kind
	for line := range strings.Lines(string(text)) {
		// Num RefCount Protocol Flags Type St Inode Path
		if f := strings.Fields(line); len(f) >= 7 && f[6] == inode {
			if kind := map[string]string{"0001": "stream", "0002": "dgram", "0005": "seqpacket"}[f[4]]; kind != "" {
				return "unix " + kind
			}
		}
	}
	return strings.ReplaceAll(protocol, "-", " ")
}

// readInfo sets Access and CloseOnExec from the fdinfo file of the descriptor.
func (f *File) readInfo(tid int) error {
	info, err := procfs.ReadFDInfo(tid, int(f.FD))
	if err != nil {
		return err
	}
	flags := info.Flags
	f.CloseOnExec = info.CloseOnExec()
	switch {
	case flags&unix.O_PATH != 0:
		f.Access = "path"
	case flags&unix.O_ACCMODE == unix.O_RDONLY:
		f.Access = "read"
	case flags&unix.O_ACCMODE == unix.O_WRONLY:
		f.Access = "write"
	default:
		f.Access = "read-write"
	}
	return nil
}
