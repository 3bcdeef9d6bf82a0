//go:build linux

package scm_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
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

	It("removes the file by where it was, not by a relative name", func() {
		path := socketPath()
		RunChild(ChildCommand("listen-chdir", network, path))
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("removes the file by where it was, not by a link to the working folder", func() {
		path := socketPath()
		cmd := ChildCommand("listen-way", network, path)
		cmd.Env = append(cmd.Env, "PWD="+filepath.Join(GinkgoT().TempDir(), "way"))
		RunChild(cmd)
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

	It("leaves the file if told to", func() {
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		l.SetUnlinkOnClose(false)
		Expect(l.Close()).To(Succeed())
		Expect(path).To(BeAnExistingFile())
	})

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
				stale := mustListen(scm.Config{}, other, path)
				stale.SetUnlinkOnClose(false)
				Expect(stale.Close()).To(Succeed())
				Expect(path).To(BeAnExistingFile())
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

	It("lets one of many at a stale file win", func() {
		path := socketPath()
		for range 20 {
			stale := mustListen(scm.Config{}, network, path)
			stale.SetUnlinkOnClose(false)
			Expect(stale.Close()).To(Succeed())
			won := make(chan closer, 8)
			var waits []func()
			for range cap(won) {
				waits = append(waits, goes(func() {
					l, err := listenAny(ctx, scm.Config{}, network, path)
					if err == nil {
						won <- l
						return
					}
					Expect(err).To(MatchError(scm.ErrInUse))
				}))
			}
			for _, wait := range waits {
				wait()
			}
			close(won)
			Expect(won).To(HaveLen(1))
			l := <-won
			Expect(dial(network, path).Write([]byte("x"))).To(Equal(1), "the winner has the path")
			Expect(l.Close()).To(Succeed())
			Expect(os.ReadDir(filepath.Dir(path))).To(BeEmpty())
		}
	})

	It("waits for a folder that another one has locked, until the context is done", func() {
		path := socketPath()
		stale := mustListen(scm.Config{}, network, path)
		stale.SetUnlinkOnClose(false)
		Expect(stale.Close()).To(Succeed())
		folder, err := os.Open(filepath.Dir(path))
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Flock(NumberOf(lent(folder)), unix.LOCK_EX)).To(Succeed())
		keepsNumbers()
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err = listenAny(short, scm.Config{}, network, path)
		Expect(err).To(And(opFails("listen", context.DeadlineExceeded), Not(MatchError(scm.ErrInUse))))

		wait := goes(func() {
			l, err := listenAny(ctx, scm.Config{}, network, path)
			Expect(err).NotTo(HaveOccurred())
			Expect(l.Close()).To(Succeed())
		})
		Expect(folder.Close()).To(Succeed())
		wait()
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

	for _, c := range []struct{ mode, umask string }{{"600", "0"}, {"600", "22"}, {"660", "77"}, {"666", "777"}} {
		It("gives the file the mode "+c.mode+" where the umask is "+c.umask, func() {
			for _, path := range []string{socketPath(), longPath()} {
				RunChild(ChildCommand("listen-mode", network, path, c.mode, c.umask, "1"))
			}
		})
	}

	It("refuses a mode where there is no file, and one that is none", func() {
		keepsNumbers()
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o600}, network, "@"+UniqueName()))).To(opFails("listen", unix.EINVAL))
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o600}, network, ""))).To(opFails("listen", unix.EINVAL))
		path := socketPath()
		Expect(Second(listenAny(ctx, scm.Config{Mode: fs.ModeSetuid | 0o600}, network, path))).To(opFails("listen", unix.EINVAL))
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("lets nobody in whom the mode keeps out, at any time", func() {
		if os.Geteuid() != 0 {
			Skip("needs another user to be kept out")
		}
		path := socketPath()
		Expect(os.Chmod(filepath.Dir(path), 0o755)).To(Succeed())
		if err := ReadableByOthers(); err != nil {
			Skip("another user may not run the test binary: " + err.Error())
		}
		other := ChildCommand("knock", network, path)
		other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
		stop, err := other.StdinPipe()
		Expect(err).NotTo(HaveOccurred())
		out, err := other.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(other.Start()).To(Succeed())
		Expect(io.ReadFull(out, make([]byte, 1))).To(Equal(1), "it knocks")
		RunChild(ChildCommand("listen-mode", network, path, "600", "0", "500"))
		Expect(stop.Close()).To(Succeed())
		text, err := io.ReadAll(out)
		Expect(err).NotTo(HaveOccurred())
		Expect(other.Wait()).To(Succeed())
		Expect(string(text)).NotTo(ContainSubstring("in"), "a connection was made")
	})

	It("refuses descriptors from the beginning, if told to", func() {
		addr := "@" + UniqueName()
		l, err := listenAny(ctx, scm.Config{NoFiles: true}, network, addr)
		if errors.Is(err, scm.ErrUnsupported) {
			Skip("SO_PASSRIGHTS is from Linux 6.16: " + err.Error())
		}
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = l.Close() })
		client := dial(network, addr) // not accepted yet
		Expect(Second(client.WriteFiles([]byte("x"), pipes(1)...))).To(opFails("write", unix.EPERM))
		Expect(client.Write([]byte("plain"))).To(Equal(5))
	})
}, everyNetwork)

