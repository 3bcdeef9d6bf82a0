//go:build linux

package scm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// Attacks on paths: by who may write to the folder of a socket file, or may only
// open it, and by a thread that has a table of its own.

// stopped is a child that stands still behind a system call.
type stopped struct {
	tracer *exec.Cmd
	pid    int
	out    *strings.Builder
}

// stopsAfter runs a child until it has made its first system call of that name,
// and stops it there.
func stopsAfter(call string, cmd *exec.Cmd) *stopped {
	GinkgoHelper()
	CannotEmulate(fdtest.Traced)
	strace := FindStrace()
	record := filepath.Join(GinkgoT().TempDir(), "record")
	program, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	cmd.Args = append([]string{strace, "-f", "-o", record, "-e", "trace=" + call, "-e", "inject=" + call + ":signal=SIGSTOP:when=1", program}, cmd.Args[1:]...)
	cmd.Path = strace
	s := &stopped{tracer: cmd, out: &strings.Builder{}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	Expect(cmd.Start()).To(Succeed())
	Eventually(func() string {
		text, _ := os.ReadFile(record)
		for line := range strings.Lines(string(text)) {
			if before, _, ok := strings.Cut(line, " --- stopped by SIGSTOP"); ok {
				return strings.TrimSpace(before)
			}
		}
		return ""
	}, Hang).ShouldNot(BeEmpty(), "the child never stopped: %s", s.out)
	// The tracer is the parent of one process.
	children, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) + "/children")
	Expect(err).NotTo(HaveOccurred())
	s.pid, err = strconv.Atoi(strings.TrimSpace(string(children)))
	Expect(err).NotTo(HaveOccurred())
	return s
}

// goesOn lets it go on, and returns what it wrote.
func (s *stopped) goesOn() string {
	GinkgoHelper()
	Expect(unix.Kill(s.pid, unix.SIGCONT)).To(Succeed())
	Expect(s.tracer.Wait()).To(Succeed(), "%s", s.out)
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

// bind-swapped binds below a link that leads elsewhere once the folder is open.
var _ = Child("bind-swapped", func(args []string) {
	unix.Umask(0o22)
	network, dir, way := args[0], args[1], args[2]
	link := filepath.Join(dir, "evil", "link")
	err := scm.BindAfter(scm.Config{Mode: 0o666}, network, dir+"/"+way+"/s", func() error {
		return errors.Join(os.Remove(link), os.Symlink("../elsewhere", link))
	})
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error())
	}
})

var _ = Child("remove-aside", func(args []string) {
	err := scm.RemoveAside(args[0], args[1])
	Expect(err).To(MatchError(scm.ErrInUse))
	_, _ = os.Stdout.WriteString(err.Error())
})

var _ = Child("stale-unreadable", func(args []string) {
	dir, err := os.MkdirTemp("", "scm")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(dir) }()
	Expect(os.Chmod(dir, 0o300)).To(Succeed())
	_, err = os.ReadDir(dir)
	Expect(err).To(MatchError(fs.ErrPermission))
	path := filepath.Join(dir, "s")
	stale, err := listenAny(context.Background(), scm.Config{}, args[0], path)
	Expect(err).NotTo(HaveOccurred())
	stale.SetUnlinkOnClose(false)
	Expect(stale.Close()).To(Succeed())
	Expect(path).To(BeAnExistingFile())
	l, err := listenAny(context.Background(), scm.Config{}, args[0], path)
	Expect(err).NotTo(HaveOccurred())
	Expect(l.Close()).To(Succeed())
	Expect(os.Chmod(dir, 0o700)).To(Succeed())
	Expect(os.ReadDir(dir)).To(BeEmpty())
})

