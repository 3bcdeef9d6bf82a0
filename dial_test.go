//go:build linux

package scm_test

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
)

// listen makes a Listener that is closed after the spec.
func listen(config scm.Config, network, addr string) *scm.Listener {
	GinkgoHelper()
	l := ok(config.Listen(context.Background(), network, addr))
	Expect(l.SetDeadline(time.Now().Add(Hang))).To(Succeed())
	return closeLater(l)
}

// bound makes a socket of any type with a name, and closes it after the spec. accept returns the server's end
// of the next connection.
func bound(config scm.Config, network, addr string) (accept func() *scm.Conn) {
	GinkgoHelper()
	if network == "unixgram" {
		c := withDeadline(ok(config.ListenPacket(context.Background(), network, addr)))
		return func() *scm.Conn { return c }
	}
	l := listen(config, network, addr)
	return func() *scm.Conn {
		GinkgoHelper()
		return withDeadline(ok(l.AcceptConn()))
	}
}

func dial(network, addr string) *scm.Conn {
	GinkgoHelper()
	return withDeadline(ok(scm.Dial(context.Background(), network, addr)))
}

// socketPath returns an unused path in a directory of the spec.
func socketPath() string {
	GinkgoHelper()
	dir := ok(os.MkdirTemp("", "scm"))
	DeferCleanup(os.RemoveAll, dir)
	return filepath.Join(dir, "s")
}

// longPath returns a path that is longer than sun_path. Its last element has the maximum length for a
// directory whose descriptor has three digits, for which only a name in /proc/self is short enough.
func longPath() string {
	GinkgoHelper()
	dir := filepath.Join(filepath.Dir(socketPath()), strings.Repeat("d", 100))
	Expect(os.Mkdir(dir, 0o700)).To(Succeed())
	return filepath.Join(dir, strings.Repeat("s", 107-len("/proc/self/fd/000/")))
}

// hasAddress checks an address as package net returns it: an abstract name ends at its first 0 byte, and a
// path that is longer than sun_path is replaced by a name in /proc.
func hasAddress(got net.Addr, network, addr string) {
	GinkgoHelper()
	if addr[0] == 0 {
		addr = "@" + addr[1:]
	}
	name, _, _ := strings.Cut(addr, "\x00")
	if len(name) > 108 {
		Expect(got.String()).To(MatchRegexp("^/proc/self/fd/[0-9]+/%s$", filepath.Base(name)))
		return
	}
	Expect(got).To(Equal(&net.UnixAddr{Name: name, Net: network}))
}

