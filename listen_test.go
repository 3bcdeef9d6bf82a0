//go:build linux

package scm_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
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

// closer is a Listener, or a Conn that ListenPacket made.
type closer interface {
	io.Closer
	syscall.Conn
	SetUnlinkOnClose(bool)
}

// listenAny calls Listen or ListenPacket, depending on the network.
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

// embedded returns the socket of package net that l embeds.
func embedded(l closer) io.Closer {
	if c, ok := l.(*scm.Conn); ok {
		return c.NetConn()
	}
	return l.(*scm.Listener).UnixListener
}

func mustListen(config scm.Config, network, addr string) closer {
	GinkgoHelper()
	return closeLater(ok(listenAny(context.Background(), config, network, addr)))
}

var _ = DescribeTableSubtree("on", func(network string) {
	ctx := context.Background()

	It("Listen makes the socket file, and Close removes it", func() {
		checkNoLeak()
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		info := ok(os.Lstat(path))
		Expect(info.Mode().Type()).To(Equal(fs.ModeSocket))
		Expect(fdtest.CloseOnExec(FDOf(l))).To(BeTrue())
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
		Expect(l.Close()).To(opFails("close", net.ErrClosed))
		Expect(os.ReadDir(filepath.Dir(path))).To(BeEmpty())
	})

	It("Dial and Close accept a relative path, Close also after the directory has changed", func() {
		path := socketPath()
		chdir(filepath.Dir(path))
		accept := bound(scm.Config{}, network, "c")
		Expect(dial(network, "c").Write([]byte("x"))).To(Equal(1))
		receives(accept(), "x")
		l := mustListen(scm.Config{}, network, "s")
		chdir("/")
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("Close of a socket from Listen, or of one made from it, removes the socket file", func() {
		checkNoLeak()
		listener := func(l net.Listener) *scm.Listener { return ok(scm.NewListener(l)) }
		derive := map[string]func(first closer) closer{
			"once":  func(first closer) closer { return listener(first.(*scm.Listener)) },
			"twice": func(first closer) closer { return listener(listener(first.(*scm.Listener))) },
		}
		if network == "unixgram" {
			conn := func(c net.Conn) *scm.Conn { return ok(scm.NewConn(c)) }
			derive = map[string]func(first closer) closer{
				"*Conn":    func(first closer) closer { return conn(first.(*scm.Conn)) },
				"embedded": func(first closer) closer { return conn(embedsPointer{first.(*scm.Conn), ""}) },
				"wrapped":  func(first closer) closer { return conn(wrapper{nil, first.(*scm.Conn)}) },
				"twice":    func(first closer) closer { return conn(conn(first.(*scm.Conn))) },
			}
		}
		for how, derived := range derive {
			for _, firstCloses := range []bool{true, false} {
				path := socketPath()
				other := mustListen(scm.Config{}, network, path)
				closes := derived(other)
				if firstCloses {
					closes, other = other, closes
				}
				Expect(path).To(BeAnExistingFile())
				Expect(closes.Close()).To(Succeed(), how)
				Expect(path).NotTo(BeAnExistingFile(), how)

				// The second Close does not remove the file of another socket.
				next := mustListen(scm.Config{}, network, path)
				Expect(other.Close()).To(opFails("close", net.ErrClosed), how)
				Expect(path).To(BeAnExistingFile(), how)
				Expect(next.Close()).To(Succeed())
			}
			path := socketPath()
			first := mustListen(scm.Config{}, network, path)
			second := derived(first)
			first.SetUnlinkOnClose(false)
			second.SetUnlinkOnClose(true)
			Expect(second.Close()).To(Succeed())
			Expect(path).To(BeAnExistingFile(), "%s: the first one keeps it", how)
		}
	})

	It("Listen and Close work on a relative path if the absolute path is too long", func() {
		chdir(filepath.Dir(socketPath()))
		for range unix.PathMax/len(longName) + 1 {
			Expect(os.Mkdir(longName, 0o700)).To(Succeed())
			Expect(os.Chdir(longName)).To(Succeed())
		}
		listensOnRelative(network)
	})

	It("Listen and Close work on a relative path if the user may not search a directory above the working directory", func() {
		dir := GinkgoT().TempDir()
		Expect(os.Chmod(dir, 0o755)).To(Succeed())
		GinkgoT().Setenv("TMPDIR", dir) // if the tests run as root, the user of the child may not write there
		RunChild(withoutPrivileges(ChildCommand("listen-unsearchable", network)))
	})

	It("Close does not remove a socket file that another call of Listen has made", func() {
		path := socketPath()
		l := mustListen(scm.Config{}, network, path)
		Expect(os.Remove(path)).To(Succeed())
		other := mustListen(scm.Config{}, network, path)
		Expect(l.Close()).To(Succeed())
		Expect(path).To(BeAnExistingFile())
		Expect(other.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})

	for what, closes := range map[string]func(l closer, path string){
		"the embedded socket was closed": func(l closer, path string) {
			Expect(embedded(l).Close()).To(Succeed())
		},
		"the embedded socket was closed, and SetUnlinkOnClose(true) called": func(l closer, path string) {
			Expect(embedded(l).Close()).To(Succeed())
			l.SetUnlinkOnClose(true)
		},
		"Close left the file, and SetUnlinkOnClose(true) was called": func(l closer, path string) {
			l.SetUnlinkOnClose(false)
			Expect(l.Close()).To(Succeed())
			l.SetUnlinkOnClose(true)
		},
		"Close removed the file, and SetUnlinkOnClose(true) was called": func(l closer, path string) {
			// The next file has the same inode number. On some file systems, any new file has the number that was freed
			// last.
			Expect(os.Link(path, path+"-kept")).To(Succeed())
			Expect(l.Close()).To(Succeed())
			Expect(os.Rename(path+"-kept", path)).To(Succeed())
			l.SetUnlinkOnClose(true)
		},
	} {
		It("Close does not remove any file after "+what, func() {
			path := socketPath()
			l := mustListen(scm.Config{}, network, path)
			closes(l, path)
			Expect(path).To(BeAnExistingFile())
			for range 2 {
				Expect(l.Close()).To(opFails("close", net.ErrClosed))
				Expect(path).To(BeAnExistingFile())
			}
		})
	}

	It("Close leaves the socket file in place after SetUnlinkOnClose(false)", func() { leaveStale(network, socketPath()) })

	It("Listen lets the kernel choose a name if addr is empty", func() {
		if network == "unixgram" {
			c := withDeadline(ok(scm.ListenPacket(ctx, network, "")))
			Expect(c.LocalAddr().String()).To(MatchRegexp("^@[0-9a-f]{5}$"))
			return
		}
		l := listen(scm.Config{}, network, "")
		Expect(l.Addr().String()).To(MatchRegexp("^@[0-9a-f]{5}$"))
		dial(network, l.Addr().String())
	})

	It("Listen makes no socket if the context is already done", func() {
		checkNoLeak()
		path := socketPath()
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		Expect(Second(listenAny(cancelled, scm.Config{}, network, path))).To(opFails("listen", context.Canceled))
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("Listen and ListenPacket name each other for networks that only the other one knows", func() {
		var err error
		want := "Listen and Dial make stream and seqpacket sockets"
		if network == "unixgram" {
			want = "ListenPacket makes datagram sockets"
			_, err = scm.Listen(ctx, network, socketPath())
		} else {
			_, err = scm.ListenPacket(ctx, network, socketPath())
		}
		Expect(err).To(And(opFails("listen", net.UnknownNetworkError(network)), MatchError(HaveSuffix(": "+want))))
	})

	It("Listen reports why an address is invalid", func() {
		checkNoLeak()
		path := socketPath()
		dir := filepath.Dir(path)
		tooLong := dir + strings.Repeat("/", unix.PathMax-len(dir)-1) + "s" // its directory's name is not too long
		for addr, want := range map[string]error{
			path + "/x":                             unix.ENOENT,
			path + "\x00":                           unix.EINVAL,
			"@" + strings.Repeat("n", 108):          unix.ENAMETOOLONG,
			path + strings.Repeat("n", 107):         unix.ENAMETOOLONG,
			path + strings.Repeat("/n", 60):         unix.ENOENT,
			tooLong:                                 unix.ENAMETOOLONG,
			"/proc/self/" + strings.Repeat("n", 20): unix.ENOENT,
		} {
			Expect(Second(listenAny(ctx, scm.Config{}, network, addr))).To(opFails("listen", want), addr)
		}
		Expect(os.ReadDir(dir)).To(BeEmpty())
	})

	for _, c := range []struct{ mode, umask, want string }{
		{"600", "0", "Srw-------"}, {"600", "22", "Srw-------"}, {"660", "77", "Srw-rw----"}, {"666", "777", "Srw-rw-rw-"},
	} {
		It("Listen sets mode "+c.mode+" on the socket file even if the umask is "+c.umask, func() {
			for _, path := range []string{socketPath(), longPath()} {
				Expect(RunChild(ChildCommand("listen-once", network, path, c.mode, c.umask))).To(Equal(c.want))
			}
		})
	}

	It("the socket file never has more permissions than Config.Mode", func() {
		for umask, begins := range map[string]fs.FileMode{"0": 0o660, "77": 0o600} {
			path := socketPath()
			s := stopsAfter("bind", ChildCommand("listen-once", network, path, "660", umask))
			info := ok(os.Lstat(path))
			Expect(info.Mode()).To(Equal(fs.ModeSocket | begins))
			Expect(s.goesOn()).To(Equal("Srw-rw----"))
		}
	})

	It("Listen rejects an invalid Mode, and a Mode for an abstract name", func() {
		checkNoLeak()
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o600}, network, "@"+UniqueName()))).To(opFails("listen", unix.EINVAL))
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o600}, network, "\x00"+UniqueName()))).To(opFails("listen", unix.EINVAL))
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o600}, network, ""))).To(opFails("listen", unix.EINVAL))
		path := socketPath()
		Expect(Second(listenAny(ctx, scm.Config{Mode: fs.ModeSetuid | 0o600}, network, path))).To(opFails("listen", unix.EINVAL))
		Expect(Second(listenAny(ctx, scm.Config{Mode: 0o1770}, network, path))).To(And(opFails("listen", unix.EINVAL),
			MatchError(ContainSubstring("mode 01770 has bits other than permissions (0777)"))))
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("Config.NoFiles makes the kernel reject descriptors from the start", func() {
		addr := "@" + UniqueName()
		l, err := listenAny(ctx, scm.Config{NoFiles: true}, network, addr)
		supported(err, "SO_PASSRIGHTS, which is from Linux 6.16")
		closeLater(l)
		client := dial(network, addr)
		refuses := func() {
			GinkgoHelper()
			Expect(Second(client.WriteFiles([]byte("x"), pipes(1)...))).To(opFails("write", unix.EPERM))
			Expect(client.Write([]byte("plain"))).To(Equal(5))
		}
		refuses()
		if l, isListener := l.(*scm.Listener); isListener {
			withDeadline(ok(l.AcceptConn()))
			refuses()
		}
	})
}, everyNetwork)