var _ = Child("listen-chdir", func(args []string) {
	Expect(os.Chdir(filepath.Dir(args[1]))).To(Succeed())
	l, err := listenAny(context.Background(), scm.Config{}, args[0], filepath.Base(args[1]))
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chdir("/")).To(Succeed())
	Expect(l.Close()).To(Succeed())
})

// listen-way works in a folder that $PWD names by way of a link, which then leads elsewhere.
var _ = Child("listen-way", func(args []string) {
	dir, link := filepath.Dir(args[1]), os.Getenv("PWD")
	Expect(os.Symlink(dir, link)).To(Succeed())
	Expect(os.Chdir(link)).To(Succeed())
	l, err := listenAny(context.Background(), scm.Config{}, args[0], filepath.Base(args[1]))
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Remove(link)).To(Succeed())
	Expect(os.Symlink("/", link)).To(Succeed())
	Expect(l.Close()).To(Succeed())
})

// listen-mode listens and closes, so many times, and looks at the file's mode.
var _ = Child("listen-mode", func(args []string) {
	mode, umask := octal(args[2]), octal(args[3])
	unix.Umask(umask)
	times, err := strconv.Atoi(args[4])
	Expect(err).NotTo(HaveOccurred())
	for range times {
		l, err := listenAny(context.Background(), scm.Config{Mode: fs.FileMode(mode)}, args[0], args[1])
		Expect(err).NotTo(HaveOccurred())
		info, err := os.Lstat(args[1])
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode()).To(Equal(fs.ModeSocket | fs.FileMode(mode)))
		Expect(l.Close()).To(Succeed())
	}
})

func octal(s string) int {
	GinkgoHelper()
	n, err := strconv.ParseInt(s, 8, 32)
	Expect(err).NotTo(HaveOccurred())
	return int(n)
}

