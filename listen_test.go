//go:build linux

package scm_test

import (
	"context"
	"errors"
	"io"
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

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// closer is a Listener, or a Conn of ListenPacket.
type closer interface {
	io.Closer
	syscall.Conn
	SetUnlinkOnClose(bool)
}

// listenAny is Listen or ListenPacket, as the network wants it.
func listenAny(ctx context.Context, config scm.Config, network, addr string) (closer, error) {
	if network == "unixgram" {
		c, err := config.ListenPacket(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	l, err := config.Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func mustListen(config scm.Config, network, addr string) closer {
	GinkgoHelper()
	l, err := listenAny(context.Background(), config, network, addr)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = l.Close() })
	return l
}

// leaveStale makes a stale socket file.
func leaveStale(network, path string) {
	GinkgoHelper()
	l, err := listenAny(context.Background(), scm.Config{}, network, path)
	Expect(err).NotTo(HaveOccurred())
	l.SetUnlinkOnClose(false)
	Expect(l.Close()).To(Succeed())
	Expect(path).To(BeAnExistingFile())
}

var _ = DescribeTableSubtree("Listen", func(network string) {
	ctx := context.Background()

	It("makes the socket file, and Close removes it", func() {
		keepsNumbers()
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		info, err := os.Lstat(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Type()).To(Equal(fs.ModeSocket))
		Expect(fdtest.CloseOnExec(NumberOf(l))).To(BeTrue())
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
		Expect(l.Close()).To(opFails("close", net.ErrClosed))
		Expect(os.ReadDir(filepath.Dir(path))).To(BeEmpty())
	})

	It("removes the file of a relative path, whatever the working folder is now", func() {
		path := socketPath()
		chdir(filepath.Dir(path))
		l := mustListen(scm.Config{}, network, "s")
		chdir("/")
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("removes no file that another one made", func() {
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		Expect(os.Remove(path)).To(Succeed())
		other := mustListen(scm.Config{}, network, path)
		Expect(l.Close()).To(Succeed())
		Expect(path).To(BeAnExistingFile())
		Expect(other.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("leaves the file if told to", func() { leaveStale(network, socketPath()) })

	It("is in use while another one has the name", func() {
		for _, addr := range []string{socketPath(), "@" + UniqueName(), longPath()} {
			accept := bound(scm.Config{}, network, addr)
			keepsNumbers()
			for _, other := range []string{"unix", "unixgram", "unixpacket"} {
				if addr[0] == '@' && other != network {
					continue // abstract names are a type's own
				}
				_, err := listenAny(ctx, scm.Config{}, other, addr)
				Expect(err).To(And(opFails("listen", scm.ErrInUse), MatchError(unix.EADDRINUSE)))
				if addr[0] != '@' {
					Expect(err.Error()).To(Equal("listen " + other + " " + addr + ": a live socket has this name"))
				}
			}
			// The one in use was not disturbed: this is its first client.
			client := dial(network, addr)
			Expect(client.Write([]byte("first"))).To(Equal(5))
			receives(accept(), "first")
		}
	})

	It("takes the place of a stale file, of whatever type", func() {
		for _, path := range []string{socketPath(), longPath()} {
			for _, other := range []string{"unix", "unixgram", "unixpacket"} {
				leaveStale(other, path)
				l := mustListen(scm.Config{}, network, path)
				Expect(os.ReadDir(filepath.Dir(path))).To(HaveLen(1), "nothing else is left")
				Expect(dial(network, path).Write([]byte("x"))).To(Equal(1))
				Expect(l.Close()).To(Succeed())
			}
		}
	})

	It("takes nothing else for a stale file", func() {
		path := socketPath()
		dir := filepath.Dir(path)
		file, link, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
		Expect(os.WriteFile(file, []byte("precious"), 0o600)).To(Succeed())
		Expect(os.Symlink("nowhere", link)).To(Succeed())
		Expect(unix.Mkfifo(fifo, 0o600)).To(Succeed())
		keepsNumbers()
		for _, path := range []string{file, link, fifo, dir} {
			_, err := listenAny(ctx, scm.Config{}, network, path)
			Expect(err).To(opFails("listen", scm.ErrInUse))
			Expect(err.Error()).To(HaveSuffix(path + ": exists and is not a socket"))
		}
		Expect(os.ReadDir(dir)).To(HaveLen(3))
		Expect(os.ReadFile(file)).To(BeEquivalentTo("precious"))
	})

	It("does not take a socket that is bound and does not listen yet for a stale one", func() {
		path := socketPath()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(unix.Close, fd)
		Expect(unix.Bind(fd, &unix.SockaddrUnix{Name: path})).To(Succeed())
		_, err = listenAny(ctx, scm.Config{}, network, path)
		Expect(err).To(opFails("listen", scm.ErrInUse))
	})

	It("is one program's at a time, where many replace a stale file", func() {
		path := socketPath()
		leaveStale(network, path)
		var waits []func()
		for range 4 {
			waits = append(waits, goes(func() { RunChild(ChildCommand("listen-contends", network, path)) }))
		}
		for _, wait := range waits {
			wait()
		}
		Expect(os.ReadDir(filepath.Dir(path))).To(HaveLen(1))
	})

	It("waits for a folder that another one has locked, until the context is done or it has waited enough", func() {
		path := socketPath()
		leaveStale(network, path)
		folder, err := os.Open(filepath.Dir(path))
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Flock(NumberOf(lent(folder)), unix.LOCK_EX)).To(Succeed())
		keepsNumbers()
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err = listenAny(short, scm.Config{}, network, path)
		Expect(err).To(And(opFails("listen", context.DeadlineExceeded), Not(MatchError(scm.ErrInUse))))

		goes(func() {
			l, err := listenAny(ctx, scm.Config{}, network, path)
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Close()).To(Succeed())
		})()
	})

	It("chooses a name where none is given", func() {
		if network == "unixgram" {
			c, err := scm.ListenPacket(ctx, network, "")
			Expect(err).NotTo(HaveOccurred())
			closing(c)
			Expect(c.LocalAddr().String()).To(MatchRegexp("^@[0-9a-f]{5}$"))
			return
		}
		l := listen(scm.Config{}, network, "")
		Expect(l.Addr().String()).To(MatchRegexp("^@[0-9a-f]{5}$"))
		dial(network, l.Addr().String())
	})

	It("does nothing where the context is done", func() {
		keepsNumbers()
		path := socketPath()
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		Expect(Second(listenAny(cancelled, scm.Config{}, network, path))).To(opFails("listen", context.Canceled))
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("says what is wrong with an address", func() {
		keepsNumbers()
		path := socketPath()
		for addr, want := range map[string]error{
			path + "/x":                             unix.ENOENT,
			path + "\x00":                           unix.EINVAL,
			"@" + strings.Repeat("n", 108):          unix.ENAMETOOLONG,
			path + strings.Repeat("n", 107):         unix.ENAMETOOLONG,
			path + strings.Repeat("/n", 60):         unix.ENOENT,
			"/proc/self/" + strings.Repeat("n", 20): unix.ENOENT,
		} {
			Expect(Second(listenAny(ctx, scm.Config{}, network, addr))).To(opFails("listen", want), addr)
		}
	})

	for _, c := range []struct{ mode, umask, want string }{
		{"600", "0", "Srw-------"}, {"600", "22", "Srw-------"}, {"660", "77", "Srw-rw----"}, {"666", "777", "Srw-rw-rw-"},
	} {
		It("gives the file the mode "+c.mode+" where the umask is "+c.umask, func() {
			for _, path := range []string{socketPath(), longPath()} {
				Expect(RunChild(ChildCommand("listen-once", network, path, c.mode, c.umask))).To(Equal(c.want))
			}
		})
	}

	It("lets nobody in whom the mode keeps out, at any time", func() {
		for umask, begins := range map[string]fs.FileMode{"0": 0o660, "77": 0o600} {
			path := socketPath()
			s := stopsAfter("bind", ChildCommand("listen-once", network, path, "660", umask))
			info, err := os.Lstat(path)
			Expect(err).NotTo(HaveOccurred())
			Expect(info.Mode()).To(Equal(fs.ModeSocket | begins))
			Expect(s.goesOn()).To(Equal("Srw-rw----"))
		}
	})

	It("refuses a mode where there is no file, and one that is none", func() {
		keepsNumbers()
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o600}, network, "@"+UniqueName()))).To(opFails("listen", unix.EINVAL))
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o600}, network, "\x00"+UniqueName()))).To(opFails("listen", unix.EINVAL))
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o600}, network, ""))).To(opFails("listen", unix.EINVAL))
		path := socketPath()
		Expect(Second(listenAny(ctx, scm.Config{Mode: fs.ModeSetuid | 0o600}, network, path))).To(opFails("listen", unix.EINVAL))
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("refuses descriptors from the beginning, if told to", func() {
		addr := "@" + UniqueName()
		l, err := listenAny(ctx, scm.Config{NoFiles: true}, network, addr)
		if errors.Is(err, errors.ErrUnsupported) {
			Skip("SO_PASSRIGHTS is from Linux 6.16: " + err.Error())
		}
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = l.Close() })
		client := dial(network, addr)
		refuses := func() {
			GinkgoHelper()
			Expect(Second(client.WriteFiles([]byte("x"), pipes(1)...))).To(opFails("write", unix.EPERM))
			Expect(client.Write([]byte("plain"))).To(Equal(5))
		}
		refuses()
		if l, ok := l.(*scm.Listener); ok {
			server, err := l.AcceptConn()
			Expect(err).NotTo(HaveOccurred())
			closing(server)
			refuses()
		}
	})
}, everyNetwork)

