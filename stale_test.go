//go:build linux

package scm_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// leaveStale leaves a stale socket file at path.
func leaveStale(network, path string) {
	GinkgoHelper()
	l := ok(listenAny(context.Background(), scm.Config{}, network, path))
	l.SetUnlinkOnClose(false)
	Expect(l.Close()).To(Succeed())
	Expect(path).To(BeAnExistingFile())
}

var _ = DescribeTableSubtree("on", func(network string) {
	ctx := context.Background()

	It("Listen returns ErrInUse while another socket has the name, and does not disturb that socket", func() {
		for _, addr := range []string{socketPath(), "@" + UniqueName(), longPath()} {
			accept := bound(scm.Config{}, network, addr)
			checkNoLeak()
			for _, other := range []string{"unix", "unixgram", "unixpacket"} {
				if addr[0] == '@' && other != network {
					continue // each socket type has abstract names of its own
				}
				err := Second(listenAny(ctx, scm.Config{}, other, addr))
				Expect(err).To(And(opFails("listen", scm.ErrInUse), MatchError(unix.EADDRINUSE)))
				if addr[0] != '@' {
					text := "listen " + other + " " + addr + ": a running process has this socket open"
					Expect(err).To(MatchError(text))
				}
			}
			// Listen did not connect to the socket: this is its first client.
			client := dial(network, addr)
			Expect(client.Write([]byte("first"))).To(Equal(5))
			receives(accept(), "first")
		}
	})

	It("Listen replaces a stale socket file of any type", func() {
		for _, path := range []string{socketPath(), longPath()} {
			for _, other := range []string{"unix", "unixgram", "unixpacket"} {
				step("a stale file of type ", other)
				leaveStale(other, path)
				l := mustListen(scm.Config{}, network, path)
				Expect(os.ReadDir(filepath.Dir(path))).To(HaveLen(1), "nothing else is left")
				Expect(dial(network, path).Write([]byte("x"))).To(Equal(1))
				Expect(l.Close()).To(Succeed())
			}
		}
	})

	It("Listen does not remove a file that is not a socket", func() {
		path := socketPath()
		dir := filepath.Dir(path)
		file, link, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
		Expect(os.WriteFile(file, []byte("precious"), 0o600)).To(Succeed())
		Expect(os.Symlink("nowhere", link)).To(Succeed())
		Expect(unix.Mkfifo(fifo, 0o600)).To(Succeed())
		checkNoLeak()
		for _, path := range []string{file, link, fifo, dir} {
			_, err := listenAny(ctx, scm.Config{}, network, path)
			Expect(err).To(opFails("listen", scm.ErrInUse))
			Expect(err.Error()).To(HaveSuffix(path + ": the file exists and is not a socket"))
		}
		Expect(os.ReadDir(dir)).To(HaveLen(3))
		Expect(os.ReadFile(file)).To(BeEquivalentTo("precious"))
	})

	It("Listen does not remove the file of a socket that is bound but not yet listening", func() {
		path := socketPath()
		fd := ok(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
		DeferCleanup(unix.Close, fd)
		Expect(unix.Bind(fd, &unix.SockaddrUnix{Name: path})).To(Succeed())
		Expect(Second(listenAny(ctx, scm.Config{}, network, path))).To(opFails("listen", scm.ErrInUse))
	})

	It("only one process at a time listens on a path when several replace a stale file", func() {
		path := socketPath()
		leaveStale(network, path)
		var waits []func()
		for range 4 {
			waits = append(waits, start(func() { RunChild(ChildCommand("listen-contends", network, path)) }))
		}
		for _, wait := range waits {
			wait()
		}
		Expect(os.ReadDir(filepath.Dir(path))).To(HaveLen(1))
	})

	It("Listen waits for a locked directory until the context is done, and for at most 200 ms", func() {
		path := socketPath()
		leaveStale(network, path)
		folder := ok(os.Open(filepath.Dir(path)))
		Expect(unix.Flock(FDOf(closeLater(folder)), unix.LOCK_EX)).To(Succeed())
		checkNoLeak()
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		err := Second(listenAny(short, scm.Config{}, network, path))
		Expect(err).To(And(opFails("listen", context.DeadlineExceeded), Not(MatchError(scm.ErrInUse))))

		start(func() {
			l := ok(listenAny(ctx, scm.Config{}, network, path))
			Expect(l.Close()).To(Succeed())
		})()
	})

	It("Listen on a stale path returns EMFILE, and not ErrInUse, if the descriptor table is full", func() {
		RunChild(ChildCommand("stale-nofile", network, socketPath()))
	})

	It("Close leaves the file of a socket that was sent, also if it is closed before the send returns", func() {
		for _, early := range []bool{false, true} {
			step("closed before the send returns: ", early)
			a, b := pair("unix")
			path := socketPath()
			l := mustListen(scm.Config{}, network, path)
			closes := func() { Expect(l.Close()).To(Succeed()) }
			if early {
				Expect(sendSocket(a, afterSending(l, closes))).To(Succeed())
			} else {
				Expect(sendSocket(a, l)).To(Succeed())
				closes()
			}
			Expect(path).To(BeAnExistingFile())
			_, files := both(b.ReadFiles(make([]byte, 1), 1))
			Expect(closeAllLater(files)).To(HaveLen(1))
			dial(network, path)
		}
	})

	It("Close removes the socket file after a send that failed, unless another send was successful", func() {
		for _, sent := range []bool{false, true} {
			step("sent before: ", sent)
			a, _ := pair("unix")
			failing, far := pair("unix")
			Expect(far.Close()).To(Succeed())
			path := socketPath()
			l := mustListen(scm.Config{}, network, path)
			Expect(sendSocket(failing, afterSending(l, func() {
				if sent {
					Expect(sendSocket(a, l)).To(Succeed())
				}
			}))).To(opFails("write", unix.EPIPE))
			Expect(l.Close()).To(Succeed())
			_, err := os.Lstat(path)
			Expect(err == nil).To(Equal(sent), "another send: %v", sent)
		}
	})

	It("Close removes the socket file before it ends waiting calls", func() {
		for round := range 20 {
			step("round ", round)
			path := socketPath()
			l := mustListen(scm.Config{}, network, path)
			method, waits := "AcceptConn", func() error { return Second(l.(*scm.Listener).AcceptConn()) }
			if c, ok := l.(*scm.Conn); ok {
				method, waits = "Recv", func() error { return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}}, 0) }
			}
			waiting := start(func() {
				Expect(waits()).To(MatchError(net.ErrClosed))
				Expect(path).NotTo(BeAnExistingFile())
			})
			waitsIn(method, 1)
			Expect(l.Close()).To(Succeed())
			waiting()
		}
	})

	It("Close closes the socket and returns an error if it cannot remove the socket file", func() {
		RunChild(withoutPrivileges(ChildCommand("close-unwritable", network)))
	})
}, everyNetwork)

