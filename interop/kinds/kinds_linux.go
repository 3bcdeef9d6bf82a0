package kinds

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A maker creates a file of one kind. It returns the runner's descriptors for the file and for its other
// end, which is -1 if the file has none. dir is a directory for files that need a temporary name.
type maker func(dir string) (own, other int, err error)

// singleEnded returns a maker for a file without another end.
func singleEnded(make func(dir string) (int, error)) maker {
	return func(dir string) (int, int, error) {
		fd, err := make(dir)
		return fd, -1, err
	}
}

// byPath returns a maker that opens a path.
func byPath(path string, flags int) maker {
	return singleEnded(func(string) (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0) })
}

// regular returns a maker that opens a new regular file whose name is already removed.
func regular(flags int) maker {
	return singleEnded(func(dir string) (int, error) { return unlinkedFile(dir, flags) })
}

func socketMaker(family, kind int, more func(fd int) error) maker {
	return singleEnded(func(string) (int, error) {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		return orClose(fd, err, more)
	})
}

// orClose calls more with the descriptor, and closes the descriptor if that fails.
func orClose(fd int, err error, more func(fd int) error) (int, error) {
	if err != nil {
		return -1, err
	}
	if err := more(fd); err != nil {
		_ = unix.Close(fd) // the caller gets the other error
		return -1, err
	}
	return fd, nil
}

var loopback = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}

func listenLoopback(fd int) error {
	if err := bindLoopback(fd); err != nil {
		return err
	}
	return unix.Listen(fd, 8)
}

// bindLoopback binds an Internet socket and checks that it can be reached. If no network interface is up,
// bind(2) succeeds but connect(2) fails. To detect this, bindLoopback connects a UDP socket, which sends
// nothing.
func bindLoopback(fd int) error {
	if err := unix.Bind(fd, loopback); err != nil {
		return err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	probe, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(probe)
	if err := unix.Connect(probe, name); err != nil {
		return fmt.Errorf("127.0.0.1 cannot be reached: %w", err)
	}
	return nil
}

var makers = map[string]maker{
	"file":   regular(unix.O_RDWR),
	"rdonly": regular(unix.O_RDONLY),
	"append": regular(unix.O_RDWR | unix.O_APPEND),
	"tmpfile": singleEnded(func(dir string) (int, error) {
		return unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	}),
	"dir":       byPath("/", unix.O_DIRECTORY),
	"opath":     byPath("/", unix.O_PATH),
	"null":      byPath("/dev/null", unix.O_RDWR),
	"zero":      byPath("/dev/zero", unix.O_RDWR),
	"proc":      byPath("/proc/self/status", unix.O_RDONLY),
	"namespace": byPath("/proc/self/ns/uts", unix.O_RDONLY),
	"kvm":       byPath("/dev/kvm", unix.O_RDWR),
	"fuse":      byPath("/dev/fuse", unix.O_RDWR),
	"fifo":      singleEnded(newFIFO),

	"pipe-r": func(string) (int, int, error) { return pipe() },
	"pipe-w": func(string) (int, int, error) {
		r, w, err := pipe()
		return w, r, err
	},

	"memfd": singleEnded(func(string) (int, error) { return unix.MemfdCreate("scm-interop", unix.MFD_CLOEXEC) }),
	"memfd-sealable": singleEnded(func(string) (int, error) {
		return unix.MemfdCreate("scm-interop", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}),
	"memfd-rdonly": singleEnded(func(string) (int, error) {
		fd, err := unix.MemfdCreate("scm-interop", unix.MFD_CLOEXEC)
		if err != nil {
			return -1, err
		}
		defer unix.Close(fd)
		return unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}),
	"memfd-secret": singleEnded(func(string) (int, error) { return raw.MemfdSecret() }),
	"dmabuf":       singleEnded(func(string) (int, error) { return raw.DMABuf() }),
	"mqueue": singleEnded(func(string) (int, error) {
		return raw.MessageQueue(fmt.Sprintf("scm-interop-%d-%d", os.Getpid(), queues.Add(1)))
	}),

	"eventfd": singleEnded(func(string) (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) }),
	"eventfd-semaphore": singleEnded(func(string) (int, error) {
		return unix.Eventfd(3, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK|unix.EFD_SEMAPHORE)
	}),
	"timerfd": singleEnded(func(string) (int, error) {
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
		return orClose(fd, err, func(fd int) error {
			return unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Value: unix.Timespec{Nsec: 1}}, nil)
		})
	}),
	"signalfd":    singleEnded(func(string) (int, error) { return unix.Signalfd(-1, &unix.Sigset_t{}, unix.SFD_CLOEXEC) }),
	"inotify":     singleEnded(func(string) (int, error) { return unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK) }),
	"fanotify":    singleEnded(func(string) (int, error) { return unix.FanotifyInit(unix.FAN_CLOEXEC, unix.O_RDONLY) }),
	"userfaultfd": singleEnded(func(string) (int, error) { return raw.UserFaultFD() }),
	"epoll":       singleEnded(func(string) (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) }),
	"pidfd":       singleEnded(func(string) (int, error) { return unix.PidfdOpen(os.Getpid(), 0) }),
	"mount": singleEnded(func(string) (int, error) {
		return unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	}),
	"landlock": singleEnded(func(string) (int, error) { return raw.Landlock() }),
	"bpf":      singleEnded(func(string) (int, error) { return raw.BPFMap() }),
	"perf": singleEnded(func(string) (int, error) {
		return unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_TASK_CLOCK, Bits: unix.PerfBitExcludeKernel | unix.PerfBitDisabled},
			0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	}),
	"io-uring": singleEnded(func(string) (int, error) { return raw.IOURing() }),

	"pty-master": byPath("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY),
	"pty-slave":  newPTY,

	"pair": func(string) (int, int, error) {
		two, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return two[0], two[1], err
	},
	"tcp":          func(string) (int, int, error) { return tcpPair() },
	"tcp-listener": socketMaker(unix.AF_INET, unix.SOCK_STREAM, listenLoopback),
	"udp":          socketMaker(unix.AF_INET, unix.SOCK_DGRAM, bindLoopback),
	"netlink":      socketMaker(unix.AF_NETLINK, unix.SOCK_RAW, func(int) error { return nil }),
	"packet":       socketMaker(unix.AF_PACKET, unix.SOCK_RAW, func(int) error { return nil }),
	"unix-dgram":   socketMaker(unix.AF_UNIX, unix.SOCK_DGRAM, func(int) error { return nil }),
	"unix-listener": socketMaker(unix.AF_UNIX, unix.SOCK_STREAM, func(fd int) error {
		if err := unix.Bind(fd, &unix.SockaddrUnix{}); err != nil { // the kernel chooses the name
			return err
		}
		return unix.Listen(fd, 8)
	}),
}

