package reference

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// calls maps the name of each call in kernel.CallUsages to the function that makes it. To implement
// a new call, add it here.
var calls = map[string]call{
	"sendmsg":  sendmsg,
	"recvmsg":  recvmsg,
	"sendmmsg": sendmmsg,
	"recvmmsg": recvmmsg,
	"read":     read,
	"write":    write,
	"splice":   splice,
	"sendfile": sendfile,

	"socket":     opened(newSocket),
	"socketpair": newPair,
	"bind":       done(func(a *args) error { return raw.Bind(a.sock(), a.sockaddr()) }),
	"listen":     done(func(a *args) error { return unix.Listen(a.sock(), a.integer("backlog", 8)) }),
	"connect":    done(connect),
	"accept":     accept,
	"sockname":   func(a *args) (string, error) { return formatSockaddr(unix.Getsockname(a.sock())) },
	"peername":   func(a *args) (string, error) { return formatSockaddr(unix.Getpeername(a.sock())) },
	"shutdown":   done(func(a *args) error { return unix.Shutdown(a.sock(), raw.Shutdowns.Sum(a.text("how", ""))) }),
	"setsockopt": done(setsockopt),
	"getsockopt": func(a *args) (string, error) { return value(raw.GetOption(a.sock(), a.text("option", ""))) },
	"peercred":   peercred,
	"peerpidfd":  opened(func(a *args) (int, error) { return unix.GetsockoptInt(a.sock(), unix.SOL_SOCKET, unix.SO_PEERPIDFD) }),
	"queued":     queued,

	"dup":       opened(func(a *args) (int, error) { return unix.FcntlInt(uintptr(a.fd()), unix.F_DUPFD_CLOEXEC, 0) }),
	"poll":      poll,
	"epoll":     done(epoll),
	"epollwait": epollwait,
	"fcntl":     fcntl,
	"seal":      seal,
	"lock":      done(lock),
	"lseek":     lseek,
	"truncate":  done(func(a *args) error { return unix.Ftruncate(a.fd(), int64(a.integer("size", 0))) }),
	"stat":      stat,
	"mmap":      done(mmap),
	"pidof":     func(a *args) (string, error) { pid, err := pidOf(a.fd()); return "pid=" + pid, err },
	"signal":    done(sendSignal),
	"setns":     done(setns),
	"inherited": inherited,

	"open":   opened(open),
	"link":   done(link),
	"unlink": done(func(a *args) error { return unix.Unlink(a.path()) }),
	"mkdir":  done(func(a *args) error { return unix.Mkdir(a.path(), uint32(a.integer("mode", 0o700))) }),
	"rename": done(func(a *args) error { return unix.Rename(a.path(), a.text("to", "")) }),
	"chmod":  done(func(a *args) error { return unix.Chmod(a.path(), uint32(a.integer("mode", 0))) }),
	"chown":  done(func(a *args) error { return unix.Chown(a.path(), a.integer("uid", -1), a.integer("uid", -1)) }),
	"chdir":  done(func(a *args) error { return unix.Chdir(a.path()) }),
	"setuid": done(setuid),
}

func (a *args) path() string { return a.text("path", "") }

func value(n int, err error) (string, error) { return fmt.Sprintf("value=%d", n), err }

// timeout returns the timeout of poll and epoll_wait: none with wait=yes, else 0.
func (a *args) timeout() int {
	if a.text("wait", "no") == "yes" {
		return -1
	}
	return 0
}

var pollBits = kernel.BitsOf("poll events", map[string]int{
	"in":    unix.POLLIN,
	"out":   unix.POLLOUT,
	"pri":   unix.POLLPRI,
	"err":   unix.POLLERR,
	"hup":   unix.POLLHUP,
	"rdhup": unix.POLLRDHUP,
	"nval":  unix.POLLNVAL,
})

// poll polls fd=, or the socket of the case if it is left out.
func poll(a *args) (string, error) {
	fds := []unix.PollFd{{Fd: int32(a.integer("fd", a.Sock())), Events: int16(a.bits("events", pollBits))}}
	_, err := again(func() (int, error) { return unix.Poll(fds, a.timeout()) })
	return "events=" + pollBits.Names(int(fds[0].Revents)), err
}

// again repeats a system call for as long as signals interrupt it.
func again(do func() (int, error)) (n int, err error) {
	for {
		if n, err = do(); err != unix.EINTR {
			return n, err
		}
	}
}