// listen-contends listens 20 times on a stale path, and leaves a stale file each time. While it listens, a
// client that dials the path must reach it and no other process.
var _ = Child("listen-contends", func(args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), Hang)
	defer cancel()
	for won := 0; won < 20; {
		l, err := listenAny(ctx, scm.Config{}, args[0], args[1])
		if err != nil {
			Expect(err).To(MatchError(scm.ErrInUse))
			continue
		}
		won++
		client := ok(scm.Dial(ctx, args[0], args[1]))
		Expect(client.Write([]byte("mine"))).To(Equal(4))
		server, ok := l.(*scm.Conn)
		if !ok {
			Expect(l.(*scm.Listener).SetDeadline(time.Now().Add(Hang))).To(Succeed())
			server, err = l.(*scm.Listener).AcceptConn()
			Expect(err).NotTo(HaveOccurred(), "the path leads to another process")
		}
		Expect(server.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		Expect(server.Read(make([]byte, 8))).To(Equal(4), "the path leads to another process")
		l.SetUnlinkOnClose(false)
		Expect(errors.Join(client.Close(), l.Close())).To(Succeed())
		_ = server.Close()
	}
})

var _ = Child("stale-nofile", func(args []string) {
	leaveStale(args[0], args[1])
	refused := 0
	for ; refused < 10; refused++ {
		var l closer
		var err error
		fdtest.WithFree(refused, func() { l, err = listenAny(context.Background(), scm.Config{}, args[0], args[1]) })
		if err == nil {
			Expect(l.Close()).To(Succeed())
			break
		}
		Expect(err).To(And(opFails("listen", unix.EMFILE), Not(MatchError(scm.ErrInUse))), "%d free", refused)
	}
	Expect(refused).To(Equal(3), "one each for the directory, the file and a socket")
})

// sendSocket sends l over c: a listening or a datagram socket.
func sendSocket(c *scm.Conn, l closer) error {
	if dgram, ok := l.(net.Conn); ok {
		return c.SendConn(dgram)
	}
	return c.SendListener(l.(net.Listener))
}

