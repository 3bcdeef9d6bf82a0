package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/internal/reexec"
	"golang.org/x/sys/unix"
)

// The test binary runs as scm, or as a program to trace, under these names.
const (
	scmChild = "scm"

	// The stub of scmOtherThread calls recorder.Main on a thread that is not its first.
	scmOtherThread = "scm with a stub that begins on another thread"
)

func init() {
	if reexec.Name() == scmOtherThread {
		_ = os.Setenv(reexec.Variable, scmChild) // for the stub, which executes itself again
		done := make(chan struct{})
		go func() { // inits are locked to the first thread
			recorder.Main()
			close(done)
		}()
		<-done
		_ = os.Setenv(reexec.Variable, scmOtherThread) // this process is scm and will start the stub
	} else {
		recorder.Main()
	}
	for _, name := range []string{scmChild, scmOtherThread} {
		reexec.Register(name, func(args []string) { os.Exit(run(args)) })
	}
	for name, run := range tracees {
		reexec.Register(name, func([]string) {
			if err := run(); err != nil {
				fmt.Fprintln(os.Stderr, "child:", err)
				os.Exit(99)
			}
		})
	}
	if tracees[reexec.Name()] != nil {
		runtime.LockOSThread() // scm diff reports calls on several threads
	}
}

var tracees = map[string]func() error{
	"pass":  func() error { return pass([]byte("hello"), scm.Send) },
	"flag":  func() error { return pass([]byte("hello"), sendWithFlag) },
	"plain": func() error { return nil },
	"threads": func() error {
		done := make(chan error)
		go func() { // on another thread: this one is locked
			done <- pass([]byte("hello"), scm.Send)
		}()
		return errors.Join(<-done, pass([]byte("hello"), scm.Send))
	},
	"clear":         func() error { return passUnset(0, 0) },
	"unset":         func() error { return passUnset(0x5a, 0) },
	"end of record": func() error { return passUnset(0, unix.MSG_EOR) },

	"leak one":           func() error { return receiveTwo(1, 0) },
	"leak two":           func() error { return receiveTwo(2, 0) },
	"leak two at a flag": func() error { return receiveTwo(2, unix.MSG_DONTWAIT) },
	"pass on": func() error {
		if err := receiveTwo(1, 0); err != nil {
			return err
		}
		return unix.Exec("/bin/true", []string{"true"}, nil)
	},
	"leak deleted": leakDeleted,
	"named":        passNamed,
	"timed":        timed,

	"room":    func() error { return sendAtOnce(false) },
	"no room": func() error { return sendAtOnce(true) },

	"a minute": func() error { return receiveWithin(time.Minute) },
	"an hour":  func() error { return receiveWithin(time.Hour) },

	"early": func() error { return receiveAtOnce(false) },
	"late":  func() error { return receiveAtOnce(true) },

	"without a witness": withoutWitness,
	"without ptrace":    withoutPtrace,

	"secret":      func() error { return passSecret(scm.Send) },
	"secret flag": func() error { return passSecret(sendWithFlag) },
	"echo": func() error {
		text, err := io.ReadAll(os.Stdin)
		return errors.Join(err, pass(text, scm.Send))
	},
	"handle": func() error {
		got := make(chan os.Signal, 1)
		signal.Notify(got, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1)
		fmt.Println("ready")
		fmt.Println(<-got)
		os.Exit(3)
		return nil
	},
	"wait": func() error {
		if len(os.Args) == 1 {
			cmd := reexec.Command("wait", "child")
			cmd.Stdout = os.Stdout
			if err := cmd.Start(); err != nil {
				return err
			}
		} else {
			fmt.Println("ready")
		}
		reexec.Forever()
		return nil
	},
	"lines": func() error {
		fmt.Println("ready")
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if err := pass(lines.Bytes(), scm.Send); err != nil {
				return err
			}
			fmt.Println("done")
		}
		return nil
	},
}