// queues counts the message queues, to give each a unique name.
var queues atomic.Int64

func pipe() (r, w int, err error) {
	var two [2]int
	err = unix.Pipe2(two[:], unix.O_CLOEXEC)
	return two[0], two[1], err
}

// newFIFO returns a named pipe, open for reading and writing, whose name is already removed.
func newFIFO(dir string) (int, error) {
	name, err := spareName(dir)
	if err != nil {
		return -1, err
	}
	if err := unix.Mkfifo(name, 0o600); err != nil {
		return -1, err
	}
	defer unix.Unlink(name)
	return unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
}

// newPTY returns the slave of a new terminal. The other end is the master.
func newPTY(string) (own, other int, err error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	other, err = orClose(master, nil, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
		if err != nil {
			return err
		}
		own, err = unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		return err
	})
	return own, other, err
}

func tcpPair() (own, other int, err error) {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	l, err = orClose(l, err, listenLoopback)
	if err != nil {
		return -1, -1, err
	}
	defer unix.Close(l)
	name, err := unix.Getsockname(l)
	if err != nil {
		return -1, -1, err
	}
	own, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	own, err = orClose(own, err, func(fd int) error {
		if err := unix.Connect(fd, name); err != nil {
			return err
		}
		other, _, err = unix.Accept4(l, unix.SOCK_CLOEXEC)
		return err
	})
	return own, other, err
}

// tryOption sets an option of a new socket, and returns an error if the kernel lacks the option.
func tryOption(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := raw.SetOption(fd, name, 1); err != nil {
		return err
	}
	// gVisor accepts unknown options but does not return their values. No kernel returns that of SO_INQ.
	if value, err := raw.GetOption(fd, name); name != "inq" && (err != nil || value != 1) {
		return errors.New("setsockopt accepts it, but it has no value")
	}
	return nil
}

// lacking holds, for each kind, the reason why this system cannot make it, or "".
var lacking sync.Map

// ErrTaken means that this user's processes already hold the maximum number of inotify instances.
var ErrTaken = errors.New("the user already has the maximum number: see /proc/sys/fs/inotify/max_user_instances")

// Exhausted reports whether err means that a resource is temporarily exhausted, rather than that the
// system lacks a feature.
func Exhausted(err error) bool {
	return slices.ContainsFunc([]unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EROFS},
		func(errno unix.Errno) bool { return errors.Is(err, errno) })
}