var _ = DescribeTableSubtree("Listen", Label("attack"), func(network string) {
	It("changes the mode of no file to which a link leads", func() {
		path := socketPath()
		victim := filepath.Join(filepath.Dir(path), "victim")
		Expect(os.WriteFile(victim, []byte("secret"), 0o600)).To(Succeed())
		s := stopsAfter("bind", ChildCommand("listen-once", network, path, "666", "22"))
		Expect(os.Rename(path, path+"-away")).To(Succeed())
		Expect(os.Symlink(victim, path)).To(Succeed())
		s.goesOn()
		info, err := os.Lstat(victim)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode()).To(Equal(fs.FileMode(0o600)))
		Expect(os.Readlink(path)).To(Equal(victim), "the link is not its to remove")
	})

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
		stale := mustListen(scm.Config{}, network, path)
		stale.SetUnlinkOnClose(false)
		Expect(stale.Close()).To(Succeed())
		s := stopsAfter("connect", ChildCommand("listen-once", network, path, "0", "22"))
		Expect(os.Remove(path)).To(Succeed())
		live := bound(scm.Config{}, network, path)
		Expect(s.goesOn()).To(Equal("in use"))
		client := dial(network, path)
		Expect(client.Write([]byte("x"))).To(Equal(1))
		receives(live(), "x")
		Expect(os.ReadDir(filepath.Dir(path))).To(HaveLen(1), "nothing else is left")
	})

	It("is not held up by somebody who has the folder locked", func() {
		path := socketPath()
		stale := mustListen(scm.Config{}, network, path)
		stale.SetUnlinkOnClose(false)
		Expect(stale.Close()).To(Succeed())
		folder, err := os.Open(filepath.Dir(path))
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Flock(NumberOf(lent(folder)), unix.LOCK_EX)).To(Succeed())
		done := make(chan error, 1)
		go func() {
			l, err := listenAny(context.Background(), scm.Config{}, network, path)
			if err == nil {
				err = l.Close()
			}
			done <- err
		}()
		Eventually(done, Hang/2).Should(Receive(BeNil()))
	})

	It("replaces a stale file in a folder that it may write to and not read", func() {
		cmd := ChildCommand("stale-unreadable", network)
		if os.Geteuid() == 0 {
			if err := ReadableByOthers(); err != nil {
				Skip("another user may not run the test binary: " + err.Error())
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
		}
		RunChild(cmd)
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

	It("removes nothing in a folder that took the place of the one it was made in", func() {
		path := socketPath()
		dir := filepath.Dir(path)
		at := filepath.Join(dir, "at", "s")
		Expect(os.Mkdir(filepath.Dir(at), 0o700)).To(Succeed())
		l := mustListen(scm.Config{}, network, at)
		Expect(os.Rename(filepath.Dir(at), filepath.Join(dir, "old"))).To(Succeed())
		Expect(os.Mkdir(filepath.Dir(at), 0o700)).To(Succeed())
		Expect(os.Link(filepath.Join(dir, "old", "s"), at)).To(Succeed())
		Expect(l.Close()).To(Succeed())
		Expect(at).To(BeAnExistingFile())
	})

	It("takes no other socket for its own where others can put one in its place", func() {
		path := socketPath()
		Expect(os.Chmod(filepath.Dir(path), 0o777)).To(Succeed())
		other := filepath.Join(filepath.Dir(path), "other")
		mustListen(scm.Config{}, network, other)
		s := stopsAfter("bind", ChildCommand("listen-once", network, path, "0", "22"))
		Expect(os.Rename(other, path)).To(Succeed())
		Expect(s.goesOn()).To(ContainSubstring("the new socket file was replaced"))
		Expect(path).To(BeAnExistingFile())
	})

	It("does without the kernel's word if it need not change the file", func() {
		CannotEmulate(fdtest.Traced)
		path := socketPath()
		Expect(os.Chmod(filepath.Dir(path), 0o777)).To(Succeed())
		program, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		strace := FindStrace()
		for mode, want := range map[string]string{
			"0":   "Srwxr-xr-x",
			"666": "the kernel does not say which file is the socket's: sendto: connection refused",
		} {
			cmd := ChildCommand("listen-once", network, path, mode, "22")
			cmd.Args = append([]string{strace, "-f", "-o", os.DevNull, "-e", "trace=sendto", "-e", "inject=sendto:error=ECONNREFUSED", program}, cmd.Args[1:]...)
			cmd.Path = strace
			Expect(RunChild(cmd)).To(ContainSubstring(want))
			Expect(path).NotTo(BeAnExistingFile())
		}
	})

	DescribeTable("gives the file its mode whatever the umask is", func(folder string) {
		path := socketPath()
		Expect(os.Chmod(filepath.Dir(path), fs.FileMode(octal(folder)))).To(Succeed())
		Expect(RunChild(ChildCommand("listen-once", network, path, "660", "77"))).To(ContainSubstring("Srw-rw----"))
		Expect(path).NotTo(BeAnExistingFile())
	},
		Entry("in a folder of its own", "755"),
		Entry("in one in which others can put a file in its place", "777"),
	)

	It("adds permissions to its own file alone where others can put a file in its place", func() {
		path := socketPath()
		Expect(os.Chmod(filepath.Dir(path), 0o777)).To(Succeed())
		private := filepath.Join(filepath.Dir(path), "private")
		other := mustListen(scm.Config{Mode: 0o600}, network, private)
		DeferCleanup(func() { _ = other.Close() })
		s := stopsAfter("bind", ChildCommand("listen-once", network, path, "666", "22"))
		Expect(os.Rename(private, path)).To(Succeed())
		Expect(s.goesOn()).To(ContainSubstring("the new socket file was replaced"))
		info, err := os.Lstat(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode()).To(Equal(fs.ModeSocket | 0o600))
	})

	It("adds permissions to its own file alone where all users have one number", func() {
		CannotEmulate(fdtest.Traced)
		// In the namespace this user is the overflow user, as everybody else is.
		attr := &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 65534, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 65534, HostID: os.Getegid(), Size: 1}},
		}
		// First without the mappings, as for a PID namespace.
		for _, attr := range []*syscall.SysProcAttr{{Cloneflags: attr.Cloneflags}, attr} {
			probe := ChildCommand("nothing")
			probe.SysProcAttr = attr
			if err := probe.Run(); err != nil {
				Skip("no user namespace can be had here: " + err.Error())
			}
		}
		path := socketPath()
		private := filepath.Join(filepath.Dir(path), "private")
		other := mustListen(scm.Config{Mode: 0o600}, network, private)
		DeferCleanup(func() { _ = other.Close() })
		cmd := ChildCommand("listen-once", network, path, "666", "22")
		cmd.SysProcAttr = attr
		s := stopsAfter("bind", cmd)
		Expect(os.Rename(private, path)).To(Succeed())
		Expect(s.goesOn()).To(ContainSubstring("the new socket file was replaced"))
		info, err := os.Lstat(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode()).To(Equal(fs.ModeSocket | 0o600))
	})

	DescribeTable("adds permissions to its own file alone where others can change where the path leads", func(way string) {
		dir := filepath.Dir(socketPath())
		for _, name := range []string{"evil", "mode600", "elsewhere"} {
			Expect(os.Mkdir(filepath.Join(dir, name), 0o755)).To(Succeed())
		}
		Expect(os.Chmod(filepath.Join(dir, "evil"), 0o777)).To(Succeed())
		Expect(os.Symlink("../mode600", filepath.Join(dir, "evil", "link"))).To(Succeed())
		Expect(os.Symlink("evil/link/", filepath.Join(dir, "way"))).To(Succeed())
		s := stopsAfter("bind", ChildCommand("bind-swapped", network, dir, way))
		Expect(filepath.Join(dir, "elsewhere", "s")).To(BeAnExistingFile())
		private := filepath.Join(dir, "mode600", "s")
		other := mustListen(scm.Config{Mode: 0o600}, network, private)
		DeferCleanup(func() { _ = other.Close() })
		Expect(s.goesOn()).To(ContainSubstring("the new socket file was replaced"))
		info, err := os.Lstat(private)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode()).To(Equal(fs.ModeSocket | 0o600))
	},
		Entry("in a folder of theirs", "evil/link"),
		Entry("in one behind a link of its own", "./way"),
		Entry("in one beside it", "mode600/../evil/link"),
	)

	It("does without the kernel's word where nobody else can change where the path leads", func() {
		CannotEmulate(fdtest.Traced)
		if os.Geteuid() == 65534 {
			Skip("this user, 65534, is the overflow user, who always needs the kernel's word")
		}
		dir := filepath.Dir(socketPath())
		Expect(os.MkdirAll(filepath.Join(dir, "far", "away"), 0o700)).To(Succeed())
		Expect(os.Symlink(filepath.Join(dir, "far"), filepath.Join(dir, "link"))).To(Succeed())
		program, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		strace := FindStrace()
		cmd := ChildCommand("listen-once", network, filepath.Join(dir, "link", "away", "..", "s"), "666", "22")
		cmd.Args = append([]string{strace, "-f", "-o", os.DevNull, "-e", "trace=sendto", "-e", "inject=sendto:error=ECONNREFUSED", program}, cmd.Args[1:]...)
		cmd.Path = strace
		Expect(RunChild(cmd)).To(ContainSubstring("Srw-rw-rw-"))
	})
}, everyNetwork)