// pass sends the descriptor of standard input to itself, and receives it.
func pass(payload []byte, send func(sock int, m *scm.Message, flags int) error) error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := send(p[0], &scm.Message{Buffers: [][]byte{payload}, FDs: []int{0}}, 0); err != nil {
		return err
	}
	m := scm.Message{Buffers: [][]byte{make([]byte, 100)}, FDs: make([]int, 1)}
	err = scm.Recv(p[1], &m, 0)
	m.Close()
	return err
}

// passSecret passes a descriptor with a payload that a tracer cannot read.
func passSecret(send func(sock int, m *scm.Message, flags int) error) error {
	mem, err := secretMemory()
	if err != nil {
		return err
	}
	copy(mem, "hello")
	return pass(mem[:5], send)
}

// passUnset passes a descriptor with each of the four calls. Whatever the kernel ignores has the value unset. recvmmsg
// has a second header, for which there is no message. flags is the msg_flags of sendmmsg.
func passUnset(unset byte, flags int32) error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	control := unix.UnixRights(0)
	for i := unix.CmsgLen(4); i < len(control); i++ {
		control[i] = unset
	}
	iov := unix.Iovec{Base: new(byte)}
	iov.SetLen(1)
	for i, call := range []uintptr{unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG} {
		var m [2]mmsghdr
		for j, b := 0, unsafe.Slice((*byte)(unsafe.Pointer(&m)), unsafe.Sizeof(m)); j < len(b); j++ {
			b[j] = unset
		}
		for j := range m {
			h := &m[j].hdr
			h.Name, h.Iov, h.Control = nil, &iov, &control[0]
			h.SetIovlen(1)
			h.SetControllen(len(control))
			if call == unix.SYS_SENDMMSG {
				h.Flags = flags
			}
		}
		// The third argument is the number of messages in sendmmsg and recvmmsg, and the flags in the other two.
		third, fourth := []uintptr{0, 0, 1, 2}[i], []uintptr{0, 0, 0, unix.MSG_DONTWAIT}[i]
		if _, _, errno := unix.Syscall6(call, uintptr(p[i%2]), uintptr(unsafe.Pointer(&m)), third, fourth, 0, 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// leakDeleted receives the descriptor of a file, leaves it open, and deletes the file.
func leakDeleted() error {
	f, err := os.CreateTemp("", "scm")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, sent := scm.WriteFD(p[0], []byte{0}, int(f.Fd()))
	_, _, received := scm.ReadFD(p[1], []byte{0})
	return errors.Join(sent, received, f.Close())
}

// receiveTwo receives the descriptor of standard input and one for /dev/null, and leaves one or both of them
// open, without close-on-exec.
func receiveTwo(leaked, flags int) error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := scm.Send(p[0], &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{0, null}}, 0); err != nil {
		return err
	}
	if err := unix.Close(null); err != nil {
		return err
	}
	m := scm.Message{Buffers: [][]byte{{0}}, FDs: make([]int, 2)}
	if err := scm.Recv(p[1], &m, flags); err != nil {
		return err
	}
	for _, fd := range m.FDs {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	scm.CloseFDs(m.FDs[:2-leaked]...)
	return nil
}

// sendAtOnce sends without waiting, into a socket that may be full.
func sendAtOnce(full bool) error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	for full {
		_, err := unix.Write(p[0], make([]byte, 1<<16))
		full = err == nil
	}
	err = scm.Send(p[0], &scm.Message{Buffers: [][]byte{{1}}, FDs: []int{0}}, unix.MSG_DONTWAIT)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return err
	}
	return nil
}