// rootCapabilities lists the capabilities that scenarios with "needs root" use, and those that
// the runner needs to inspect the descriptors of another user's process.
var rootCapabilities = []struct {
	name string
	bit  int
}{
	{"CAP_CHOWN", unix.CAP_CHOWN}, {"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE}, {"CAP_FOWNER", unix.CAP_FOWNER},
	{"CAP_KILL", unix.CAP_KILL}, {"CAP_SETGID", unix.CAP_SETGID}, {"CAP_SETUID", unix.CAP_SETUID},
	{"CAP_NET_RAW", unix.CAP_NET_RAW}, {"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE}, {"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN},
}

// LacksRoot returns the reason why a scenario that needs root cannot run, or "". In a container, user 0
// may be root only in its own user namespace, or may lack capabilities. In both cases the kernel rejects
// calls that the scenario expects to succeed.
func LacksRoot() string {
	if os.Geteuid() != 0 {
		return "it needs root"
	}
	users, err := os.ReadFile("/proc/self/uid_map") // a kernel without user namespaces has none
	if err == nil && !slices.Equal(strings.Fields(string(users)), []string{"0", "0", "4294967295"}) {
		return "it needs root of the initial user namespace"
	}
	var have [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &have[0]); err != nil {
		return fmt.Sprintf("it needs root, and capget fails: %v", err)
	}
	var missing []string
	for _, c := range rootCapabilities {
		if have[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return "it needs root with " + strings.Join(missing, ", ")
	}
	return ""
}

// Lacks returns a description of what this system lacks to run the scenario, other than root, or "". To check this, it
// creates the scenario's files in dir. It returns an error if a resource is temporarily exhausted.
func Lacks(s *scenario.Scenario, dir string) (why string, err error) {
	for _, need := range s.Needs {
		if need == "root" {
			continue
		}
		err := tryOption(need)
		if Exhausted(err) {
			return "", err
		}
		if err != nil {
			return fmt.Sprintf("this kernel has no socket option %s: %v", need, err), nil
		}
	}
	for _, f := range s.Files {
		if _, isEnd := f.EndOf(); isEnd {
			continue
		}
		why, known := lacking.Load(f.Kind)
		if !known {
			why = ""
			made, err := New(f, dir)
			made.Close()
			if Exhausted(err) {
				return "", err
			}
			if err != nil {
				why = lacks(f.Kind, err)
			}
			lacking.Store(f.Kind, why)
		}
		if why != "" {
			return why.(string), nil
		}
	}
	return "", nil
}

// lacks returns the reason why New cannot create a file of a kind.
func lacks(kind string, err error) string {
	what := "this system has no "
	if errors.Is(err, os.ErrPermission) {
		what = "this user may not create a "
	}
	return what + kind + ": " + errors.Unwrap(err).Error()
}

// fileSize is the length of a regular file. Its byte i is i mod 251.
const fileSize = 4096

// New creates a file of a case. If the file needs a temporary name, New creates it in dir.
func New(spec scenario.FileSpec, dir string) (f *witness.File, err error) {
	f = &witness.File{FileSpec: spec, Own: -1, Other: -1}
	own, other, err := makers[spec.Kind](dir)
	if err == nil {
		f.Own, f.Other = own, other
		f.FileID, err = procfs.Identify(os.Getpid(), f.Own)
	}
	if spec.Kind == "inotify" && errors.Is(err, unix.EMFILE) {
		err = ErrTaken
	}
	if err != nil {
		f.Close()
		err = fmt.Errorf("file %s=%s: %w", spec.Name, spec.Kind, err)
	}
	return f, err
}

// unlinkedFile returns a regular file without a name. The kernel deletes it even if the runner is killed.
func unlinkedFile(dir string, flags int) (int, error) {
	t, err := os.CreateTemp(dir, "scm-interop-*")
	if err != nil {
		return -1, err
	}
	defer os.Remove(t.Name())
	defer t.Close()
	content := make([]byte, fileSize)
	for i := range content {
		content[i] = byte(i % 251)
	}
	if _, err := t.WriteAt(content, 0); err != nil {
		return -1, err
	}
	return unix.Open(t.Name(), flags|unix.O_CLOEXEC, 0)
}

// spareName returns an unused name in a folder.
func spareName(dir string) (string, error) {
	f, err := os.CreateTemp(dir, "scm-interop-*")
	if err != nil {
		return "", err
	}
	defer f.Close()
	return f.Name(), os.Remove(f.Name())
}

// Substitute makes New return err for the given kind. The parameter first is the number of calls for that
// kind that still succeed before New returns err. The function restore undoes the substitution.
// Substitute is for tests.
func Substitute(kind string, first int, err error) (restore func()) {
	old := makers[kind]
	lacking.Delete(kind)
	makers[kind] = func(dir string) (int, int, error) {
		if first--; first >= 0 {
			return old(dir)
		}
		return -1, -1, err
	}
	return func() {
		lacking.Delete(kind)
		makers[kind] = old
	}
}