var _ = Describe("Listen beside a bind that has begun", Label("attack"), func() {
	It("takes no live socket for a stale one", func() {
		if fdtest.OnGVisor() || !bindLocksFolder() {
			Skip("before Linux 5.14, and on gVisor, bind(2) does not hold the folder locked until connect(2) finds the socket")
		}
		dir := filepath.Dir(socketPath())
		defer watchMuch(dir)()
		for round := range 300 {
			path := filepath.Join(dir, strconv.Itoa(round))
			sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			Expect(err).NotTo(HaveOccurred())
			binds := goes(func() { Expect(unix.Bind(sock, &unix.SockaddrUnix{Name: path})).To(Succeed()) })
			var st unix.Stat_t
			for end := time.Now().Add(Hang); unix.Lstat(path, &st) != nil; {
				Expect(time.Now()).To(BeTemporally("<", end), "the file is not there")
			}
			l, err := scm.Listen(context.Background(), "unix", path)
			if err == nil {
				Expect(l.Close()).To(Succeed())
			}
			binds()
			Expect(unix.Close(sock)).To(Succeed())
			Expect(err).To(opFails("listen", scm.ErrInUse), "in round %d", round)
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
		Expect(err).To(MatchError(ContainSubstring("file system (type 0x65735546)")))
	}, everyNetwork)

	It("that is another one by the time of its removal is put back", func() {
		path := socketPath()
		accept := bound(scm.Config{}, "unix", path)
		other := filepath.Join(filepath.Dir(path), "other")
		Expect(os.WriteFile(other, nil, 0o600)).To(Succeed())
		err := scm.RemoveAside(path, other)
		Expect(err).To(MatchError(scm.ErrInUse))
		Expect(strings.Count(err.Error(), "in use")).To(Equal(1), err.Error())
		client := dial("unix", path)
		Expect(client.Write([]byte("x"))).To(Equal(1))
		receives(accept(), "x")
		Expect(os.ReadDir(filepath.Dir(path))).To(HaveLen(2), "nothing else is left")

		Expect(scm.RemoveAside(other, other)).To(Succeed())
		Expect(os.ReadDir(filepath.Dir(path))).To(HaveLen(1))
	})

	It("that is another one, whose name is taken meanwhile, has the name that the error says", func() {
		dir := filepath.Dir(socketPath())
		path, other := filepath.Join(dir, "path"), filepath.Join(dir, "other")
		Expect(os.WriteFile(path, []byte("taken aside"), 0o600)).To(Succeed())
		Expect(os.WriteFile(other, nil, 0o600)).To(Succeed())
		s := stopsAfter("renameat", ChildCommand("remove-aside", path, other))
		Expect(os.WriteFile(path, []byte("new"), 0o600)).To(Succeed())
		said := s.goesOn()
		aside, err := filepath.Glob(filepath.Join(dir, ".scm-*"))
		Expect(err).NotTo(HaveOccurred())
		Expect(aside).To(HaveLen(1))
		Expect(said).To(And(ContainSubstring(filepath.Base(aside[0])), ContainSubstring("file exists")))
		Expect(os.ReadFile(aside[0])).To(BeEquivalentTo("taken aside"))
		Expect(os.ReadFile(path)).To(BeEquivalentTo("new"))
	})
})

var _ = Describe("a long path", Label("attack"), func() {
	It("is the path of the thread, not of the process's first one", func() {
		RunChild(ChildCommand("own-table-path"))
	})
})

// In the tables of the other threads the numbers that the call will have stand for
// another folder, in which there is a socket of the same name.
var _ = Child("own-table-path", func([]string) {
	dir, err := os.MkdirTemp("", "scm")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(dir) }()
	here := filepath.Join(dir, strings.Repeat("h", 100))
	there := filepath.Join(dir, strings.Repeat("t", 100))
	servers := map[string]*scm.Listener{}
	for _, folder := range []string{here, there} {
		Expect(os.Mkdir(folder, 0o700)).To(Succeed())
		l, err := scm.Listen(context.Background(), "unix", filepath.Join(folder, "s"))
		Expect(err).NotTo(HaveOccurred())
		Expect(l.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		servers[folder] = l
	}
	var traps []int
	for range 8 {
		fd, err := unix.Open(there, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		traps = append(traps, fd)
	}
	offMainThread(func() {
		Expect(unix.Unshare(unix.CLONE_FILES)).To(Succeed())
		for _, fd := range traps {
			Expect(unix.Close(fd)).To(Succeed())
		}
		c, err := scm.Dial(context.Background(), "unix", filepath.Join(here, "s"))
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Write([]byte("here"))).To(Equal(4))
		Expect(c.Close()).To(Succeed())

		l, err := scm.Config{Mode: 0o600}.Listen(context.Background(), "unix", filepath.Join(here, "new"))
		Expect(err).NotTo(HaveOccurred())
		Expect(filepath.Join(here, "new")).To(BeAnExistingFile())
		Expect(filepath.Join(there, "new")).NotTo(BeAnExistingFile())
		Expect(l.Close()).To(Succeed())
		Expect(filepath.Join(here, "new")).NotTo(BeAnExistingFile())
	})
	c, err := servers[here].AcceptConn()
	Expect(err).NotTo(HaveOccurred())
	Expect(io.ReadAll(c)).To(BeEquivalentTo("here"))
})

var _ = Describe("Listen with a mode", Label("attack"), func() {
	It("binds as the caller's thread does", func() {
		if os.Geteuid() != 0 {
			Skip("needs another user's identity for a thread")
		}
		RunChild(ChildCommand("own-user-path"))
	})

	DescribeTable("binds with no right that the caller's thread gave up", func(give string) {
		if give == "capabilities" && os.Geteuid() != 0 {
			Skip("needs capabilities to give up")
		}
		if give == "landlock" {
			if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 {
				Skip("this kernel has no Landlock: " + errno.Error())
			}
		}
		RunChild(ChildCommand("fewer-rights-path", give))
	}, Entry("capabilities", "capabilities"), Entry("Landlock", "landlock"))
})

// One thread has fewer rights than the others.
var _ = Child("fewer-rights-path", func(args []string) {
	dir, err := os.MkdirTemp("", "scm")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(dir) }()
	var give func() error
	switch args[0] {
	case "capabilities":
		Expect(os.Chmod(dir, 0o755)).To(Succeed())
		Expect(os.Chown(dir, 12345, 12345)).To(Succeed())
		give = func() error {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			return unix.Capset(&header, &make([]unix.CapUserData, 2)[0])
		}
	case "landlock":
		give = func() error {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				return err
			}
			handled := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SOCK)
			fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&handled)), unsafe.Sizeof(handled), 0)
			if errno != 0 {
				return errno
			}
			defer unix.Close(int(fd))
			if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
				return errno
			}
			return nil
		}
	}
	offMainThread(func() {
		Expect(give()).To(Succeed())
		_, err := scm.Config{Mode: 0o666}.Listen(context.Background(), "unix", filepath.Join(dir, "s"))
		Expect(err).To(MatchError(unix.EACCES))
		Expect(os.ReadDir(dir)).To(BeEmpty())
	})
})