var _ = DescribeTableSubtree("on", func(network string) {
	ctx := context.Background()

	for _, c := range []struct {
		name string
		addr func() string
	}{
		{"a path", socketPath},
		{"an abstract name", func() string { return "@" + UniqueName() }},
		{"an abstract name that begins with a zero byte", func() string { return "\x00" + UniqueName() }},
		{"the longest path that sun_path holds", func() string {
			dir := filepath.Dir(socketPath())
			return filepath.Join(dir, strings.Repeat("s", 107-len(dir)-1))
		}},
		{"the longest abstract name", func() string {
			name := "@" + UniqueName()
			return name + strings.Repeat("s", 108-len(name))
		}},
		{"an abstract name that contains zero bytes", func() string { return "@" + UniqueName() + "\x00a\x00" }},
		{"an abstract name that fills sun_path", func() string {
			name := "@" + UniqueName()
			return name + strings.Repeat("\x00", 108-len(name))
		}},
		{"a path that is longer than sun_path", longPath},
	} {
		It("Dial connects to "+c.name, func() {
			checkNoLeak()
			addr := c.addr()
			accept := bound(scm.Config{}, network, addr)
			client := dial(network, addr)
			hasAddress(client.RemoteAddr(), network, addr)
			f := pipes(1)[0]
			Expect(client.WriteFiles([]byte("hello"), f)).To(Equal(5))
			server := accept()
			given := &net.UnixAddr{Name: strings.Replace(addr, "\x00", "@", 1), Net: network}
			if addr[0] != 0 {
				given.Name = addr
			}
			Expect(server.LocalAddr()).To(Equal(given))
			Expect(ok(scm.NewConn(wrapper{nil, server})).LocalAddr()).To(Equal(given))
			receives(server, "hello", f)
		})
	}

	It("Dial and Listen accept a zero byte instead of @, and show @ in addresses and errors", func() {
		name := UniqueName()
		_, err := scm.Dial(ctx, network, "\x00"+name)
		Expect(err).To(opFails("dial", unix.ECONNREFUSED))
		Expect(err.Error()).To(HavePrefix("dial " + network + " @" + name + ": "))

		l := closeLater(ok(listenAny(ctx, scm.Config{}, network, "\x00"+name)))
		if l, ok := l.(*scm.Listener); ok {
			Expect(l.Addr().String()).To(Equal("@" + name))
		}
		Expect(dial(network, "@"+name).RemoteAddr()).To(Equal(dial(network, "\x00"+name).RemoteAddr()))
		_, err = listenAny(ctx, scm.Config{}, network, "\x00"+name)
		Expect(err).To(opFails("listen", scm.ErrInUse))
		Expect(err.Error()).To(HavePrefix("listen " + network + " @" + name + ": "))
	})

	It("Dial reports why an address is invalid", func() {
		checkNoLeak()
		path := socketPath()
		dials := func(addr string, want any) {
			GinkgoHelper()
			_, err := scm.Dial(ctx, network, addr)
			Expect(err).To(opFails("dial", want))
			Expect(err.(*net.OpError).Addr.String()).To(Equal(addr))
		}
		dials(path, unix.ENOENT)
		dials("@"+UniqueName(), unix.ECONNREFUSED)
		dials("", ContainSubstring("missing address"))
		dials(path+"\x00", unix.EINVAL)
		dials("@"+strings.Repeat("n", 108), unix.ENAMETOOLONG)
		Expect(Second(scm.Dial(ctx, network, "\x00"+strings.Repeat("n", 108)))).To(opFails("dial", unix.ENAMETOOLONG))
		dials("/"+strings.Repeat("n", 107), unix.ENAMETOOLONG)
		dials(strings.Repeat("d/", 100)+"s", unix.ENOENT)
		Expect(Second(scm.Dial(ctx, network, "@"+strings.Repeat("n", 108)))).To(
			MatchError(ContainSubstring("the address is 109 bytes long, but sun_path holds at most 108")))
	})

	It("Dial returns EPROTOTYPE for a socket of another type and ECONNREFUSED for a file that is not a socket", func() {
		path := socketPath()
		bound(scm.Config{}, network, path)
		other := map[string]string{"unix": "unixpacket", "unixpacket": "unixgram", "unixgram": "unix"}[network]
		checkNoLeak()
		Expect(Second(scm.Dial(ctx, other, path))).To(opFails("dial", unix.EPROTOTYPE))
		file := path + "-file"
		Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
		Expect(Second(scm.Dial(ctx, network, file))).To(opFails("dial", unix.ECONNREFUSED))
	})

	It("Dial does not connect if the context is already done", func() {
		path := socketPath()
		bound(scm.Config{}, network, path)
		checkNoLeak()
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		Expect(Second(scm.Dial(cancelled, network, path))).To(opFails("dial", context.Canceled))
	})
}, everyNetwork)

var _ = DescribeTableSubtree("on", func(network string) {
	It("Dial waits while the queue of the listening socket is full", func() {
		ctx := context.Background()
		path := socketPath()
		l := listen(scm.Config{}, network, path)
		Expect(unix.Listen(FDOf(l), 0)).To(Succeed()) // capacity of one
		dial(network, path)
		checkNoLeak()
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		Expect(Second(scm.Dial(short, network, path))).To(opFails("dial", context.DeadlineExceeded))

		ending, end := context.WithTimeout(ctx, Hang)
		defer end()
		wait := start(func() {
			c := ok(scm.Dial(ending, network, path))
			Expect(c.Close()).To(Succeed())
		})
		for range 2 {
			c := ok(l.AcceptConn())
			Expect(c.Close()).To(Succeed())
		}
		wait()
	})
}, Entry("unix sockets,", "unix"), Entry("unixpacket sockets,", "unixpacket"))

