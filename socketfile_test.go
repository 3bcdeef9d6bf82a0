//go:build linux

package scm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// Attacks on paths, by who may write to the folder of a socket file.

// stopped is a child that stands still behind a system call.
type stopped struct {
	tracer *exec.Cmd
	pid    int
	out    *strings.Builder
}

// stopsAfter runs a child until a thread of it has made its first system call of that name, and
// stops it there. The options are strace's.
func stopsAfter(call string, cmd *exec.Cmd, options ...string) *stopped {
	GinkgoHelper()
	CannotEmulate(fdtest.Traced)
	record := filepath.Join(GinkgoT().TempDir(), "record")
	program, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	cmd.Path = FindStrace()
	options = append(options, "-f", "-o", record, "-e", "trace="+call, "-e", "inject="+call+":signal=SIGSTOP:when=1", program)
	cmd.Args = slices.Concat([]string{cmd.Path}, options, cmd.Args[1:])
	s := &stopped{tracer: cmd, out: &strings.Builder{}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }) // a spec that was cut off would leave them stopped
	Eventually(func() string {
		text, _ := os.ReadFile(record)
		return string(text)
	}, Hang).Should(ContainSubstring(" --- stopped by SIGSTOP"), "the child never stopped: %s", s.out)
	// The tracer is the parent of one process.
	tracer := strconv.Itoa(cmd.Process.Pid)
	children, err := os.ReadFile("/proc/" + tracer + "/task/" + tracer + "/children")
	Expect(err).NotTo(HaveOccurred())
	s.pid, err = strconv.Atoi(strings.TrimSpace(string(children)))
	Expect(err).NotTo(HaveOccurred())
	return s
}

// goesOn lets it go on, also from where another thread stops it, and returns what it wrote.
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

// listen-once listens with a mode, closes, and writes what came of it.
var _ = Child("listen-once", func(args []string) {
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
})

var _ = Child("stale-unreadable", func(args []string) {
	dir, err := os.MkdirTemp("", "scm")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(dir) }()
	Expect(os.Chmod(dir, 0o300)).To(Succeed())
	_, err = os.ReadDir(dir)
	Expect(err).To(MatchError(fs.ErrPermission))
	path := filepath.Join(dir, "s")
	leaveStale(args[0], path)
	l, err := listenAny(context.Background(), scm.Config{}, args[0], path)
	Expect(err).NotTo(HaveOccurred())
	Expect(l.Close()).To(Succeed())
	Expect(os.Chmod(dir, 0o700)).To(Succeed())
	Expect(os.ReadDir(dir)).To(BeEmpty())
})

