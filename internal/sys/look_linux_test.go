package sys_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/internal/sys"
)

// look describes in words what Look, HasPoll and Pollable report. It leaves out what depends on the kernel: the status
// flags of the architecture, and the access mode of an eventfd and a pidfd.
func look(fd int) (string, sys.File, error) {
	f, err := sys.Look(fd)
	words := []string{f.Kind}
	if f.Kind != "eventfd" && f.Kind != "pidfd" {
		words = append(words, f.Access)
	}
	if f.Family != 0 {
		words = append(words, sys.FamilyName(f.Family), sys.TypeName(f.Type), sys.ProtocolName(f.Family, f.Protocol))
	}
	if f.Kind == "memfd" {
		words = append(words, fmt.Sprintf("%#x", f.Seals))
	}
	words = append(words, sys.FlagNames(f.Flags&(unix.O_APPEND|unix.O_NONBLOCK)))
	switch {
	case !sys.HasPoll(fd):
		words = append(words, "without poll")
	case !sys.Pollable(fd):
		words = append(words, "kept out of the poller")
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " "), f, err
}

// A child runs the same test in an empty root, without /proc. There Look cannot find out the kind of a file for which
// it needs the name.
func TestLook(t *testing.T) {
	opened := func(fd int, err error) int {
		t.Helper()
		if err != nil {
			t.Fatal("open a file of the table:", err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	optional := func(fd int, err error) int { // -1 if this machine lacks the file
		if err != nil {
			return -1
		}
		return opened(fd, nil)
	}
	dir := t.TempDir()
	at := opened(unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0))
	open := func(name string, flags int) (int, error) {
		return unix.Openat(at, name, flags|unix.O_CLOEXEC, 0o600)
	}
	reopen := func(fd, flags int) int { return opened(open("/proc/self/fd/"+strconv.Itoa(fd), flags)) }
	socket := func(family, typ, protocol int) (int, error) {
		return unix.Socket(family, typ|unix.SOCK_CLOEXEC, protocol)
	}
	memfd := func(flags, seals int) (int, error) {
		fd, err := unix.MemfdCreate("sample", unix.MFD_CLOEXEC|flags)
		if err == nil && seals != 0 {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		}
		return fd, err
	}
	const sealing = unix.MFD_ALLOW_SEALING
	var pipe [2]int
	deep, deepName := at, strings.Repeat("d", 250)
	err := errors.Join(
		unix.Pipe2(pipe[:], unix.O_CLOEXEC),
		unix.Symlinkat("file", at, "link"),
		unix.Mknodat(at, "fifo", unix.S_IFIFO|0o600, 0),
		unix.Mknodat(at, "socket", unix.S_IFSOCK|0o600, 0))
	for range 20 {
		err = errors.Join(err, unix.Mkdirat(deep, deepName, 0o700))
		deep = opened(unix.Openat(deep, deepName, unix.O_PATH|unix.O_CLOEXEC, 0))
	}
	if err != nil {
		t.Fatal("make the files of the table:", err)
	}
	_ = unix.Mknodat(at, "block", unix.S_IFBLK|0o600, 0) // fails without privileges

	tests := []struct {
		name string
		fd   int
		want string
	}{
		{"a regular file", opened(open("file", unix.O_CREAT|unix.O_RDWR)), "regular read-write without poll"},
		{"a regular file opened for appending", opened(open("file", unix.O_WRONLY|unix.O_APPEND)), "regular write-only O_APPEND without poll"},
		{"a regular file opened with O_PATH", opened(open("file", unix.O_PATH)), "regular path without poll"},
		{"a regular file with the name of a memfd", opened(open("memfd:x", unix.O_CREAT|unix.O_RDWR)), "regular read-write without poll"},
		{"a regular file on tmpfs", optional(open("/dev/shm", unix.O_RDWR|unix.O_TMPFILE)), "regular read-write without poll"},
		{"a regular file whose path is too long for readlink", opened(unix.Openat(deep, "file", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)), "regular read-write without poll"},
		{"a directory", opened(open(".", unix.O_RDONLY|unix.O_NONBLOCK)), "directory read-only O_NONBLOCK without poll"},
		{"a symbolic link", opened(open("link", unix.O_PATH|unix.O_NOFOLLOW)), "symlink path without poll"},
		{"the read end of a pipe", opened(pipe[0], nil), "pipe read-only"},
		{"the write end of a pipe", opened(pipe[1], nil), "pipe write-only"},
		{"a pipe opened with O_PATH", reopen(pipe[0], unix.O_PATH), "pipe path without poll"},
		{"a FIFO", opened(open("fifo", unix.O_RDWR|unix.O_NONBLOCK)), "pipe read-write O_NONBLOCK"},
		{"a Unix stream socket", opened(socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)), "socket read-write Unix stream O_NONBLOCK"},
		{"a Unix datagram socket", opened(socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)), "socket read-write Unix datagram"},
		{"a Unix seqpacket socket", opened(socket(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)), "socket read-write Unix seqpacket"},
		{"a TCP socket", optional(socket(unix.AF_INET, unix.SOCK_STREAM, 0)), "socket read-write IPv4 stream tcp"},
		{"a UDP socket", optional(socket(unix.AF_INET, unix.SOCK_DGRAM, 0)), "socket read-write IPv4 datagram udp"},
		{"a TCP socket over IPv6", optional(socket(unix.AF_INET6, unix.SOCK_STREAM, 0)), "socket read-write IPv6 stream tcp"},
		{"a Multipath TCP socket", optional(socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)), "socket read-write IPv4 stream mptcp"},
		{"a netlink socket", optional(socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)), "socket read-write netlink raw"},
		{"a packet socket", optional(socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)), "socket read-write packet datagram"},
		{"a vsock socket", optional(socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)), "socket read-write vsock stream kept out of the poller"},
		{"a socket opened with O_PATH", opened(open("socket", unix.O_PATH)), "socket path without poll"},
		{"a memfd", opened(memfd(sealing, 0)), "memfd read-write 0x0 without poll"},
		{"a memfd opened for reading", reopen(opened(memfd(sealing, 0)), unix.O_RDONLY), "memfd read-only 0x0 without poll"},
		{"a memfd with seals", opened(memfd(sealing, unix.F_SEAL_SHRINK|unix.F_SEAL_WRITE)), "memfd read-write 0xa without poll"},
		{"a memfd opened with O_PATH", reopen(opened(memfd(sealing, 0)), unix.O_PATH), "regular path without poll"},
		{"a memfd that cannot be sealed", opened(memfd(0, 0)), "memfd read-write 0x1 without poll"},
		{"a memfd with exactly the seal of a file on tmpfs", opened(memfd(sealing, unix.F_SEAL_SEAL)), "memfd read-write 0x1 without poll"},
		{"a memfd of huge pages", optional(memfd(unix.MFD_HUGETLB, 0)), "memfd read-write 0x1 without poll"},
		{"an eventfd", opened(unix.Eventfd(0, unix.EFD_CLOEXEC)), "eventfd"},
		{"a pidfd", opened(unix.PidfdOpen(os.Getpid(), 0)), "pidfd"},
		{"a timerfd", opened(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)), "timerfd read-write"},
		{"an epoll descriptor", opened(unix.EpollCreate1(unix.EPOLL_CLOEXEC)), "eventpoll read-write kept out of the poller"},
		{"an inotify descriptor", opened(unix.InotifyInit1(unix.IN_CLOEXEC)), "inotify read-only"},
		{"a signalfd", opened(unix.Signalfd(-1, &unix.Sigset_t{}, unix.SFD_CLOEXEC)), "signalfd read-write"},
		{"a terminal", optional(open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY)), "character device read-write"},
		{"an input device", optional(open("/dev/input/event0", unix.O_RDONLY)), "character device read-only"},
		{"a TUN device without an interface", optional(open("/dev/net/tun", unix.O_RDWR)), "character device read-write kept out of the poller"},
		{"/dev/random", opened(open("/dev/random", unix.O_RDONLY)), "character device read-only kept out of the poller"},
		{"/dev/null", opened(open("/dev/null", unix.O_RDWR|unix.O_NONBLOCK)), "character device read-write O_NONBLOCK without poll"},
		{"a block device opened with O_PATH", optional(open("block", unix.O_PATH)), "block device path without poll"},
	}

	inEmptyRoot := reexec.Name() == t.Name()
	if inEmptyRoot {
		if err := errors.Join(unix.Mkdirat(at, "empty", 0o700), unix.Chroot(dir+"/empty"), unix.Chdir("/")); err != nil {
			t.Fatal("enter an empty root:", err)
		}
	}
	for _, test := range tests {
		if test.fd < 0 {
			t.Log("this machine lacks", test.name)
			continue
		}
		kind, _, _ := strings.Cut(test.want, " ")
		nameless := slices.Contains([]string{"directory", "symlink", "pipe", "socket", "character", "block", "memfd"}, kind)
		switch got, f, err := look(test.fd); {
		case err != nil:
			t.Errorf("%s: Look fails: %v", test.name, err)
		case inEmptyRoot && !nameless:
			if !errors.Is(f.Unknown, unix.ENOENT) || !f.MayBe("regular") || f.MayBe("memfd") || f.MayBe("pipe") {
				t.Errorf("%s: got %q, %v; want an unknown kind that may be regular, and ENOENT", test.name, f.Kind, f.Unknown)
			}
		case got != test.want || f.Unknown != nil:
			t.Errorf("%s: got %q, %v, want %q", test.name, got, f.Unknown, test.want)
		}
	}
	if inEmptyRoot {
		return
	}

	cmd := reexec.TestCommand(t)
	cmd.Env = append(cmd.Env, "TMPDIR="+dir) // which the child cannot remove
	if os.Geteuid() != 0 {
		if cmd.SysProcAttr, err = reexec.InUserNamespace(); err != nil {
			fdtest.NeedRoot(t, "change its root: "+err.Error())
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in an empty root: %v\n%s", err, out)
	}
}