// timed receives messages with a timestamp, sends its process ID by UDP, and receives with a timeout. The
// bytes of all three differ from run to run.
func timed() error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for _, option := range []int{unix.SO_TIMESTAMP_OLD, unix.SO_TIMESTAMPNS_OLD, unix.SO_TIMESTAMP_NEW, unix.SO_TIMESTAMPNS_NEW} {
		// No program listens on port 9, so the send may fail.
		_, _ = unix.SendmsgN(udp, []byte(strconv.Itoa(os.Getpid())), nil, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}, 0)
		if err := unix.SetsockoptInt(p[1], unix.SOL_SOCKET, option, 1); err != nil {
			return err
		}
		if _, err := unix.SendmsgN(p[0], []byte{0}, nil, nil, 0); err != nil {
			return err
		}
		control := make([]byte, 100)
		if _, n, _, _, err := unix.Recvmsg(p[1], make([]byte, 1), control, 0); err != nil || n == 0 {
			return fmt.Errorf("%d bytes of control data, %v", n, err)
		}
	}
	return receiveWithTimeout(p, 3, time.Minute)
}

// receiveWithTimeout receives bytes that it has sent itself, one per call. The kernel stores the remaining
// time in the timeout, and the next call uses that.
func receiveWithTimeout(p [2]int, calls int, limit time.Duration) error {
	iov := unix.Iovec{Base: new(byte)}
	iov.SetLen(1)
	message := mmsghdr{hdr: unix.Msghdr{Iov: &iov}}
	message.hdr.SetIovlen(1)
	timeout := unix.NsecToTimespec(int64(limit))
	for range calls {
		if _, err := unix.Write(p[0], []byte{0}); err != nil {
			return err
		}
		if _, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(p[1]), uintptr(unsafe.Pointer(&message)), 1, 0, uintptr(unsafe.Pointer(&timeout)), 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// receiveWithin receives with a timeout.
func receiveWithin(limit time.Duration) error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return receiveWithTimeout(p, 1, limit)
}

type mmsghdr struct {
	hdr unix.Msghdr
	_   uint32 // msg_len
}

// receiveAtOnce receives without waiting, with or without a byte to receive.
func receiveAtOnce(there bool) error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if there {
		if _, err := unix.Write(p[0], []byte{0}); err != nil {
			return err
		}
	}
	_, _, _, _, err = unix.Recvmsg(p[1], make([]byte, 1), nil, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return nil
	}
	return err
}