// listen-contends listens 20 times on a stale path, and each time leaves it stale. Who dials the
// path while it listens gets it, and no other.
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
		client, err := scm.Dial(ctx, args[0], args[1])
		Expect(err).NotTo(HaveOccurred())
		Expect(client.Write([]byte("mine"))).To(Equal(4))
		server, ok := l.(*scm.Conn)
		if !ok {
			Expect(l.(*scm.Listener).SetDeadline(time.Now().Add(Hang))).To(Succeed())
			server, err = l.(*scm.Listener).AcceptConn()
			Expect(err).NotTo(HaveOccurred(), "the path leads to another one")
		}
		Expect(server.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		Expect(server.Read(make([]byte, 8))).To(Equal(4), "the path leads to another one")
		l.SetUnlinkOnClose(false)
		Expect(errors.Join(client.Close(), l.Close())).To(Succeed())
		_ = server.Close()
	}
})

func octal(s string) int {
	GinkgoHelper()
	n, err := strconv.ParseInt(s, 8, 32)
	Expect(err).NotTo(HaveOccurred())
	return int(n)
}

var _ = DescribeTableSubtree("a Listener", func(network string) {
	It("accepts, with both addresses and its Config", func() {
		path := socketPath()
		l := listen(scm.Config{KeepTruncated: true}, network, path)
		Expect(l.Addr()).To(Equal(&net.UnixAddr{Name: path, Net: network}))
		client := dial(network, path)
		server, err := l.AcceptConn()
		Expect(err).NotTo(HaveOccurred())
		closing(server)
		Expect(server.LocalAddr()).To(Equal(l.Addr()))
		Expect(server.RemoteAddr()).To(Equal(client.LocalAddr()))
		Expect(fdtest.CloseOnExec(NumberOf(server))).To(BeTrue())
		Expect(scm.Nonblock(server)).To(BeTrue())

		CannotEmulate(fdtest.NotCut)
		sent := pipes(2)
		Expect(client.WriteFiles([]byte("x"), sent...)).To(Equal(1))
		n, files, err := server.ReadFiles(make([]byte, 1), 1)
		isTruncated(n, files, err, 1, unix.EMSGSIZE)
		areSame(files, sent[:1])
	})

	It("waits until its deadline, or until it is closed", func() {
		l := listen(scm.Config{}, network, "@"+UniqueName())
		wait := goes(func() { Expect(Second(l.Accept())).To(opFails("accept", os.ErrDeadlineExceeded)) })
		waitsIn("AcceptConn", 1)
		Expect(l.SetDeadline(time.Now())).To(Succeed())
		wait()
		Expect(l.SetDeadline(time.Time{})).To(Succeed())
		wait = goes(func() { Expect(Second(l.AcceptConn())).To(opFails("accept", net.ErrClosed)) })
		waitsIn("AcceptConn", 1)
		Expect(l.Close()).To(Succeed())
		wait()
		Expect(Second(l.Accept())).To(opFails("accept", net.ErrClosed))
	})

	It("closes what its check refuses, and goes on", func() {
		asked := 0
		l := listen(scm.Config{Check: func(c *scm.Conn) error {
			p := make([]byte, 8)
			asked++
			if n, err := c.Read(p); err != nil || string(p[:n]) != "password" {
				return errors.New("go away")
			}
			return nil
		}}, network, "@"+UniqueName())
		for _, word := range []string{"guess", "try", "password"} {
			c := dial(network, l.Addr().String())
			Expect(c.Write([]byte(word))).To(Equal(len(word)))
		}
		server, err := l.AcceptConn()
		Expect(err).NotTo(HaveOccurred())
		closing(server)
		Expect(asked).To(Equal(3))
	})

	It("closes what its check does not let in, also if that panics or ends the goroutine", func() {
		for how, end := range map[string]func(){"panics": func() { panic("mine") }, "ends": runtime.Goexit} {
			l := listen(scm.Config{Check: func(*scm.Conn) error { end(); return nil }}, network, "@"+UniqueName())
			client := dial(network, l.Addr().String())
			Expect(client.CloseWrite()).To(Succeed())
			goes(func() {
				defer func() { _ = recover() }()
				_, _ = l.AcceptConn()
				Fail("AcceptConn returned after Check " + how)
			})()
			Expect(client.Read(make([]byte, 1))).Error().To(MatchError(io.EOF), how)
		}
	})
}, Entry("unix", "unix"), Entry("unixpacket", "unixpacket"))