// typeless is the kind if st_mode has no type. A pidfd can have either form.
func TestAnonymousKind(t *testing.T) {
	for _, test := range []struct{ name, kind, typeless string }{
		{"anon_inode:[pidfd]", "pidfd", "pidfd"},
		{"pidfd:[1234]", "pidfd", "pidfd"},
		{"anon_inode:inotify", "inotify", "inotify"},
		{"net:[4026531833]", "net", "net"},
		{"anon_inode:[perf event", "perf event", "perf event"},
		{"", "", ""},
		{"/dmabuf:", "", "dmabuf"},
		{"/dmabuf:a/b[c]", "", "dmabuf"},
		{"/future[4711]", "", "future"},
		{"/", "", ""},
		{"/memfd:x (deleted)", "", "memfd"},
		{"/dir/anon_inode:[x]", "", "dir/anon_inode"},
		{"/anon_inode:[eventfd]", "", "anon_inode"},
		{"/pidfd:[1234]", "", "pidfd"},
	} {
		if got := [2]string{sys.AnonymousKind(test.name, false), sys.AnonymousKind(test.name, true)}; got != [2]string{test.kind, test.typeless} {
			t.Errorf("%q: got %q, want %q", test.name, got, [2]string{test.kind, test.typeless})
		}
	}
}