// secretMemory is a page of memory that a tracer cannot read.
func secretMemory() ([]byte, error) {
	fd, _, errno := unix.Syscall(447, unix.O_CLOEXEC, 0, 0) // memfd_secret
	if errno != 0 {
		return nil, os.NewSyscallError("memfd_secret", errno)
	}
	defer func() { _ = unix.Close(int(fd)) }()
	if err := unix.Ftruncate(int(fd), 4096); err != nil {
		return nil, err
	}
	return unix.Mmap(int(fd), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// passNamed makes two sockets with names chosen by the kernel, and sends from one to the other by name.
func passNamed() error {
	var socks [2]int
	var names [2]unix.Sockaddr
	for i := range socks {
		var err error
		if socks[i], err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err = unix.Bind(socks[i], &unix.SockaddrUnix{}); err != nil {
			return err
		}
		if names[i], err = unix.Getsockname(socks[i]); err != nil {
			return err
		}
	}
	name := names[1].(*unix.SockaddrUnix).Name
	if err := scm.Send(socks[0], &scm.Message{Buffers: [][]byte{{0}}, FDs: []int{0}, Addr: &net.UnixAddr{Name: name, Net: "unixgram"}}, 0); err != nil {
		return err
	}
	m := scm.Message{Buffers: [][]byte{make([]byte, 100)}, FDs: make([]int, 1), Addr: &net.UnixAddr{}}
	err := scm.Recv(socks[1], &m, 0)
	m.Close()
	return err
}

func sendWithFlag(sock int, m *scm.Message, _ int) error {
	return scm.Send(sock, m, unix.MSG_NOSIGNAL)
}

// scmCommand returns a command that runs scm without a terminal.
func scmCommand(args ...string) *exec.Cmd { return scmAs(scmChild, args...) }

// scmAs is scmCommand for one of the children that are scm.
func scmAs(child string, args ...string) *exec.Cmd {
	cmd := reexec.Command(child, args...)
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// tracee returns the command line of a program to trace.
func tracee(name string) []string { return reexec.CommandLine(name) }

// traceable skips a test if this process may not trace. With CI=true that is an error.
func traceable(t *testing.T) {
	t.Helper()
	_, err := recorder.Record(exec.Command("true"), recorder.Options{})
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v, and CI=true", err)
	}
	t.Skip(err)
}

func TestTraceExitStatus(t *testing.T) {
	traceable(t)
	folder := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		want string // on standard error
	}{
		{[]string{"--", "true"}, 0, ""},
		{[]string{"sh", "-c", "exit 7"}, 7, ""},
		{[]string{"sh", "-c", "exit 255"}, 255, ""},
		{[]string{"--no-filter", "sh", "-c", "exit 4"}, 4, ""},
		{[]string{"sh", "-c", "kill -TERM $$"}, 128 + 15, ""},
		{[]string{"sh", "-c", "kill -KILL $$"}, 128 + 9, ""},
		{[]string{"no-such-command"}, 127, "not found"},
		{[]string{folder + "/none"}, 127, "no such file"},
		{[]string{folder}, 126, "permission denied"},
		{[]string{"/"}, 126, "is a directory"},
		{nil, 2, "needs either"},
		{[]string{"-p", "1", "true"}, 2, "needs either"},
		{[]string{"--fly", "true"}, 2, "unknown flag"},
		{[]string{"-o", folder, "true"}, 4, "is a directory"},
		{[]string{"-p", "1073741824"}, 4, "no such process"},
		{append([]string{"-o", "/dev/full", "--"}, tracee("pass")...), 4, "the trace is incomplete"},
		{[]string{"-o", "/dev/full", "--", "sh", "-c", strings.Join(tracee("pass"), " ") + "; exit 5"}, 5, "the trace is incomplete"},
	} {
		r := finish(t, scmCommand(append([]string{"trace"}, c.args...)...))
		if r.code != c.code || !strings.Contains(r.stderr, c.want) || c.want == "" && r.stderr != "" {
			t.Errorf("%v: %+v, want %d, %s", c.args, r, c.code, c.want)
		}
	}
}

// Without ptrace or /proc, the message says why, and the status is not one that is about the command.
func TestCannotRecord(t *testing.T) {
	commands := [][]string{{"trace", "true"}, {"trace", "-p", strconv.Itoa(os.Getpid())}, {"diff", "true", "---", "true"}}
	check := func(t *testing.T, cmd *exec.Cmd, want string) {
		t.Helper()
		if r := finish(t, cmd); r.code != 4 || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%q: got %+v, want exit status 4 and %q", cmd.Args, r, want)
		}
	}
	t.Run("a security module denies ptrace", func(t *testing.T) {
		blocked := tracee("without ptrace")
		for _, args := range commands {
			check(t, exec.Command(blocked[0], slices.Concat(blocked[1:], []string{program(t, "scm")}, args)...), "permission denied: a security module (SELinux, AppArmor, ")
		}
	})
	t.Run("no /proc", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root may call chroot(2)")
		}
		root := t.TempDir()
		if err := os.Link(program(t, "scm"), filepath.Join(root, "scm")); err != nil {
			t.Fatal(err)
		}
		for _, args := range append(commands, []string{"interop", "run"}, []string{"interop", "list"}, []string{"interop", "smoke"}) {
			cmd := exec.Command("/scm", args...)
			cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Chroot: root}, "/"
			check(t, cmd, "/proc is not mounted: mount -t proc proc /proc")
		}
	})
	t.Run("/proc of another namespace", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can create a PID namespace without a user namespace")
		}
		for _, args := range append(commands, []string{"interop", "run"}) {
			cmd := exec.Command(program(t, "scm"), args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
			check(t, cmd, "/proc belongs to another PID namespace")
		}
	})
}