// afterSending returns l with a SyscallConn that calls f after sendmsg(2), before SendConn or SendListener
// returns.
func afterSending(l closer, f func()) closer {
	GinkgoHelper()
	raw := hasRaw{callsAfter{ok(l.SyscallConn()), f}}
	switch l := l.(type) {
	case *scm.Conn:
		return sentConn{l, raw}
	case *scm.Listener:
		return struct {
			*scm.Listener
			hasRaw
		}{l, raw}
	}
	return sentListener{l.(*net.UnixListener), raw}
}

// sentConn and sentListener have a method of their own, because the two that they would embed are at the same depth.
type sentConn struct {
	*scm.Conn
	raw hasRaw
}

type sentListener struct {
	*net.UnixListener
	raw hasRaw
}

func (c sentConn) SyscallConn() (syscall.RawConn, error)     { return c.raw.SyscallConn() }
func (l sentListener) SyscallConn() (syscall.RawConn, error) { return l.raw.SyscallConn() }

type hasRaw struct{ raw syscall.RawConn }

func (r hasRaw) SyscallConn() (syscall.RawConn, error) { return r.raw, nil }

// callsAfter calls f when Control has returned.
type callsAfter struct {
	syscall.RawConn
	f func()
}

func (c callsAfter) Control(f func(fd uintptr)) error {
	defer c.f()
	return c.RawConn.Control(f)
}

// withoutPrivileges makes a child run as another user if this process runs as root. The child has a TMPDIR of its own,
// because only root may be able to write to the one of this process.
func withoutPrivileges(cmd *exec.Cmd) *exec.Cmd {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	Expect(os.Chmod(dir, 0o777)).To(Succeed())
	cmd.Env = append(cmd.Environ(), "TMPDIR="+dir)
	if os.Geteuid() == 0 {
		if err := ReadableByOthers(); err != nil {
			Skip("another user may not run the test binary: " + err.Error())
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	}
	return cmd
}

var _ = Child("close-unwritable", func(args []string) {
	dir := ok(os.MkdirTemp("", "scm"))
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "s")
	l := ok(listenAny(context.Background(), scm.Config{}, args[0], path))
	Expect(os.Chmod(dir, 0o500)).To(Succeed())
	Expect(l.Close()).To(opFails("close", unix.EACCES))
	Expect(l.Close()).To(opFails("close", net.ErrClosed))
	Expect(path).To(BeAnExistingFile())
	Expect(os.Chmod(dir, 0o700)).To(Succeed())
})

// These specs attack paths in the way that a user with write permission for a directory on the path could.

// stopped is a child process that is stopped after a system call.
type stopped struct {
	tracer *exec.Cmd
	pid    int
	out    *strings.Builder
}