// longName is almost the longest name of a file.
var longName = strings.Repeat("d", 250)

// listensOnRelative listens on, or dials from, relative paths in the working directory, which must be empty.
func listensOnRelative(network string) {
	for _, path := range []string{"s", strings.Repeat("./", 60) + "s"} {
		for _, mode := range []fs.FileMode{0, 0o666} {
			l := ok(listenAny(context.Background(), scm.Config{Mode: mode}, network, path))
			Expect(l.Close()).To(Succeed())
			Expect(os.ReadDir(".")).To(BeEmpty())
		}
	}
	if network == "unixgram" {
		server := ok(scm.ListenPacket(context.Background(), network, AbstractName()))
		client := ok(scm.DialPacket(context.Background(), network, "s", server.LocalAddr().String()))
		Expect(client.Close()).To(Succeed())
		Expect(server.Close()).To(Succeed())
		Expect(os.ReadDir(".")).To(BeEmpty())
	}
}

var _ = Child("listen-unsearchable", func(args []string) {
	dir := ok(os.MkdirTemp("", "scm"))
	defer func() { _ = os.RemoveAll(dir) }()
	Expect(os.Mkdir(filepath.Join(dir, "here"), 0o700)).To(Succeed())
	Expect(os.Chdir(filepath.Join(dir, "here"))).To(Succeed())
	before := ok(listenAny(context.Background(), scm.Config{}, args[0], "s"))
	Expect(os.Chmod(dir, 0)).To(Succeed())
	Expect(before.Close()).To(Succeed())
	listensOnRelative(args[0])
	Expect(os.Chmod(dir, 0o700)).To(Succeed())
})

