package recorder

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fusetest"
)

// Whoever adds a file to an epoll holds it locked until that file's server answers.
func TestLockedEpoll(t *testing.T) {
	server := fusetest.Mount(t, fusetest.Options{})
	file, err := unix.Open(server.File, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	server.Hush(fusetest.Poll)
	added := make(chan error, 1)
	go func() { added <- fusetest.AddToEpoll(epoll, file) }()
	<-server.Waiting
	looked := make(chan File, 1)
	go func() { looked <- new(lookup).file(os.Getpid(), int32(epoll), true) }()
	select {
	case f := <-looked:
		if f.Kind != "eventpoll" || f.Access != "read-write" {
			t.Errorf("got %+v", f)
		}
	case <-time.After(10 * time.Second):
		t.Error("the look at an epoll waits for whoever has it locked")
	}
	server.Release()
	if err := <-added; err != nil {
		t.Error(err)
	}
	for _, fd := range []int{epoll, file} {
		_ = unix.Close(fd)
	}
}

// A socket's name that looks like lines of /proc/net/unix makes no other socket's type wrong.
func TestForgedSocketType(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(pair[0]))
	if err != nil {
		t.Fatal(err)
	}
	inode := strings.Trim(strings.TrimPrefix(name, "socket:"), "[]")
	t.Chdir(t.TempDir())
	forged := "x\n0: 00000003 00000000 00000000 0005 03 " + inode
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(sock, &unix.SockaddrUnix{Name: filepath.Base(forged)}); err != nil {
		t.Fatal(err)
	}
	if kind := unixSocketType(os.Getpid(), inode); kind != "stream" && kind != "" {
		t.Errorf("a stream socket is called %s", kind)
	}
	for _, fd := range append(pair[:], sock) {
		_ = unix.Close(fd)
	}
}

// A number that is a socket and a FUSE file by turns is never taken for a socket whose
// attribute the FUSE server is then asked for: nothing would end that wait.
func TestNumberThatChanges(t *testing.T) {
	server := fusetest.Mount(t, fusetest.Options{})
	file, err := unix.Open(server.File, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(sock), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	server.Hush(fusetest.Getxattr)
	looked, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(looked)
		for range 20000 {
			new(lookup).file(os.Getpid(), int32(fd), true) // one that knows no socket yet
		}
	}()
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = unix.Dup3([]int{file, sock}[n%2], fd, unix.O_CLOEXEC)
			}
		}
	}()
	select {
	case <-looked:
	case <-server.Waiting:
		t.Error("the look at a number waits for the server of a file that the number has meanwhile")
	}
	close(stop)
	<-stopped
	server.Release()
	<-looked
	for _, fd := range []int{fd, file, sock} {
		_ = unix.Close(fd)
	}
}

// A control buffer can name any number of descriptors. As many are looked up as a message
// can pass, the line says how many there are, and the rest is compared by number.
func TestMoreDescriptorsThanAMessage(t *testing.T) {
	const named, most = 1000, 253
	sent := func(last uint32) Call {
		numbers := make([]uint32, named)
		for i := range numbers {
			numbers[i] = 1e6 + uint32(i) // not open
		}
		numbers[named-1] = last
		half := named / 2 * 4
		control := numbered(numbers...)
		m := built{payload: []string{"x"}, control: append(cmsg(amd64, unix.SOL_SOCKET, unix.SCM_RIGHTS, control[:half], 0),
			cmsg(amd64, unix.SOL_SOCKET, unix.SCM_RIGHTS, control[half:], 0)...)}
		c := call(amd64, "sendmsg", 0, m, m, -1)
		c.Errno, c.Thread, c.Files = unix.EINVAL, os.Getpid(), nil
		c.lookUpEntry(new(lookup))
		return c
	}
	a, b := sent(7), sent(8)
	if len(a.Files) != 1+most {
		t.Errorf("%d descriptors were looked up, want the socket and %d", len(a.Files), most)
	}
	if text := a.Text(); !strings.Contains(text, "1000252<not open>, … of 500], SCM_RIGHTS [1000500, ") {
		t.Error(text)
	}
	if j := a.json().Messages[0].Control; len(j[0].Files) != most || len(j[1].Files) != 0 {
		t.Errorf("in JSON %d and %d files", len(j[0].Files), len(j[1].Files))
	}
	if d := Diff([]Call{a}, []Call{b}); d == nil || !strings.Contains(d.String(), "number 7, not looked up against number 8") {
		t.Errorf("numbers behind those that were looked up: %v", d)
	}
	if d := Diff([]Call{a}, []Call{sent(7)}); d != nil {
		t.Error(d)
	}
}

// The kernel adds the pidfd of SO_PASSPIDFD to as many descriptors as a message can pass.
func TestPidfdBesideTheMostDescriptors(t *testing.T) {
	const pidfd = 2e6 // not open
	numbers := make([]uint32, maxRights)
	for i := range numbers {
		numbers[i] = 1e6 + uint32(i)
	}
	m := built{payload: []string{"x"}, control: append(cmsg(amd64, unix.SOL_SOCKET, unix.SCM_RIGHTS, numbered(numbers...), 0),
		cmsg(amd64, unix.SOL_SOCKET, scmPIDFD, numbered(pidfd), 0)...)}
	c := call(amd64, "recvmsg", 0, m, m, 1)
	c.Thread, c.Files = os.Getpid(), nil
	c.lookUpEntry(new(lookup))
	c.lookUpExit(new(lookup))
	if text := c.Text(); !strings.Contains(text, "1000252<not open>], SCM_PIDFD 2000000<not open>,") {
		t.Error(text)
	}
	if j := c.json().Messages[0].Control; len(j[1].Files) != 1 {
		t.Errorf("in JSON the pidfd has %d files", len(j[1].Files))
	}
}

// Of a thread that has ended, or is being ended, nothing is looked up.
func TestDescriptorsOfTheDead(t *testing.T) {
	cmd := childCommand("none")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	// It has no descriptors any more (ENOENT), and is root's (EACCES).
	if f := new(lookup).file(pid, 0, true); f.Open() || f.Errno != unix.ENOENT && f.Errno != unix.EACCES {
		t.Errorf("before it is waited for: %+v", f)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if f := new(lookup).file(os.Getpid(), 1e6, true); f != (File{FD: 1e6}) {
		t.Errorf("not open: %+v", f)
	}
}

// A process that is not dumpable hides its descriptors from a tracer without
// CAP_SYS_PTRACE. They are not called closed, nor are they compared.
func TestHiddenDescriptors(t *testing.T) {
	needsPtrace(t)
	cmd := childCommand("hiding")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, want := range []string{
		`^sendmsg\(\d+<not looked up: EACCES>, msghdr unreadable, 0\) = 8 \(memory not read: `,
		`"socket":\{"fd":\d+,"open":null,"unread":"EACCES"\}`,
		`^false not compared: 1 descriptors that could not be looked up, the first of them of call 1 of process 1 \(sendmsg\): EACCES; \d+ bytes that could not be recorded, `,
	} {
		if i >= len(lines) || !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d of\n%s\nwant %s", i, out, want)
		}
	}
}
