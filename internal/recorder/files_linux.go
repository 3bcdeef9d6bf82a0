package recorder

import (
	"bytes"
	"cmp"
	"errors"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"syscall"

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

// closeOnExecUnknown means that CloseOnExec says nothing of an open descriptor that was
// to be looked up whole.
func (f *File) closeOnExecUnknown() bool { return f.Errno != 0 || f.Kind == "eventpoll" }

const maxSockets = 4096 // whose kinds are kept

// A lookup asks /proc about descriptors of stopped threads.
type lookup struct {
	sockets map[string]string // the kinds of sockets, by name; their inodes are not used again soon
	path    []byte
	link    [4096]byte
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
	path := l.fd(tid, "fd", fd)
	n, err := unix.Readlink(path, l.link[:])
	if err != nil {
		// ENOENT is that the number is not open, but also that the thread is being ended
		// or that /proc does not show it (hidepid). Only then its exe cannot be read either.
		if err != unix.ENOENT || !l.shown(tid) {
			f.Errno = errnoOf(err)
		}
		return f
	}
	link := l.link[:n]
	if socket, ok := l.sockets[string(link)]; ok {
		f.Kind, f.Name = socket, string(link)
	} else {
		f.Kind, f.Name, err = l.kind(tid, path, string(link))
		f.Errno = errnoOf(err)
	}
	switch {
	case !whole:
		return f
	case f.Kind == "eventpoll":
		f.Access, err = linkAccess(path)
	default:
		err = f.readInfo(l.fd(tid, "fdinfo", fd))
	}
	f.Errno = cmp.Or(f.Errno, errnoOf(err))
	return f
}

// shown reports whether /proc has the thread, with its memory: at its end it loses its
// memory before its descriptors.
func (l *lookup) shown(tid int) bool {
	_, err := unix.Readlink("/proc/"+strconv.Itoa(tid)+"/exe", l.link[:])
	return err == nil
}

// errnoOf is 0 without an error.
func errnoOf(err error) (errno syscall.Errno) {
	errors.As(err, &errno)
	return errno
}

// linkAccess returns the access mode that the link in /proc has. fdinfo of an epoll waits
// for its mutex, which whoever adds a file to it holds for as long as that file's server
// likes: it is not asked, so close-on-exec is not known. That is a matter of one moment:
// fdinfo names a number, and a thread that puts such an epoll on a number just before its
// fdinfo is read makes the recorder wait.
func linkAccess(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	switch st.Mode & (unix.S_IRUSR | unix.S_IWUSR) {
	case unix.S_IRUSR:
		return "read", nil
	case unix.S_IWUSR:
		return "write", nil
	case unix.S_IRUSR | unix.S_IWUSR:
		return "read-write", nil
	}
	return "path", nil
}

func (l *lookup) fd(tid int, folder string, fd int32) string {
	l.path = append(l.path[:0], "/proc/"...)
	l.path = strconv.AppendInt(l.path, int64(tid), 10)
	l.path = append(l.path, '/')
	l.path = append(l.path, folder...)
	l.path = append(l.path, '/')
	l.path = strconv.AppendInt(l.path, int64(fd), 10)
	return string(l.path)
}

// kind returns what a number stands for, and its name, which is another by now if a
// thread has meanwhile put another file on the number. All that is asked about a socket or
// a file is asked of one object, by a descriptor of ours that does not open it (O_PATH):
// of a file of FUSE in the place of a socket an attribute would be asked, and no signal
// ends the wait for that answer. The error is that the number could not be asked: then
// the kind is a broad one.
func (l *lookup) kind(tid int, path, name string) (string, string, error) {
	if kind := kindByName(name); kind != "" {
		return kind, name, nil
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return kindUnasked(name), name, err
	}
	defer func() { _ = unix.Close(fd) }()
	path = "/proc/self/fd/" + strconv.Itoa(fd)
	n, err := unix.Readlink(path, l.link[:])
	if err != nil {
		return kindUnasked(name), name, err
	}
	name = string(l.link[:n])
	if kind := kindByName(name); kind != "" {
		return kind, name, nil
	}
	// Whoever serves a FUSE file must not hold up the trace.
	var st unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st) != nil {
		return kindUnasked(name), name, nil // as in each look at this file
	}
	if !strings.HasPrefix(name, "/") && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		kind := socketKind(tid, path, name)
		if l.sockets == nil || len(l.sockets) == maxSockets {
			l.sockets = map[string]string{}
		}
		l.sockets[name] = kind
		return kind, name, nil
	}
	return l.fileKind(name, &st), name, nil
}

