//go:build linux

package scm_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	. "github.com/scm-rights/scm/internal/spectest"
)

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
	DeferCleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }) // an interrupted spec would leave them stopped
	Eventually(func() string {
		text, _ := os.ReadFile(record)
		return string(text)
	}, Hang).Should(ContainSubstring(" --- stopped by SIGSTOP"), "the child never stopped: %s", s.out)
	// The tracer has one child.
	tracer := strconv.Itoa(cmd.Process.Pid)
	children, err := os.ReadFile("/proc/" + tracer + "/task/" + tracer + "/children")
	Expect(err).NotTo(HaveOccurred())
	s.pid, err = strconv.Atoi(strings.TrimSpace(string(children)))
	Expect(err).NotTo(HaveOccurred())
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
				info, err := os.Stat(victim)
				Expect(err).NotTo(HaveOccurred())
				Expect(info.Mode()).To(Equal(fs.FileMode(0o600)))
				Expect(os.Stat(path)).To(Satisfy(func(now fs.FileInfo) bool { return os.SameFile(now, info) }), "Listen must not remove the link")
			})
		}
	}

	for what, put := range map[string]func(victim, path string) error{
		"a regular file":                    os.Link,
		"a symbolic link to a regular file": os.Symlink,
		"a socket that belongs to another user": func(victim, path string) error {
			if os.Geteuid() != 0 {
				Skip("only root can make a socket that belongs to another user")
			}
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
			info, err := os.Stat(victim)
			Expect(err).NotTo(HaveOccurred())
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
}, everyNetwork)

var _ = DescribeTableSubtree("on", Label("attack"), func(network string) {
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