// One thread has another working folder and another user than the others.
var _ = Child("own-user-path", func([]string) {
	dir, err := os.MkdirTemp("", "scm")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(dir) }()
	Expect(os.Chmod(dir, 0o777)).To(Succeed())
	offMainThread(func() {
		listens := func(addr string, config scm.Config, uid uint32) {
			l, err := config.Listen(context.Background(), "unix", addr)
			Expect(err).NotTo(HaveOccurred())
			var st unix.Stat_t
			Expect(unix.Stat(filepath.Join(dir, "s"), &st)).To(Succeed())
			Expect(st.Uid).To(Equal(uid))
			Expect(st.Mode & 0o777).To(BeEquivalentTo(config.Mode))
			Expect(l.Close()).To(Succeed())
			Expect(os.ReadDir(dir)).To(BeEmpty())
		}
		Expect(unix.Setfsuid(12345)).To(Succeed())
		listens(filepath.Join(dir, "s"), scm.Config{Mode: 0o600}, 12345)
		listens(filepath.Join(dir, "s"), scm.Config{Mode: 0o666}, 12345)
		Expect(unix.Setfsuid(0)).To(Succeed())
		Expect(unix.Unshare(unix.CLONE_FS)).To(Succeed())
		Expect(unix.Chdir(dir)).To(Succeed())
		listens("s", scm.Config{Mode: 0o600}, 0)
	})
})

var _ = Describe("the name of a socket", func() {
	It("is all that the kernel tells of it", func() {
		f := connect(unix.SOCK_DGRAM)
		for kind, name := range everyName() {
			By(kind)
			fd, err := unix.FcntlInt(uintptr(f.bound(name)), unix.F_DUPFD_CLOEXEC, 0)
			Expect(err).NotTo(HaveOccurred())
			c, err := scm.NewConnFD(fd)
			Expect(err).NotTo(HaveOccurred())
			closing(c)
			Expect(c.LocalAddr().String()).To(Equal(name))
			if len(name) == 108 && name[0] != '@' {
				continue // a path that Dial reaches by another name
			}
			peer, err := scm.NewConn(dial("unixgram", name))
			Expect(err).NotTo(HaveOccurred())
			closing(peer)
			Expect(peer.RemoteAddr().String()).To(Equal(name))
		}
	})
})