// stopsAfter runs a child until one of its threads has made its first system call of that name, and
// stops the child there. options are passed to strace.
func stopsAfter(call string, cmd *exec.Cmd, options ...string) *stopped {
	GinkgoHelper()
	CannotEmulate(fdtest.Traced)
	record := filepath.Join(GinkgoT().TempDir(), "record")
	options = append(options, "-f", "-o", record, "-e", "trace="+call, "-e", "inject="+call+":signal=SIGSTOP:when=1")
	ChildUnder(cmd, FindStrace(), options...)
	s := &stopped{tracer: cmd, out: &strings.Builder{}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	Expect(cmd.Start()).To(Succeed())
	// an interrupted spec would leave them stopped
	DeferCleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	Eventually(func() string {
		text, _ := os.ReadFile(record)
		return string(text)
	}, Hang).Should(ContainSubstring(" --- stopped by SIGSTOP"), "the child never stopped: %s", s.out)
	// The tracer has one child.
	tracer := strconv.Itoa(cmd.Process.Pid)
	children := ok(os.ReadFile("/proc/" + tracer + "/task/" + tracer + "/children"))
	s.pid = ok(strconv.Atoi(strings.TrimSpace(string(children))))
	return s
}

// goesOn resumes the child until it ends, also if another of its threads stops it again, and returns its
// output.
func (s *stopped) goesOn() string {
	GinkgoHelper()
	ended := make(chan error, 1)
	go func() { ended <- s.tracer.Wait() }()
	Eventually(func() chan error {
		_ = unix.Kill(s.pid, unix.SIGCONT)
		return ended
	}, Hang).Should(Receive(BeNil()), "%s", s.out)
	return s.out.String()
}

// listen-once listens with a mode, closes the socket, and prints the mode of the socket file or the error.
var _ = Child("listen-once", listenOnce)

func listenOnce(args []string) {
	unix.Umask(octal(args[3]))
	l, err := listenAny(context.Background(), scm.Config{Mode: fs.FileMode(octal(args[2]))}, args[0], args[1])
	switch {
	case err == nil:
		info, missing := os.Lstat(args[1])
		if missing == nil {
			_, _ = os.Stdout.WriteString(info.Mode().String())
		}
		Expect(l.Close()).To(Succeed())
	case errors.Is(err, scm.ErrInUse):
		_, _ = os.Stdout.WriteString("in use")
	default:
		_, _ = os.Stdout.WriteString(err.Error())
	}
}

var _ = DescribeTableSubtree("on", Label("attack"), func(network string) {
	for at, want := range map[string]string{"bind": "another process replaced the new socket file", "/fstatat": "operation not permitted"} {
		for kind, link := range map[string]func(victim, path string) error{"symbolic": os.Symlink, "hard": os.Link} {
			It("Listen does not change the mode of a file if a "+kind+" link to it replaces the socket file after "+strings.TrimPrefix(at, "/"), func() {
				path := socketPath()
				victim := filepath.Join(filepath.Dir(path), "victim")
				Expect(os.WriteFile(victim, []byte("secret"), 0o600)).To(Succeed())
				var only []string
				if at != "bind" { // whose address strace does not treat as a path
					only = []string{"-P", path}
				}
				s := stopsAfter(at, ChildCommand("listen-once", network, path, "666", "22"), only...)
				Expect(os.Rename(path, path+"-away")).To(Succeed())
				Expect(link(victim, path)).To(Succeed())
				Expect(s.goesOn()).To(ContainSubstring(want))
				info := ok(os.Stat(victim))
				Expect(info.Mode()).To(Equal(fs.FileMode(0o600)))
				Expect(os.Stat(path)).To(Satisfy(func(now fs.FileInfo) bool { return os.SameFile(now, info) }), "Listen must not remove the link")
			})
		}
	}

	for what, put := range map[string]func(victim, path string) error{
		"a regular file":                    os.Link,
		"a symbolic link to a regular file": os.Symlink,
		"a socket that belongs to another user": func(victim, path string) error {
			fdtest.NeedRoot(GinkgoTB(), "make a socket that belongs to another user")
			if err := os.Remove(victim); err != nil {
				return err
			}
			if err := unix.Mknod(victim, unix.S_IFSOCK|0o600, 0); err != nil {
				return err
			}
			return errors.Join(os.Link(victim, path), os.Chown(path, 12345, 12345))
		},
	} {
		It("Listen does not change the mode of "+what+" if a link in the directory part of the path is replaced after bind", func() {
			dir := filepath.Dir(socketPath())
			link, before, after := filepath.Join(dir, "link"), filepath.Join(dir, "before"), filepath.Join(dir, "after")
			Expect(errors.Join(os.Mkdir(before, 0o700), os.Mkdir(after, 0o700), os.Symlink(before, link))).To(Succeed())
			victim := filepath.Join(dir, "victim")
			Expect(os.WriteFile(victim, []byte("secret"), 0o600)).To(Succeed())
			Expect(put(victim, filepath.Join(after, "s"))).To(Succeed())

			s := stopsAfter("bind", ChildCommand("listen-once", network, filepath.Join(link, "s"), "666", "22"))
			Expect(errors.Join(os.Remove(link), os.Symlink(after, link))).To(Succeed())
			Expect(s.goesOn()).To(Or(ContainSubstring("another process replaced the new socket file"), ContainSubstring("operation not permitted")))
			info := ok(os.Stat(victim))
			Expect(info.Mode().Perm()).To(Equal(fs.FileMode(0o600)))
		})
	}

	It("Listen does not remove a socket that has replaced the stale one", func() {
		path := socketPath()
		leaveStale(network, path)
		s := stopsAfter("connect", ChildCommand("listen-once", network, path, "0", "22"))
		Expect(os.Remove(path)).To(Succeed())
		live := bound(scm.Config{}, network, path)
		Expect(s.goesOn()).To(Equal("in use"))
		client := dial(network, path)
		Expect(client.Write([]byte("x"))).To(Equal(1))
		receives(live(), "x")
		Expect(os.ReadDir(filepath.Dir(path))).To(HaveLen(1), "nothing else is left")
	})

	It("Listen and Close resolve .. after a symbolic link as the kernel does", func() {
		path := socketPath()
		dir := filepath.Dir(path)
		Expect(os.MkdirAll(filepath.Join(dir, "far", "away"), 0o700)).To(Succeed())
		Expect(os.Symlink("far/away", filepath.Join(dir, "link"))).To(Succeed())
		// With the path cleaned as a string, this would be the socket file.
		Expect(os.WriteFile(path, []byte("precious"), 0o600)).To(Succeed())
		l := mustListen(scm.Config{}, network, dir+"/link/../s")
		Expect(os.ReadDir(filepath.Join(dir, "far"))).To(HaveLen(2))
		Expect(l.Close()).To(Succeed())
		Expect(os.ReadDir(filepath.Join(dir, "far"))).To(HaveLen(1))
		Expect(os.ReadFile(path)).To(BeEquivalentTo("precious"))
	})

	It("Listen does not remove a stale socket file on a file system that another machine may have mounted", func() {
		server := fusetest.Mount(GinkgoTB(), fusetest.Options{Socket: true})
		_, err := listenAny(context.Background(), scm.Config{}, network, server.File)
		Expect(server.Asked()).NotTo(ContainElement(BeEquivalentTo(fusetest.Unlink)))
		Expect(err).To(MatchError(scm.ErrInUse))
		Expect(err).To(MatchError(ContainSubstring("cannot determine on this file system whether the socket is in use")))
	})
}, everyNetwork)

var _ = DescribeTableSubtree("in a root directory without /proc, on", func(network string) {
	// listensIn returns the mode of the socket file that a child gets there, or its error.
	listensIn := func(arranged, path string) string {
		GinkgoHelper()
		dir := filepath.Dir(socketPath())
		cmd := ChildCommand("listen-chrooted", arranged, dir, network, path, "666", "77")
		if os.Geteuid() != 0 {
			cmd.SysProcAttr = inUserNamespace()
		}
		out := RunChild(cmd)
		Expect(os.ReadDir(dir)).To(BeEmpty())
		return out
	}

	It("Listen sets Config.Mode, from Linux 6.6 on", func() {
		CannotEmulate("the emulator has no fchmodat2")
		if err := unix.Fchmodat(-1, "", 0, unix.AT_EMPTY_PATH); err != unix.EBADF {
			Skip("this kernel does not have fchmodat2, new in Linux 6.6: " + err.Error())
		}
		Expect(listensIn("", "/s")).To(Equal("Srw-rw-rw-"))
	})

	It("Listen removes the socket file, and its error names /proc, if the kernel does not have fchmodat2", func() {
		CannotEmulate("the emulator has no seccomp filters")
		Expect(listensIn("without fchmodat2", "/s")).To(Equal("listen " + network + " /s: chmod requires /proc, or fchmodat2 (Linux 6.6): operation not supported"))
	})

	It("the error of a path that is too long for sun_path names /proc", func() {
		path := strings.Repeat("/.", 60) + "/s"
		Expect(listensIn("", path)).To(Equal("listen " + network + " " + path + ": an address that is too long for sun_path requires /proc: bind: no such file or directory"))
	})
}, everyNetwork)

// listen-chrooted changes the root directory, and then does what listen-once does.
var _ = Child("listen-chrooted", func(args []string) {
	if args[0] != "" {
		runtime.LockOSThread()
		Expect(deny(unix.SYS_FCHMODAT2, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS))).To(Succeed())
	}
	Expect(unix.Chroot(args[1])).To(Succeed())
	Expect(os.Chdir("/")).To(Succeed())
	listenOnce(args[2:])
})