func octal(s string) int {
	GinkgoHelper()
	n := ok(strconv.ParseInt(s, 8, 32))
	return int(n)
}

var _ = DescribeTableSubtree("on", func(network string) {
	It("AcceptConn returns a Conn with both addresses and the Config of the Listener", func() {
		path := socketPath()
		l := listen(scm.Config{KeepTruncated: true}, network, path)
		Expect(l.Addr()).To(Equal(&net.UnixAddr{Name: path, Net: network}))
		client := dial(network, path)
		server := withDeadline(ok(l.AcceptConn()))
		Expect(server.LocalAddr()).To(Equal(l.Addr()))
		Expect(server.RemoteAddr()).To(Equal(client.LocalAddr()))
		Expect(fdtest.CloseOnExec(FDOf(server))).To(BeTrue())
		Expect(scm.Nonblock(server)).To(BeTrue())

		CannotEmulate(fdtest.NotCut)
		sent := pipes(2)
		Expect(client.WriteFiles([]byte("x"), sent...)).To(Equal(1))
		n, files, err := server.ReadFiles(make([]byte, 1), 1)
		isTruncated(n, files, err, 1, unix.EMSGSIZE)
		areSame(files, sent[:1])
	})

	It("Accept and AcceptConn wait until the deadline or until the Listener is closed", func() {
		l := listen(scm.Config{}, network, "@"+UniqueName())
		wait := start(func() { Expect(Second(l.Accept())).To(opFails("accept", os.ErrDeadlineExceeded)) })
		waitsIn("AcceptConn", 1)
		Expect(l.SetDeadline(time.Now())).To(Succeed())
		wait()
		Expect(l.SetDeadline(time.Time{})).To(Succeed())
		wait = start(func() { Expect(Second(l.AcceptConn())).To(opFails("accept", net.ErrClosed)) })
		waitsIn("AcceptConn", 1)
		Expect(l.Close()).To(Succeed())
		wait()
		Expect(Second(l.Accept())).To(opFails("accept", net.ErrClosed))
		Expect(l.SetDeadline(time.Time{})).To(opFails("set", net.ErrClosed))
	})

	It("AcceptConn closes a connection that Check rejects, and waits for the next one", func() {
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
		withDeadline(ok(l.AcceptConn()))
		Expect(asked).To(Equal(3))
	})

	It("AcceptConn does not wait until a connection that Check rejects has been closed", func() {
		rejects := true
		l := listen(scm.Config{Check: func(*scm.Conn) (err error) {
			if rejects {
				rejects, err = false, errors.New("go away")
			}
			return err
		}}, network, "@"+UniqueName())
		// While the other end does not read, close(2) of the last descriptor of sent blocks.
		tcp := closeLater(ok(net.Listen("tcp", "127.0.0.1:0")))
		sent := closeLater(ok(net.Dial("tcp", tcp.Addr().String())).(*net.TCPConn))
		far := closeLater(ok(tcp.Accept()).(*net.TCPConn))
		Expect(far.SetReadBuffer(0)).To(Succeed())
		Expect(sent.SetLinger(600)).To(Succeed())
		for err := error(nil); err == nil; {
			_, err = unix.Write(FDOf(sent), make([]byte, 1<<20))
		}
		Expect(dial(network, l.Addr().String()).SendConn(sent)).To(Succeed())
		Expect(sent.Close()).To(Succeed())
		dial(network, l.Addr().String())
		Expect(soon(func() error { return ok(l.AcceptConn()).Close() })).To(Succeed())
	})

	It("AcceptConn closes the connection if Check panics or ends its goroutine", func() {
		for how, end := range map[string]func(){"panics": func() { panic("mine") }, "ends": runtime.Goexit} {
			l := listen(scm.Config{Check: func(*scm.Conn) error { end(); return nil }}, network, "@"+UniqueName())
			client := dial(network, l.Addr().String())
			Expect(client.CloseWrite()).To(Succeed())
			start(func() {
				defer func() { _ = recover() }()
				_, _ = l.AcceptConn()
				Fail("AcceptConn returned after Check " + how)
			})()
			Expect(client.Read(make([]byte, 1))).Error().To(MatchError(io.EOF), how)
		}
	})

	// netListener makes a listening socket of package net.
	netListener := func(path string) *net.UnixListener {
		GinkgoHelper()
		return closeLater(ok(net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})))
	}
	// received sends l over a Conn, and returns the listener that the other end receives.
	received := func(l net.Listener) net.Listener {
		GinkgoHelper()
		a, b := pair("unix")
		Expect(a.SendListener(l)).To(Succeed())
		return closeLater(ok(b.RecvListener()))
	}

	It("NewListener uses the same socket, and Close and deadlines apply to both listeners", func() {
		checkNoLeak()
		theirs := netListener(socketPath())
		before := fdtest.Take()
		l := ok(scm.NewListener(theirs))
		Expect(before.NewSince()).To(BeEmpty())
		Expect(l.UnixListener).To(BeIdenticalTo(theirs))
		Expect(l.Addr()).To(Equal(theirs.Addr()))
		Expect(theirs.SetDeadline(time.Unix(1, 0))).To(Succeed())
		Expect(Second(l.Accept())).To(opFails("accept", os.ErrDeadlineExceeded))
		Expect(theirs.SetDeadline(time.Time{})).To(Succeed())
		wait := start(func() { Expect(Second(l.AcceptConn())).To(opFails("accept", net.ErrClosed)) })
		waitsIn("AcceptConn", 1)
		Expect(theirs.Close()).To(Succeed())
		wait()
	})

	It("NewListener makes a received, inherited or existing listener accept connections with the new Config", func() {
		checkNoLeak()
		listens := map[string]func(path string) net.Listener{
			"net.Listen": func(path string) net.Listener { return netListener(path) },
			"Listen":     func(path string) net.Listener { return listen(scm.Config{}, network, path) },
			"RecvListener": func(path string) net.Listener {
				return received(netListener(path))
			},
			"RecvListener, from Listen": func(path string) net.Listener {
				return received(listen(scm.Config{}, network, path))
			},
			"LISTEN_FDS": func(path string) net.Listener {
				f := closeLater(ok(netListener(path).File()))
				return closeLater(ok(net.FileListener(f)))
			},
		}
		for how, open := range listens {
			step(how)
			path := socketPath()
			asked := 0
			config := scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}, Check: func(c *scm.Conn) error {
				if asked++; asked == 1 {
					return errors.New("go away")
				}
				return nil
			}}
			l := ok(config.NewListener(open(path)))
			Expect(l.SetDeadline(time.Now().Add(Hang))).To(Succeed())
			Expect(l.Addr()).To(Equal(&net.UnixAddr{Name: path, Net: network}), how)
			rejected, client := dial(network, path), dial(network, path)
			server := withDeadline(ok(l.AcceptConn()))
			Expect(asked).To(Equal(2), how)
			Expect(Second(rejected.Read([]byte{0}))).To(MatchError(io.EOF), how)
			Expect(client.Write([]byte("x"))).To(Equal(1))
			Expect(Third(server.ReadFiles(make([]byte, 1), 1))).To(BeAssignableToTypeOf(&scm.ExpectError{}), how)
			f := pipes(1)[0]
			Expect(client.WriteFiles([]byte("x"), f)).To(Equal(1))
			receives(server, "x", f)
		}
	})

	It("NewListener keeps the Expect and Check of a *Listener, and Config.NewListener replaces them", func() {
		checkNoLeak()
		path, asked := socketPath(), 0
		config := scm.Config{Expect: &scm.Expect{}, Check: func(*scm.Conn) error { asked++; return nil }}
		first := listen(config, network, path)
		f := pipes(1)[0]
		for _, l := range []*scm.Listener{ok(scm.NewListener(first)), ok(scm.NewListener(first.WithContext(context.Background())))} {
			asked = 0
			client := dial(network, path)
			server := withDeadline(ok(l.AcceptConn()))
			Expect(asked).To(Equal(1))
			Expect(client.WriteFiles([]byte("x"), f)).To(Equal(1))
			Expect(Third(server.ReadFiles(make([]byte, 1), 1))).To(BeAssignableToTypeOf(&scm.ExpectError{}))
		}
		asked = 0
		client := dial(network, path)
		server := withDeadline(ok(ok(scm.Config{}.NewListener(first)).AcceptConn()))
		Expect(asked).To(BeZero())
		Expect(client.WriteFiles([]byte("x"), f)).To(Equal(1))
		receives(server, "x", f)
	})

	It("SetUnlinkOnClose of a Listener that does not own its socket file passes the setting on to the net.UnixListener", func() {
		checkNoLeak()
		for _, c := range []struct {
			what string
			open func(path string) net.Listener
			set  []bool
			left bool
		}{
			{"net.Listen, which removes the path", func(path string) net.Listener { return netListener(path) }, nil, false},
			{"net.Listen", func(path string) net.Listener { return netListener(path) }, []bool{false}, true},
			{"net.Listen", func(path string) net.Listener { return netListener(path) }, []bool{false, true}, false},
			{"RecvListener, which leaves the path", func(path string) net.Listener { return received(netListener(path)) }, nil, true},
			{"RecvListener", func(path string) net.Listener { return received(netListener(path)) }, []bool{true}, false},
		} {
			path := socketPath()
			l := ok(scm.NewListener(c.open(path)))
			for _, unlink := range c.set {
				l.SetUnlinkOnClose(unlink)
			}
			Expect(l.Close()).To(Succeed())
			_, err := os.Lstat(path)
			Expect(err == nil).To(Equal(c.left), "%s, SetUnlinkOnClose %v", c.what, c.set)
		}

		for _, twice := range []bool{true, false} {
			step("NewListener twice: ", twice)
			path := socketPath()
			l := ok(scm.NewListener(netListener(path)))
			if twice {
				l = ok(scm.NewListener(l))
			}
			Expect(os.Remove(path)).To(Succeed())
			next := netListener(path)
			Expect(l.Close()).To(Succeed())
			Expect(path).To(BeAnExistingFile(), "the file of another socket")
			Expect(next.Close()).To(Succeed())
		}

		path := socketPath()
		first := ok(scm.NewListener(netListener(path)))
		second := ok(scm.NewListener(first))
		first.SetUnlinkOnClose(false)
		second.SetUnlinkOnClose(true)
		Expect(second.Close()).To(Succeed())
		Expect(path).To(BeAnExistingFile(), "the first one keeps it")

		path = socketPath()
		l := ok(scm.NewListener(netListener(path)))
		received(l)
		Expect(l.Close()).To(Succeed())
		Expect(path).To(BeAnExistingFile(), "SendListener has sent the socket")
	})

	It("NewListener with NoFiles makes the kernel reject descriptors", func() {
		path := socketPath()
		l, err := scm.Config{NoFiles: true}.NewListener(netListener(path))
		supported(err, "SO_PASSRIGHTS, new in Linux 6.16")
		Expect(l.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		client := dial(network, path)
		Expect(Second(client.WriteFiles([]byte("x"), pipes(1)...))).To(opFails("write", unix.EPERM))
	})
}, Entry("unix sockets,", "unix"), Entry("unixpacket sockets,", "unixpacket"))