var _ net.Listener = (*scm.Listener)(nil)

var _ = Describe("a Listener", func() {
	It("that is none says so", func() {
		for _, l := range []*scm.Listener{nil, {}} {
			Expect(Second(l.Accept())).To(MatchError(os.ErrInvalid))
			Expect(l.Close()).To(MatchError(os.ErrInvalid))
		}
	})
})

var _ = DescribeTableSubtree("Listen over a stale file", func(network string) {
	It("is EMFILE, and not ErrInUse, where no number is free", func() {
		RunChild(ChildCommand("stale-nofile", network, socketPath()))
	})
}, everyNetwork)

var _ = Child("stale-nofile", func(args []string) {
	leaveStale(args[0], args[1])
	refused := 0
	for ; refused < 10; refused++ {
		var l closer
		var err error
		withFree(refused, func() { l, err = listenAny(context.Background(), scm.Config{}, args[0], args[1]) })
		if err == nil {
			Expect(l.Close()).To(Succeed())
			break
		}
		Expect(err).To(And(opFails("listen", unix.EMFILE), Not(MatchError(scm.ErrInUse))), "%d free", refused)
	}
	Expect(refused).To(Equal(3), "for the folder, the file and a socket")
})

// hands sends what listens, or a datagram socket, over c.
func hands(c *scm.Conn, l closer) error {
	if dgram, ok := l.(*scm.Conn); ok {
		return c.SendConn(dgram)
	}
	return c.SendListener(l)
}