var _ = Describe("DialPacket", func() {
	ctx := context.Background()

	DescribeTable("connects to a server that can reply, both with files, and no other socket can send to it, from", func(local func() string) {
		checkNoLeak()
		server := withDeadline(ok(scm.ListenPacket(ctx, "unixgram", longPath())))
		name := local()
		client := withDeadline(ok(scm.DialPacket(ctx, "unixgram", name, server.LocalAddr().String())))
		if name != "" {
			Expect(client.LocalAddr()).To(Equal(&net.UnixAddr{Name: name, Net: "unixgram"}))
		}
		f := pipes(1)[0]
		Expect(client.WriteFiles([]byte("request"), f)).To(Equal(7))
		in := scm.Message{Buffers: [][]byte{make([]byte, 9)}, FDs: make([]int, 1), Addr: new(net.UnixAddr)}
		Expect(server.Recv(&in, 0)).To(Succeed())
		Expect(in.Addr.Name).To(Equal(client.LocalAddr().String()))
		out := scm.Message{Buffers: [][]byte{[]byte("answer")}, FDs: in.FDs, Addr: in.Addr}
		Expect(closeLater(ok(scm.ListenPacket(ctx, "unixgram", AbstractName()))).Send(&out, 0)).To(MatchError(unix.EPERM))
		Expect(server.Send(&out, 0)).To(Succeed())
		in.Close()
		receives(client, "answer", f)
		Expect(client.Close()).To(Succeed())
		if filepath.IsAbs(name) {
			Expect(os.Lstat(name)).Error().To(MatchError(os.ErrNotExist))
		}
	},
		Entry("a path", socketPath),
		Entry("an abstract name", AbstractName),
		Entry("a name that Linux chooses", func() string { return "" }),
	)

	It("binds the absolute path for a relative one, so that a server in another directory can reply", func() {
		checkNoLeak()
		path := socketPath()
		server := withDeadline(ok(scm.ListenPacket(ctx, "unixgram", AbstractName())))
		chdir(filepath.Dir(path))
		client := withDeadline(ok(scm.DialPacket(ctx, "unixgram", "s", server.LocalAddr().String())))
		chdir("/")
		Expect(client.LocalAddr()).To(Equal(&net.UnixAddr{Name: "s", Net: "unixgram"}))
		Expect(client.Write([]byte("x"))).To(Equal(1))
		in := scm.Message{Buffers: [][]byte{make([]byte, 1)}, Addr: new(net.UnixAddr)}
		Expect(server.Recv(&in, 0)).To(Succeed())
		Expect(server.Send(&in, 0)).To(Succeed())
		receives(client, "x")
		Expect(client.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())

		chdir(filepath.Dir(longPath())) // where the absolute path is too long
		withDeadline(ok(scm.DialPacket(ctx, "unixgram", "s", server.LocalAddr().String())))
	})

	It("replaces a stale socket file, and applies the mode", func() {
		checkNoLeak()
		path := socketPath()
		leaveStale("unixgram", path)
		server := closeLater(ok(scm.ListenPacket(ctx, "unixgram", AbstractName())))
		closeLater(ok(scm.Config{Mode: 0o606}.DialPacket(ctx, "unixgram", path, server.LocalAddr().String())))
		Expect(ok(os.Lstat(path)).Mode().Perm()).To(Equal(os.FileMode(0o606)))
	})

	It("creates a socket file that never has more permissions than Config.Mode", func() {
		path, server := socketPath(), closeLater(ok(scm.ListenPacket(ctx, "unixgram", AbstractName())))
		s := stopsAfter("bind", ChildCommand("dial-once", path, server.LocalAddr().String()))
		Expect(ok(os.Lstat(path)).Mode()).To(Equal(fs.ModeSocket | 0o660))
		s.goesOn()
	})

	It("creates no file if it fails, and leaves that of another socket", func() {
		checkNoLeak()
		path, name := socketPath(), AbstractName()
		Expect(scm.DialPacket(ctx, "unixgram", path, name)).Error().To(opFails("dial", unix.ECONNREFUSED))
		Expect(os.Lstat(path)).Error().To(MatchError(os.ErrNotExist))
		Expect(scm.DialPacket(ctx, "unixgram", longPath(), name)).Error().To(opFails("dial", unix.ENAMETOOLONG))
		server := closeLater(ok(scm.ListenPacket(ctx, "unixgram", path)))
		_, err := scm.DialPacket(ctx, "unixgram", path, server.LocalAddr().String())
		Expect(err).To(opFails("dial", scm.ErrInUse))
		Expect(err.Error()).To(HavePrefix("dial unixgram " + path + "->" + path + ": "))
		Expect(os.Lstat(path)).Error().NotTo(HaveOccurred())
	})
})

var _ = Child("dial-once", func(args []string) {
	unix.Umask(0)
	Expect(ok(scm.Config{Mode: 0o660}.DialPacket(context.Background(), "unixgram", args[0], args[1])).Close()).To(Succeed())
})

func init() {
	if reexec.Name() == "without-main-thread" {
		runtime.LockOSThread() // init runs on the main thread
	}
}

var _ = It("Listen and Dial reach a path that is longer than sun_path after the main thread has ended", func() {
	CannotEmulate("the threads of a process that qemu-user runs are the emulator's")
	path := filepath.Join(filepath.Dir(longPath()), "s")
	Expect(RunChild(ChildCommand("without-main-thread", path))).To(Equal("Srw-rw----"))
})

// without-main-thread listens on its argument, and prints the mode of the socket file.
var _ = Child("without-main-thread", func(args []string) {
	go func() {
		for err := error(nil); err == nil; _, err = os.Readlink("/proc/self/fd/0") { // leads nowhere once the thread has ended
			time.Sleep(time.Millisecond)
		}
		runtime.LockOSThread()
		Expect(deny(unix.SYS_FCHMODAT2, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS))).To(Succeed()) // needs no /proc
		unix.Umask(0o77)
		l := ok(scm.Config{Mode: 0o660}.Listen(context.Background(), "unix", args[0]))
		_ = ok(scm.Dial(context.Background(), "unix", args[0]))
		fmt.Print(ok(os.Lstat(args[0])).Mode())
		Expect(l.Close()).To(Succeed())
		os.Exit(0)
	}()
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
})