// knock tries to connect until its input ends.
var _ = Child("knock", func(args []string) {
	done := make(chan struct{})
	go func() {
		_, _ = io.ReadAll(os.Stdin)
		close(done)
	}()
	for first := true; ; first = false {
		c, err := scm.Dial(context.Background(), args[0], args[1])
		switch {
		case err == nil:
			_, _ = os.Stdout.WriteString("in")
			_ = c.Close()
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ECONNREFUSED):
			panic(err)
		}
		if first {
			_, _ = os.Stdout.WriteString(".")
		}
		select {
		case <-done:
			return
		default:
		}
	}
})

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
		waitsIn("Accept", 1)
		Expect(l.SetDeadline(time.Now())).To(Succeed())
		wait()
		Expect(l.SetDeadline(time.Time{})).To(Succeed())
		var waits []func()
		for range 3 {
			waits = append(waits, goes(func() { Expect(Second(l.AcceptConn())).To(opFails("accept", net.ErrClosed)) }))
		}
		waitsIn("AcceptConn", 1)
		Expect(l.Close()).To(Succeed())
		for _, wait := range waits {
			wait()
		}
		Expect(Second(l.Accept())).To(opFails("accept", net.ErrClosed))
		Expect(l.SetDeadline(time.Now())).To(opFails("set", net.ErrClosed))
		Expect(Second(l.SyscallConn())).To(opFails("raw-control", net.ErrClosed))
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

	It("leaves connections in the queue where the table is full", func() {
		RunChild(ChildCommand("accept-nofile", network))
	})
}, Entry("unix", "unix"), Entry("unixpacket", "unixpacket"))

var _ = Child("accept-nofile", func(args []string) {
	l, err := scm.Listen(context.Background(), args[0], "")
	Expect(err).NotTo(HaveOccurred())
	Expect(l.SetDeadline(time.Now().Add(Hang))).To(Succeed())
	client, err := scm.Dial(context.Background(), args[0], l.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	withFree(0, func() { Expect(Second(l.Accept())).To(opFails("accept", unix.EMFILE)) })
	server, err := l.Accept()
	Expect(err).NotTo(HaveOccurred())
	Expect(client.Write([]byte("x"))).To(Equal(1))
	Expect(server.Read(make([]byte, 1))).To(Equal(1))
})

var _ = Describe("a Listener", func() {
	It("drops into what takes a net.Listener", func() {
		l := listen(scm.Config{Mode: 0o600}, "unix", socketPath())
		server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})}
		done := goes(func() { Expect(server.Serve(l)).To(MatchError(http.ErrServerClosed)) })
		client := http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return scm.Dial(ctx, "unix", l.Addr().String())
			},
		}}
		sent := strings.Repeat("echo", 100_000)
		answer, err := client.Post("http://unix/", "text/plain", strings.NewReader(sent))
		Expect(err).NotTo(HaveOccurred())
		text, err := io.ReadAll(answer.Body)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(text)).To(Equal(sent))
		Expect(answer.Body.Close()).To(Succeed())
		client.CloseIdleConnections()
		Expect(server.Close()).To(Succeed())
		done()
	})

	It("that is none says so", func() {
		for _, l := range []*scm.Listener{nil, {}} {
			invalid := MatchError(os.ErrInvalid)
			Expect(Second(l.Accept())).To(invalid)
			Expect(l.SetDeadline(time.Time{})).To(invalid)
			Expect(Second(l.SyscallConn())).To(invalid)
			Expect(l.Close()).To(invalid)
			l.SetUnlinkOnClose(true)
			Expect(l.Addr()).To(BeNil())
		}
	})
})

var _ = DescribeTableSubtree("Listen over a stale file", func(network string) {
	It("is EMFILE, and not ErrInUse, where no number is free", func() {
		RunChild(ChildCommand("stale-nofile", network, socketPath()))
	})
}, everyNetwork)

var _ = Child("stale-nofile", func(args []string) {
	l, err := listenAny(context.Background(), scm.Config{}, args[0], args[1])
	Expect(err).NotTo(HaveOccurred())
	l.SetUnlinkOnClose(false)
	Expect(l.Close()).To(Succeed())
	refused := 0
	for ; refused < 10; refused++ {
		withFree(refused, func() { l, err = listenAny(context.Background(), scm.Config{}, args[0], args[1]) })
		if err == nil {
			break
		}
		Expect(err).To(And(opFails("listen", unix.EMFILE), Not(MatchError(scm.ErrInUse))), "%d free", refused)
	}
	Expect(refused).To(BeNumerically(">=", 4), "for the socket, the folder, its lock, the file")
	Expect(l.Close()).To(Succeed())
})