var _ = DescribeTableSubtree("Close of a socket with a file", func(network string) {
	It("leaves the file of a socket that was handed over", func() {
		a, b := pair("unix")
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		Expect(hands(a, l)).To(Succeed())
		Expect(l.Close()).To(Succeed())
		Expect(path).To(BeAnExistingFile())
		_, files, err := b.ReadFiles(make([]byte, 1), 1)
		Expect(err).NotTo(HaveOccurred())
		Expect(lentAll(files)).To(HaveLen(1))
		dial(network, path)
	})

	It("has removed it when the calls that waited end", func() {
		for range 20 {
			path := socketPath()
			l := mustListen(scm.Config{}, network, path)
			method, waits := "AcceptConn", func() error { return Second(l.(*scm.Listener).AcceptConn()) }
			if c, ok := l.(*scm.Conn); ok {
				method, waits = "Recv", func() error { return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}}, 0) }
			}
			waiting := goes(func() {
				Expect(waits()).To(MatchError(net.ErrClosed))
				Expect(path).NotTo(BeAnExistingFile())
			})
			waitsIn(method, 1)
			Expect(l.Close()).To(Succeed())
			waiting()
		}
	})

	It("returns the error where it cannot remove it, and closes the socket", func() {
		RunChild(withoutPrivileges(ChildCommand("close-unwritable", network)))
	})
}, everyNetwork)

// withoutPrivileges has another user run a child in root's place.
func withoutPrivileges(cmd *exec.Cmd) *exec.Cmd {
	GinkgoHelper()
	if os.Geteuid() == 0 {
		if err := ReadableByOthers(); err != nil {
			Skip("another user may not run the test binary: " + err.Error())
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	}
	return cmd
}

var _ = Child("close-unwritable", func(args []string) {
	dir, err := os.MkdirTemp("", "scm")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "s")
	l, err := listenAny(context.Background(), scm.Config{}, args[0], path)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chmod(dir, 0o500)).To(Succeed())
	Expect(l.Close()).To(opFails("close", unix.EACCES))
	Expect(l.Close()).To(opFails("close", net.ErrClosed))
	Expect(path).To(BeAnExistingFile())
	Expect(os.Chmod(dir, 0o700)).To(Succeed())
})