// epoll adds the second of fds= to the first, an epoll, edge-triggered with how=edge, or removes it
// with how=remove.
func epoll(a *args) error {
	ep, fd := a.two()
	op, events := unix.EPOLL_CTL_ADD, uint32(unix.EPOLLIN)
	switch a.text("how", "level") {
	case "edge":
		events |= unix.EPOLLET
	case "remove":
		op = unix.EPOLL_CTL_DEL
	}
	return unix.EpollCtl(ep, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func epollwait(a *args) (string, error) {
	n, err := again(func() (int, error) { return unix.EpollWait(a.fd(), make([]unix.EpollEvent, 8), a.timeout()) })
	return fmt.Sprintf("n=%d", n), err
}

var (
	flagBits = kernel.BitsOf("fcntl flags", map[string]int{
		"append":   unix.O_APPEND,
		"nonblock": unix.O_NONBLOCK,
		"wronly":   unix.O_WRONLY,
		"rdwr":     unix.O_RDWR,
		"path":     unix.O_PATH,
		"cloexec":  unix.O_CLOEXEC,
	})
	fcntlGets = map[string]int{"fl": unix.F_GETFL, "fd": unix.F_GETFD, "pipe_sz": unix.F_GETPIPE_SZ, "owner": unix.F_GETOWN}
	fcntlSets = map[string]int{"fl": unix.F_SETFL, "fd": unix.F_SETFD, "pipe_sz": unix.F_SETPIPE_SZ}
)

// fcntl returns the value that get= names, or sets the value that set= names. The name fl selects
// the status flags, and fd selects the close-on-exec flag.
func fcntl(a *args) (string, error) {
	fd := uintptr(a.fd())
	if a.has("set") {
		set := contract.Get(a.Command, "set", kernel.Setting{})
		arg := set.Size
		switch {
		case set.What == "fl":
			arg = flagBits.Sum(set.Flags...)
		case len(set.Flags) > 0:
			arg = unix.FD_CLOEXEC
		}
		_, err := unix.FcntlInt(fd, fcntlSets[set.What], arg)
		return "", err
	}
	what := a.text("get", "")
	n, err := unix.FcntlInt(fd, fcntlGets[what], 0)
	switch {
	case what == "fl":
		return "value=" + flagBits.Names(n), err
	case what == "fd" && n&unix.FD_CLOEXEC != 0:
		return "value=cloexec", err
	case what == "fd":
		return "value=-", err
	}
	return value(n, err)
}

var sealBits = kernel.BitsOf("seal seals", map[string]int{
	"seal":   unix.F_SEAL_SEAL,
	"shrink": unix.F_SEAL_SHRINK,
	"grow":   unix.F_SEAL_GROW,
	"write":  unix.F_SEAL_WRITE,
})

// seal adds seals=, if any, and returns all seals of the file.
func seal(a *args) (string, error) {
	fd := uintptr(a.fd())
	if add := a.bits("seals", sealBits); add != 0 {
		if _, err := unix.FcntlInt(fd, unix.F_ADD_SEALS, add); err != nil {
			return "", err
		}
	}
	seals, err := unix.FcntlInt(fd, unix.F_GET_SEALS, 0)
	return "seals=" + sealBits.Names(seals), err
}

var (
	flockBits = kernel.BitsOf("lock how", map[string]int{
		"shared":    unix.LOCK_SH,
		"exclusive": unix.LOCK_EX,
		"none":      unix.LOCK_UN,
	})
	fcntlLock = kernel.BitsOf("lock how", map[string]int{
		"shared":    unix.F_RDLCK,
		"exclusive": unix.F_WRLCK,
		"none":      unix.F_UNLCK,
	})
)

// lock acquires or releases a lock of one of three kinds, without waiting.
func lock(a *args) error {
	how, cmd := a.text("how", ""), unix.F_SETLK
	switch a.text("kind", "flock") {
	case "flock":
		return unix.Flock(a.fd(), flockBits.Sum(how)|unix.LOCK_NB)
	case "ofd":
		cmd = unix.F_OFD_SETLK
	}
	return unix.FcntlFlock(uintptr(a.fd()), cmd, &unix.Flock_t{Type: int16(fcntlLock.Sum(how))})
}

// lseek sets the offset to offset=, or returns the current one if it is left out.
func lseek(a *args) (string, error) {
	whence := unix.SEEK_SET
	if !a.has("offset") {
		whence = unix.SEEK_CUR
	}
	n, err := unix.Seek(a.fd(), int64(a.integer("offset", 0)), whence)
	return fmt.Sprintf("value=%d", n), err
}

var kinds = kernel.BitsOf("stat kind", map[string]int{
	"file":   unix.S_IFREG,
	"dir":    unix.S_IFDIR,
	"fifo":   unix.S_IFIFO,
	"socket": unix.S_IFSOCK,
	"char":   unix.S_IFCHR,
	"block":  unix.S_IFBLK,
	"link":   unix.S_IFLNK,
})

func stat(a *args) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(a.fd(), &st); err != nil {
		return "", err
	}
	kind := kinds.Name(int(st.Mode & unix.S_IFMT))
	if kind == "" {
		kind = "anonymous"
	}
	return fmt.Sprintf("kind=%s mode=0%03o size=%d links=%d uid=%d", kind, st.Mode&0o7777, st.Size, st.Nlink, st.Uid), nil
}

var protBits = kernel.BitsOf("mmap prot", map[string]int{
	"read":  unix.PROT_READ,
	"write": unix.PROT_WRITE,
})

// mmap maps a page, shared, and unmaps it.
func mmap(a *args) error {
	mem, err := unix.Mmap(a.fd(), 0, unix.Getpagesize(), a.bits("prot", protBits), unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return unix.Munmap(mem)
}

var pidLine = regexp.MustCompile(`(?m)^Pid:\s*(\S+)$`)

// pidOf returns the process of a pidfd, or -1 if it has been reaped.
func pidOf(fd int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return "", err
	}
	if m := pidLine.FindSubmatch(text); m != nil {
		return string(m[1]), nil
	}
	return "", unix.EINVAL
}

// sendSignal sends a signal to the process of a pidfd, unless that is the runner, the parent of this
// process.
func sendSignal(a *args) error {
	if pid, err := pidOf(a.fd()); err == nil && pid == fmt.Sprint(os.Getppid()) {
		return errors.New("this pidfd refers to the runner, which a scenario may not send a signal")
	}
	return unix.PidfdSendSignal(a.fd(), unix.SignalNum(a.text("signal", "")), nil, 0)
}

// InheritedArgument, followed by a descriptor and the device and inode of its file, makes a program that calls
// MainInherited report whether it has inherited the file.
const InheritedArgument = "scm-interop-inherited"

// inherited reports whether a program that this process starts inherits a descriptor. It starts the program of
// this process, because a machine may have no other.
func inherited(a *args) (string, error) {
	file, err := fileOf(a.fd())
	if err != nil {
		return "", err
	}
	open, err := exec.Command("/proc/self/exe", append([]string{InheritedArgument, strconv.Itoa(a.fd())}, file...)...).Output()
	return "open=" + string(open), err
}

// MainInherited prints yes or no, and exits. The arguments are those after InheritedArgument.
func MainInherited(args []string) {
	open, err := isOpen(args[0], args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(open)
	os.Exit(0)
}

// isOpen returns yes if the descriptor refers to the file, else no. It compares the file, because a program
// that has not inherited the descriptor may have opened another file, such as the runtime's epoll.
func isOpen(descriptor string, file []string) (string, error) {
	fd, err := strconv.Atoi(descriptor)
	if err != nil {
		return "", err
	}
	found, err := fileOf(fd)
	if err == unix.EBADF || err == nil && !slices.Equal(found, file) {
		return "no", nil
	}
	return "yes", err
}

// fileOf returns the device and the inode of a descriptor's file.
func fileOf(fd int) ([]string, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return []string{fmt.Sprint(st.Dev), fmt.Sprint(st.Ino)}, err
}

var openBits = kernel.BitsOf("open flags", map[string]int{
	"rdonly":    unix.O_RDONLY,
	"wronly":    unix.O_WRONLY,
	"rdwr":      unix.O_RDWR,
	"create":    unix.O_CREAT,
	"append":    unix.O_APPEND,
	"trunc":     unix.O_TRUNC,
	"nonblock":  unix.O_NONBLOCK,
	"path":      unix.O_PATH,
	"directory": unix.O_DIRECTORY,
	"tmpfile":   unix.O_TMPFILE,
})

// open opens path=, relative to dir= if it is given.
func open(a *args) (int, error) {
	flags := a.bits("flags", openBits) | unix.O_CLOEXEC
	return unix.Openat(a.integer("dir", unix.AT_FDCWD), a.path(), flags, uint32(a.integer("mode", 0o600)))
}

// link gives a name to a file without one.
func link(a *args) error {
	file := fmt.Sprintf("/proc/self/fd/%d", a.fd())
	return unix.Linkat(unix.AT_FDCWD, file, unix.AT_FDCWD, a.path(), unix.AT_SYMLINK_FOLLOW)
}

// setns enters a namespace of any kind, in which the process is already. The call also fails for
// root if CAP_SYS_ADMIN is missing, or if a filter or a security module denies it.
func setns(a *args) error {
	err := unix.Setns(a.fd(), 0)
	if err == unix.EPERM && unix.Geteuid() == 0 {
		return peer.ErrUnsupported
	}
	return err
}

// minProcessUID is the lowest user ID that userOfProcess returns. No system assigns such IDs.
const minProcessUID = 1 << 28

// userOfProcess derives a user ID from a process. The user ID combines the PID, which has 22 bits,
// with as much of the PID namespace's inode number as fits into a positive int32. The PID alone
// would not be unique, because all PID namespaces share the same user IDs.
func userOfProcess(pid int) int {
	var namespace unix.Stat_t
	_ = unix.Stat("/proc/self/ns/pid", &namespace) // a kernel without PID namespaces has one
	return minProcessUID + int(namespace.Ino%((1<<31-minProcessUID)>>22))<<22 + pid
}

// setuid changes the user of all threads of the process permanently, and drops all groups. With
// pid=, it changes to the user ID that userOfProcess derives from that process. The kernel counts
// in-flight descriptors per user. A process with its own user ID is therefore counted separately
// from all others.
func setuid(a *args) error {
	uid := a.integer("uid", -1)
	if a.has("pid") {
		uid = userOfProcess(a.integer("pid", 0))
	}
	if err := unix.Setgroups(nil); err != nil {
		return err
	}
	if err := unix.Setresgid(uid, uid, uid); err != nil {
		return err
	}
	if err := unix.Setresuid(uid, uid, uid); err != nil {
		return err
	}
	// Changing the user can clear the dumpable flag. Without this flag, the process could not read
	// its own files in /proc.
	return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
}