var _ = It("Listen and AcceptConn leave no file or descriptor behind, and name the sysctl if the epoll watches are used up", func() {
	CannotEmulate("the emulator has no seccomp filters")
	RunChild(ChildCommand("fails-late", socketPath()))
})

var _ = Child("fails-late", func(args []string) {
	l := ok(scm.Listen(context.Background(), "unix", args[0]))
	clients := []*scm.Conn{ok(scm.Dial(context.Background(), "unix", args[0])), ok(scm.Dial(context.Background(), "unix", args[0]))}
	before := fdtest.Take()
	runtime.LockOSThread()
	Expect(deny(unix.SYS_GETSOCKOPT, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOBUFS))).To(Succeed())
	Expect(Second(l.AcceptConn())).To(opFails("accept", unix.ENOBUFS))
	Expect(deny(unix.SYS_EPOLL_CTL, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSPC))).To(Succeed())
	named := MatchError(HaveSuffix(" (sysctl fs.epoll.max_user_watches)"))
	Expect(Second(l.AcceptConn())).To(And(opFails("accept", unix.ENOSPC), named))
	Expect(Second(scm.Listen(context.Background(), "unix", args[0]+"2"))).To(And(opFails("listen", unix.ENOSPC), named))
	Expect(args[0] + "2").NotTo(BeAnExistingFile())
	Expect(before.NewSince()).To(BeEmpty())
	runtime.KeepAlive(clients)
})

// deny takes the action of seccomp(2) for a system call of this thread.
func deny(call, action uint32) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: action},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}