// As in a shell, a command is found in the current directory if PATH contains it.
func TestRelativePath(t *testing.T) {
	traceable(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "six"), []byte("#!/bin/sh\nexit 6\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"trace", "--", "six"}, 6, ""},
		{[]string{"diff", "--", "six", "---", "six"}, 4, "six: exit status 6"},
	} {
		cmd := scmCommand(c.args...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "PATH=.:"+os.Getenv("PATH"))
		if r := finish(t, cmd); r.code != c.code || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%v: %+v, want %d, %s", c.args, r, c.code, c.want)
		}
	}
}

func TestTraceLines(t *testing.T) {
	traceable(t)
	null := `<character device /dev/null, read>`
	socket := `<unix seqpacket socket:\[\d+\]>`
	want := regexp.MustCompile(`^\d+ sendmsg\(\d+` + socket + `, "hello", SCM_RIGHTS \[0` + null + `\], 0\) = 5\n` +
		`\d+ recvmsg\(\d+` + socket + `, "hello", SCM_RIGHTS \[\d+` + null + ` close-on-exec\], MSG_CMSG_CLOEXEC\) = 5 MSG_CMSG_CLOEXEC\n$`)
	if r := finish(t, scmCommand(append([]string{"trace", "--"}, tracee("pass")...)...)); r.code != 0 || !want.MatchString(r.stderr) {
		t.Errorf("%+v, want %v", r, want)
	}

	r := finish(t, scmCommand(append([]string{"trace", "--raw", "--"}, tracee("pass")...)...))
	if r.code != 0 || !strings.Contains(r.stderr, "\n    entry  68656c6c6f\n") {
		t.Errorf("with --raw: %+v", r)
	}
	file := filepath.Join(t.TempDir(), "trace")
	if r := finish(t, scmCommand(append([]string{"trace", "-o", file, "--"}, tracee("pass")...)...)); r != (result{}) {
		t.Errorf("%+v", r)
	}
	if text := contents(t, file); !want.MatchString(text) {
		t.Errorf("%s", text)
	}
}

// At its end, the trace lists the received descriptors that were still open, or that an exec passed on. The exit
// status stays that of the command.
func TestTraceOutcomes(t *testing.T) {
	traceable(t)
	// Both can be /dev/null, which is then open for reading and for writing.
	line := func(event, access string, descriptor int) string {
		return fmt.Sprintf(`\d+ %s \d+<character device /dev/null, %s>, descriptor %d of 2 from recvmsg\(\d+<unix seqpacket socket:\[\d+\]>\)\n`,
			event, access, descriptor)
	}
	exit := "exit: still open"
	for _, c := range []struct{ name, want string }{
		{"pass", ""},
		{"leak one", line(exit, "write", 2)},
		{"leak two", line(exit, "read", 1) + line(exit, "write", 2)},
		{"pass on", line(`exec \S+: passed on`, "write", 2) + line(exit, "write", 2)},
	} {
		r := finish(t, scmCommand(append([]string{"trace", "--"}, tracee(c.name)...)...))
		want := regexp.MustCompile(`^\d+ sendmsg\(.*\n\d+ recvmsg\(.*\n` + c.want + "$")
		if r.code != 0 || !want.MatchString(r.stderr) {
			t.Errorf("%s: %+v, want %v", c.name, r, want)
		}
	}

	for _, raw := range []bool{false, true} {
		args := append([]string{"trace", "--json", fmt.Sprintf("--raw=%v", raw), "--"}, tracee("leak one")...)
		r := finish(t, scmCommand(args...))
		lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
		var call struct {
			PID, TID int
			Socket   struct{ FD int }
			Messages []struct {
				Control []struct{ Files []struct{ FD int } }
			}
			Entry []struct{}
		}
		if len(lines) != 3 || json.Unmarshal([]byte(lines[1]), &call) != nil || len(call.Entry) > 0 != raw {
			t.Fatalf("%+v", r)
		}
		fd := call.Messages[0].Control[0].Files[1].FD
		want := fmt.Sprintf(`{"event":"exit","pid":%d,`+
			`"descriptor":{"fd":%d,"open":true,"kind":"character device","file":"/dev/null","access":"write","close_on_exec":false},`+
			`"received":{"pid":%d,"tid":%d,"call":"recvmsg","socket":{"fd":%d,"open":true,"kind":"unix seqpacket","file":"…"},"fd":%d,"index":2,"count":2}}`,
			call.PID, fd, call.PID, call.TID, call.Socket.FD, fd)
		if !like(lines[2], want) {
			t.Errorf("got %s\nwant %s", lines[2], want)
		}
	}
}