// kindByName returns the kind that the kernel's name of a descriptor says: pipe:[4711],
// pidfd:[12], net:[4026531840], anon_inode:[eventfd]. It is empty for sockets and files,
// which have to be asked.
func kindByName(name string) string {
	switch {
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, "socket:["):
		return ""
	case strings.HasPrefix(name, "anon_inode:"):
		return strings.Trim(strings.TrimPrefix(name, "anon_inode:"), "[]")
	}
	kind, _, _ := strings.Cut(name, ":")
	return kind
}

// kindUnasked is the kind of a socket or a file that could not be asked.
func kindUnasked(name string) string {
	if strings.HasPrefix(name, "socket:[") {
		return "socket"
	}
	return "file"
}

func (l *lookup) fileKind(name string, st *unix.Statx_t) string {
	if strings.HasPrefix(name, "/memfd:") && l.isMemory(st) {
		return "memfd"
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

// isMemory reports whether a file with the name of a memfd is one: it is on the device of
// one of our own, which nobody can mount. Those of huge pages are on another device.
func (l *lookup) isMemory(st *unix.Statx_t) bool {
	const sizeShift = 26 // MFD_HUGE_SHIFT
	for _, flags := range []int{0, unix.MFD_HUGETLB | bits.TrailingZeros32(st.Blksize)<<sizeShift} {
		fd, err := unix.MemfdCreate("scm", unix.MFD_CLOEXEC|flags)
		if err != nil {
			continue
		}
		var own unix.Statx_t
		err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_TYPE, &own)
		_ = unix.Close(fd)
		if err == nil && own.Dev_major == st.Dev_major && own.Dev_minor == st.Dev_minor {
			return true
		}
	}
	return false
}

// socketKind asks without touching the socket, to which path must lead whatever the
// program does: for its protocol by name, and for the type of a Unix socket in the table
// of the program's own network.
func socketKind(tid int, path, name string) string {
	var proto [64]byte
	n, err := unix.Getxattr(path, "system.sockprotoname", proto[:])
	if err != nil {
		return "socket"
	}
	protocol := strings.ToLower(string(bytes.TrimRight(proto[:n], "\x00")))
	if protocol != "unix" && protocol != "unix-stream" {
		return protocol + " socket"
	}
	if kind := unixSocketType(tid, strings.TrimSuffix(strings.TrimPrefix(name, "socket:["), "]")); kind != "" {
		return "unix " + kind
	}
	return strings.ReplaceAll(protocol, "-", " ")
}

func unixSocketType(tid int, inode string) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/net/unix")
	if err != nil {
		return ""
	}
	kind := ""
	for line := range strings.Lines(string(text)) {
		// Num RefCount Protocol Flags Type St Inode Path
		f := strings.Fields(line)
		if len(f) < 7 || f[6] != inode {
			continue
		}
		name := map[string]string{"0001": "stream", "0002": "dgram", "0005": "seqpacket"}[f[4]]
		// A path may have newlines in it, and look like a line.
		if kind != "" && kind != name {
			return ""
		}
		kind = name
	}
	return kind
}

// readInfo sets Access, CloseOnExec and inode from the fdinfo file of the descriptor.
func (f *File) readInfo(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var text [256]byte
	n, err := unix.Read(fd, text[:])
	_ = unix.Close(fd)
	if err != nil {
		return err
	}
	value := func(name string) string {
		_, after, _ := bytes.Cut(text[:n], []byte("\n"+name+":"))
		line, _, _ := bytes.Cut(after, []byte("\n"))
		return string(bytes.TrimSpace(line))
	}
	flags, err := strconv.ParseUint(value("flags"), 8, 64)
	if err != nil {
		return unix.ENODATA
	}
	if f.Kind == "memfd" {
		f.inode = value("ino") // there is none before Linux 5.14
	}
	f.CloseOnExec = flags&unix.O_CLOEXEC != 0
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