var _ net.Listener = (*scm.Listener)(nil)

var _ = It("a Conn from ListenPacket receives from any sender, and can reply to a sender that has an address", func() {
	checkNoLeak()
	ctx, f := context.Background(), pipes(1)[0]
	server := withDeadline(ok(scm.ListenPacket(ctx, "unixgram", AbstractName())))
	client := withDeadline(ok(scm.ListenPacket(ctx, "unixgram", AbstractName())))
	unnamed := withDeadline(ok(scm.Dial(ctx, "unixgram", server.LocalAddr().String())))
	question := scm.Message{Buffers: [][]byte{[]byte("question")}, FDs: []int{FDOf(f)}, Addr: server.LocalAddr().(*net.UnixAddr)}
	Expect(client.Send(&question, 0)).To(Succeed())
	in := scm.Message{Buffers: [][]byte{make([]byte, 64)}, FDs: make([]int, 1), Addr: new(net.UnixAddr)}
	Expect(server.Recv(&in, 0)).To(Succeed())
	Expect(in.Addr.Name).To(Equal(client.LocalAddr().String()))
	areSame([]*os.File{closeLater(os.NewFile(uintptr(in.FDs[0]), "received"))}, []*os.File{f})
	Expect(server.Send(&scm.Message{Buffers: [][]byte{[]byte("answer")}, Addr: in.Addr}, 0)).To(Succeed())
	receives(client, "answer")

	Expect(unnamed.WriteFiles([]byte("no name"), f)).To(Equal(7))
	receives(server, "no name", f)
	Expect(server.WriteFiles([]byte("an answer"), f)).Error().To(opFails("write", unix.ENOTCONN))
})