// The commands for a CI job in docs/testing-a-daemon.md fail if the client does, or if it leaks a descriptor. Only the
// stricter search finds a descriptor whose file was deleted.
func TestTraceInCI(t *testing.T) {
	traceable(t)
	page := contents(t, "../../docs/testing-a-daemon.md")
	lines := regexp.MustCompile(`    (scm trace -o .*\n)    (.*\n)`).FindStringSubmatch(page)
	searches := regexp.MustCompile(`grep '[^']*'`).FindAllString(page, -1)
	if lines == nil || len(searches) != 2 {
		t.Fatalf("the page has the lines %q and the searches %q", lines, searches)
	}
	quoted := func(words ...string) string { return "'" + strings.Join(words, "' '") + "'" }
	for _, c := range []struct {
		client       string
		code, strict int
	}{
		{quoted(tracee("pass")...), 0, 0},
		{quoted(tracee("leak one")...), 1, 1},
		{quoted(tracee("leak deleted")...), 0, 1},
		{quoted("sh", "-c", "exit 7"), 7, 7},
	} {
		script := "scm() { " + quoted(tracee(scmChild)...) + ` "$@"; }` + "\n" + strings.Replace(lines[1]+lines[2], "./myclient", c.client, 1)
		for search, code := range map[string]int{searches[0]: c.code, searches[1]: c.strict} {
			cmd := exec.Command("sh", "-c", strings.Replace(script, searches[0], search, 1))
			cmd.Dir = t.TempDir()
			if r := finish(t, cmd); r.code != code {
				t.Errorf("%s, %s: %+v, want %d", c.client, search, r, code)
			}
		}
	}
}

func TestTraceSignals(t *testing.T) {
	traceable(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1} {
		cmd := scmCommand(append([]string{"trace", "--"}, tracee("handle")...)...)
		lines := startReady(t, cmd)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if line, _ := lines.ReadString('\n'); line != sig.String()+"\n" {
			t.Errorf("%v: the command got %q", sig, line)
		}
		_ = cmd.Wait() // the exit status is looked at
		if code := cmd.ProcessState.ExitCode(); code != 3 {
			t.Errorf("%v: exit status %d, want 3", sig, code)
		}
	}
}

// When scm is killed, no process keeps running, so that their standard output ends.
func TestTraceKilled(t *testing.T) {
	traceable(t)
	for _, flags := range [][]string{{"trace", "--"}, {"trace", "--no-filter", "--"}} {
		cmd := scmCommand(append(flags, tracee("wait")...)...)
		lines := startReady(t, cmd)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
		_ = cmd.Wait() // it was killed
	}
}

// After the command has ended, a signal ends scm and the remaining processes.
func TestTraceLeftOver(t *testing.T) {
	traceable(t)
	cmd := scmCommand("trace", "--", "sh", "-c", strings.Join(tracee("wait"), " ")+" &")
	lines := startReady(t, cmd)
	ended := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, lines)
		ended <- err
	}()
	// The first ones may find the shell.
	for done := false; !done; {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			done = true
			if err != nil {
				t.Error(err)
			}
		default:
			time.Sleep(10 * time.Millisecond) // without a pause, the signals would keep interrupting the end of scm
		}
	}
	_ = cmd.Wait() // how it ended is looked at
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("scm ended with %v", cmd.ProcessState)
	}
}

// startReady starts a command, and waits until its first line is "ready". It returns what follows.
func startReady(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the command printed %q, %v", line, err)
	}
	return lines
}

