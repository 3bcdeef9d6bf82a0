package recorder

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// A File is what a descriptor stood for in the program at the time.
type File struct {
	FD          int32
	Kind        string // "regular", "unix stream", "pipe", "eventfd"…; empty if there is none or Errno hides it
	Name        string // what the kernel calls it: a path, or such as pipe:[4711]
	Access      string // "read", "write", "read-write" or "path"; empty if it was not looked up
	CloseOnExec bool   // looked up together with Access
	AtExit      bool   // the call has made it

	inode string // of a memfd, looked up together with Access

	// Errno is why something of it could not be looked up, and 0 if all could. A
	// process that is not dumpable, for one, hides its descriptors (EACCES) from a
	// tracer without CAP_SYS_PTRACE.
	Errno syscall.Errno
}

// Open reports whether the number was open. If Errno is not 0, false says nothing.
func (f *File) Open() bool { return f.Kind != "" }

const maxSockets = 4096 // whose kinds are kept

// A lookup asks /proc about descriptors of stopped threads.
type lookup struct {
	sockets map[string]string // the kinds of sockets, by name; their inodes are not used again soon
}

// lookUpEntry describes the descriptors that the call names.
func (c *Call) lookUpEntry(l *lookup) {
	if c.sig == nil {
		return
	}
	for i, a := range c.sig.args {
		if a.kind == argFD {
			c.look(l, int32(c.args[i]), c.sig.messages() < 0, false)
		}
	}
	for i := range c.messages() {
		for _, fd := range firstDescriptors(c.Arch, c.sent(i)) {
			c.look(l, fd, true, false)
		}
	}
}

// lookUpExit describes those that the call has made.
func (c *Call) lookUpExit(l *lookup) {
	if c.sig == nil || c.Errno != 0 {
		return
	}
	if c.makesFD() {
		c.look(l, int32(c.Result), true, true)
	}
	for i, a := range c.sig.args {
		if fds := buffer(c.Exit, i).data(); a.kind == argFDs && len(fds) == 8 {
			c.look(l, int32(order.Uint32(fds)), true, true)
			c.look(l, int32(order.Uint32(fds[4:])), true, true)
		}
	}
	if pidfd := buffer(c.Exit, 3).data(); c.option() == unix.SO_PEERPIDFD && len(pidfd) == 4 {
		c.look(l, int32(order.Uint32(pidfd)), true, true)
	}
	for i := range c.done() {
		for _, fd := range firstDescriptors(c.Arch, c.received(i)) {
			c.look(l, fd, true, true)
		}
	}
}

// OnOtherSocket reports whether the call is on a socket of which scm knows that it is no
// Unix socket: it passes no descriptors.
func (c *Call) OnOtherSocket() bool {
	f := c.file(int32(c.args[0]), false)
	return f != nil && strings.HasSuffix(f.Kind, " socket")
}

// option is which one of SOL_SOCKET the call asks for; -1 if it does not.
func (c *Call) option() int {
	if c.sig == nil || c.sig.name != "getsockopt" || int32(c.args[1]) != unix.SOL_SOCKET {
		return -1
	}
	return int(int32(c.args[2]))
}

// makesFD reports whether the result is a descriptor.
func (c *Call) makesFD() bool {
	if c.sig == nil || c.Errno != 0 || c.Unfinished {
		return false
	}
	switch c.sig.result {
	case argFD:
		return true
	case argFcntl:
		return int32(c.args[1]) == unix.F_DUPFD || int32(c.args[1]) == unix.F_DUPFD_CLOEXEC
	}
	return false
}

func (c *Call) look(l *lookup, fd int32, whole, atExit bool) {
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

// file asks for the access mode only if the answer is to be whole.
func (l *lookup) file(tid int, fd int32, whole bool) File {
	f := File{FD: fd}
	name, err := procfs.ReadLink(tid, int(fd))
	if errors.Is(err, unix.ENOENT) { // the descriptor is not open
		return f
	}
	if err == nil {
		f.Name = name
		f.Kind = l.kind(tid, fd, name)
		if whole {
			err = f.readInfo(tid)
		}
	}
	_ = errors.As(err, &f.Errno)
	return f
}

// kind returns what a descriptor of that name is.
func (l *lookup) kind(tid int, fd int32, name string) string {
	switch {
	case strings.HasPrefix(name, "/memfd:"):
		return "memfd"
	case strings.HasPrefix(name, "/"):
		return fileKind(procfs.FDPath(tid, int(fd)))
	case strings.HasPrefix(name, "anon_inode:"):
		return strings.Trim(strings.TrimPrefix(name, "anon_inode:"), "[]")
	case !strings.HasPrefix(name, "socket:["): // pipe:[4711], pidfd:[12], net:[4026531840]
		kind, _, _ := strings.Cut(name, ":")
		return kind
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

func fileKind(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return "file"
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "regular"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFCHR:
		return "character device"
	case unix.S_IFBLK:
		return "block device"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket file"
	}
	return "file"
}

// socketKind asks for the protocol of the socket by name, and for the type of a Unix socket
// in the table of the program's own network.
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
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/net/unix") // without it the protocol says something
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

// readInfo sets Access, CloseOnExec and inode from the fdinfo file of the descriptor.
func (f *File) readInfo(tid int) error {
	info, err := procfs.ReadFDInfo(tid, int(f.FD))
	if err != nil {
		return err
	}
	if f.Kind == "memfd" {
		f.inode = info.Ino
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