var _ = It("the file of a sent net.UnixListener stays, even if it is closed before the send returns or the send fails", func() {
	a, b := pair("unix")
	path := socketPath()
	l := closeLater(ok(net.Listen("unix", path)).(*net.UnixListener))
	Expect(sendSocket(a, afterSending(l, func() { Expect(l.Close()).To(Succeed()) }))).To(Succeed())
	Expect(path).To(BeAnExistingFile())

	Expect(b.Close()).To(Succeed())
	for _, made := range []bool{false, true} {
		for _, unlink := range []bool{false, true} {
			path := socketPath()
			l := closeLater[closer](ok(net.Listen("unix", path)).(*net.UnixListener))
			if made {
				l = ok(scm.NewListener(l.(net.Listener)))
			}
			Expect(sendSocket(a, l)).To(opFails("write", unix.EPIPE))
			if unlink {
				l.SetUnlinkOnClose(true)
			}
			Expect(l.Close()).To(Succeed())
			_, err := os.Lstat(path)
			Expect(err != nil).To(Equal(unlink), "%T", l)
		}
	}
})

// embedsListener is a listener around another one.
type embedsListener struct{ net.Listener }

var _ = It("NewListener rejects nil, listeners created as struct literals, closed listeners, and listeners without a Unix socket", func() {
	checkNoLeak()
	for _, none := range []net.Listener{nil, (*net.UnixListener)(nil), (*scm.Listener)(nil), (*net.TCPListener)(nil), &scm.Listener{}} {
		Expect(Second(scm.NewListener(none))).To(opFails("listener", os.ErrInvalid), "%T", none)
	}
	Expect(Second(scm.NewListener(new(net.UnixListener)))).To(opFails("listener", unix.EINVAL))

	l := listen(scm.Config{}, "unix", socketPath())
	tcp := closeLater(ok(net.Listen("tcp", "127.0.0.1:0")))
	for _, other := range []net.Listener{tcp, embedsListener{l}, tls.NewListener(l, &tls.Config{})} {
		Expect(Second(scm.NewListener(other))).To(And(opFails("listener", scm.ErrNotUnix), MatchError(HaveSuffix(": a %T", other))))
	}
	Expect(Second(scm.Config{Expect: &scm.Expect{Min: 254}}.NewListener(l))).To(opFails("listener", unix.EINVAL))
	Expect(l.Close()).To(Succeed())
	for _, closed := range []net.Listener{l, l.UnixListener} {
		Expect(Second(scm.NewListener(closed))).To(opFails("listener", net.ErrClosed))
	}
})