// startLines starts a command that prints "ready" and then a line for each line that it reads.
func startLines(t *testing.T, target *exec.Cmd) (in io.WriteCloser, expect func(want string)) {
	t.Helper()
	in, err := target.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := startReady(t, target)
	expect = func(want string) {
		t.Helper()
		if line, err := lines.ReadString('\n'); line != want+"\n" {
			t.Fatalf("the target printed %q, %v", line, err)
		}
	}
	return in, expect
}

func TestTraceProcess(t *testing.T) {
	traceable(t)
	target := reexec.Command("lines")
	target.Env = append(target.Env, "GODEBUG=asyncpreemptoff=1")
	target.Stderr = os.Stderr
	in, expect := startLines(t, target)

	trace := scmCommand("trace", "-p", strconv.Itoa(target.Process.Pid))
	traced, err := trace.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := trace.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1000)
	go func() {
		defer close(seen)
		for text := bufio.NewScanner(traced); text.Scan(); {
			seen <- text.Text()
		}
	}()
	for n := 0; len(seen) == 0; n++ {
		if _, err := fmt.Fprintln(in, "line", n); err != nil {
			t.Fatal(err)
		}
		expect("done")
	}
	if err := trace.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	first := <-seen
	for line := range seen {
		if !strings.Contains(line, `msg(`) || strings.Contains(line, "still open") {
			t.Errorf("a trace that a signal ended lists %s", line)
		}
	}
	if err := trace.Wait(); err != nil || !strings.Contains(first, `msg(`) {
		t.Errorf("%s, %v", first, err)
	}
	if _, err := fmt.Fprintln(in, "after"); err != nil {
		t.Fatal(err)
	}
	expect("done")
	if err := errors.Join(in.Close(), target.Wait()); err != nil {
		t.Error(err)
	}
}

// A process that traces its own child can be traced. The child keeps its tracer, and is reported.
func TestTraceTracer(t *testing.T) {
	traceable(t)
	file := filepath.Join(t.TempDir(), "trace")
	target := scmCommand(append([]string{"trace", "-o", file, "--"}, tracee("lines")...)...)
	in, expect := startLines(t, target)
	trace := scmCommand("trace", "-p", strconv.Itoa(target.Process.Pid))
	told, err := trace.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := trace.Start(); err != nil {
		t.Fatal(err)
	}
	text := bufio.NewReader(told)
	if line, err := text.ReadString('\n'); !strings.Contains(line, "is not in the trace: ptrace: ") || !strings.Contains(line, "already traces it") {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := fmt.Fprintln(in, "during"); err != nil {
		t.Fatal(err)
	}
	expect("done")
	if err := trace.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(text); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	if err := errors.Join(trace.Wait(), in.Close(), target.Wait()); err != nil {
		t.Error(err)
	}
	if text := contents(t, file); strings.Count(text, "during") != 2 {
		t.Errorf("%s", text)
	}
}

// The name of a file, which the program can choose freely, is quoted so that it cannot be taken for
// other text.
func TestTraceNames(t *testing.T) {
	traceable(t)
	for _, c := range []struct{ name, want string }{
		{"plain", "/plain, read>"},
		{"a\x1b[2J\n1 sendmsg(3, \u202e", `/a\x1b[2J\n1 sendmsg(3, \u202e", read>`},
		{"a, read> close-on-exec], 0) = 1", `/a, read> close-on-exec], 0) = 1", read>`},
		{"##vso[task.complete]", `/#\x23vso[task.complete]", read>`},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := scmCommand(append([]string{"trace", "--"}, tracee("pass")...)...)
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		cmd.Stdin = in
		r := finish(t, cmd)
		if strings.Count(r.stderr, c.want) != 2 || strings.Count(r.stderr, "\n") != 2 || strings.Contains(r.stderr, "\x1b") {
			t.Errorf("got %q, want %q", r.stderr, c.want)
		}
	}
}