var _ = DescribeTableSubtree("Listen", Label("attack"), func(network string) {
	for at, want := range map[string]string{"bind": "the new socket file was replaced", "/fstatat": "operation not permitted"} {
		for kind, link := range map[string]func(victim, path string) error{"symbolic": os.Symlink, "hard": os.Link} {
			It("changes the mode of no file to which a "+kind+" link leads, made after "+at, func() {
				path := socketPath()
				victim := filepath.Join(filepath.Dir(path), "victim")
				Expect(os.WriteFile(victim, []byte("secret"), 0o600)).To(Succeed())
				var only []string
				if at != "bind" { // whose address is no path to strace
					only = []string{"-P", path}
				}
				s := stopsAfter(at, ChildCommand("listen-once", network, path, "666", "22"), only...)
				Expect(os.Rename(path, path+"-away")).To(Succeed())
				Expect(link(victim, path)).To(Succeed())
				Expect(s.goesOn()).To(ContainSubstring(want))
				info, err := os.Stat(victim)
				Expect(err).NotTo(HaveOccurred())
				Expect(info.Mode()).To(Equal(fs.FileMode(0o600)))
				Expect(os.Stat(path)).To(Satisfy(func(now fs.FileInfo) bool { return os.SameFile(now, info) }), "the link is not its to remove")
			})
		}
	}

	It("removes no file that was put in the place of its own", func() {
		path := socketPath()
		s := stopsAfter("bind", ChildCommand("listen-once", network, path, "0", "22"))
		Expect(os.Remove(path)).To(Succeed())
		Expect(os.WriteFile(path, []byte("precious"), 0o600)).To(Succeed())
		Expect(s.goesOn()).To(ContainSubstring("the new socket file was replaced"))
		Expect(os.ReadFile(path)).To(BeEquivalentTo("precious"))
	})

	It("removes no socket that took the place of the stale one", func() {
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

	It("replaces a stale file in a folder that it may write to and not read", func() {
		RunChild(withoutPrivileges(ChildCommand("stale-unreadable", network)))
	})

	It("makes and removes the file where the kernel finds the path, also behind a link", func() {
		path := socketPath()
		dir := filepath.Dir(path)
		Expect(os.MkdirAll(filepath.Join(dir, "far", "away"), 0o700)).To(Succeed())
		Expect(os.Symlink("far/away", filepath.Join(dir, "link"))).To(Succeed())
		// As a string this is dir/s.
		Expect(os.WriteFile(path, []byte("precious"), 0o600)).To(Succeed())
		l := mustListen(scm.Config{}, network, dir+"/link/../s")
		Expect(os.ReadDir(filepath.Join(dir, "far"))).To(HaveLen(2))
		Expect(l.Close()).To(Succeed())
		Expect(os.ReadDir(filepath.Join(dir, "far"))).To(HaveLen(1))
		Expect(os.ReadFile(path)).To(BeEquivalentTo("precious"))
	})

	It("leaves the file in a folder that was renamed, and Close says nothing", func() {
		dir := filepath.Dir(socketPath())
		at, old := filepath.Join(dir, "at"), filepath.Join(dir, "old")
		Expect(os.Mkdir(at, 0o700)).To(Succeed())
		l := mustListen(scm.Config{}, network, filepath.Join(at, "s"))
		Expect(os.Rename(at, old)).To(Succeed())
		Expect(l.Close()).To(Succeed())
		Expect(filepath.Join(old, "s")).To(BeAnExistingFile())
	})
}, everyNetwork)

var _ = Describe("Listen beside a bind that has begun", Label("attack"), func() {
	It("takes no live socket for a stale one", func() {
		if fdtest.OnGVisor() || !bindLocksFolder() {
			Skip("before Linux 5.14, and on gVisor, bind(2) does not hold the folder locked until connect(2) finds the socket")
		}
		path := socketPath()
		defer watchMuch(filepath.Dir(path))()
		done := make(chan struct{})
		listens := goes(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				l, err := scm.Listen(context.Background(), "unix", path)
				if err == nil {
					err = l.Close()
				}
				Expect(err).To(Or(BeNil(), MatchError(scm.ErrInUse)))
			}
		})
		defer listens()
		defer close(done)
		for round := 0; round < 3000; {
			sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			Expect(err).NotTo(HaveOccurred())
			if err = unix.Bind(sock, &unix.SockaddrUnix{Name: path}); err == nil {
				round++
				err = unix.Unlink(path)
			} else if err == unix.EADDRINUSE {
				err = nil
			}
			Expect(unix.Close(sock)).To(Succeed())
			Expect(err).NotTo(HaveOccurred(), "in round %d", round)
		}
	})
})

// watchMuch watches a folder many times until end is called. Each watch makes the time
// longer between the making of a file and the moment in which its socket can be found.
func watchMuch(dir string) (end func()) {
	GinkgoHelper()
	var watches []int
	for range 64 {
		watch, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil { // the user may have no more
			break
		}
		watches = append(watches, watch)
		if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE); err != nil { // likewise
			break
		}
	}
	return func() {
		var closes sync.WaitGroup
		for _, watch := range watches { // each close waits for the kernel's readers
			closes.Go(func() { _ = unix.Close(watch) })
		}
		closes.Wait()
	}
}

// bindLocksFolder reports whether this is Linux 5.14 or later.
func bindLocksFolder() bool {
	GinkgoHelper()
	var name unix.Utsname
	Expect(unix.Uname(&name)).To(Succeed())
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	Expect(err).NotTo(HaveOccurred())
	return major > 5 || major == 5 && minor >= 14
}

var _ = Describe("a stale socket file", Label("attack"), func() {
	DescribeTable("stays on a file system that another system can have too", func(network string) {
		server := fusetest.Mount(GinkgoTB(), fusetest.Options{Socket: true})
		_, err := listenAny(context.Background(), scm.Config{}, network, server.File)
		Expect(server.Asked()).NotTo(ContainElement(BeEquivalentTo(fusetest.Unlink)))
		Expect(err).To(MatchError(scm.ErrInUse))
		Expect(err).To(MatchError(ContainSubstring("its file system does not tell a live socket from a stale one")))
	}, everyNetwork)
})
