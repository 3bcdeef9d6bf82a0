//go:build linux

package scm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
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
		dials("/"+strings.Repeat("n", 107), MatchRegexp("element of the path is 107 bytes long, but can be at most [0-9]+ in a path of more than 107: "))
		dials(strings.Repeat("d/", 100)+"s", unix.ENOENT)
		Expect(Second(scm.Dial(ctx, network, "@"+strings.Repeat("n", 108)))).To(
			MatchError(ContainSubstring("the address is 109 bytes long, but sun_path holds at most 108")))
	})

	It("Dial returns EPROTOTYPE for a socket of another type and ECONNREFUSED for a file that is not a socket", func() {
		path := socketPath()
		bound(scm.Config{}, network, path)
		other := map[string]string{"unix": "unixpacket", "unixpacket": "unixgram", "unixgram": "unix"}[network]
		checkNoLeak()
		Expect(Second(scm.Dial(ctx, other, path))).To(And(opFails("dial", unix.EPROTOTYPE),
			MatchError(ContainSubstring("the socket at this address is not of type "+other+": connect: "))))
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

		tooLong := filepath.Dir(path) + "/"
		tooLong += strings.Repeat("d", len(unix.RawSockaddrUnix{}.Path)-len(tooLong+"/s")) // the absolute path has no space for its 0 byte
		Expect(os.Mkdir(tooLong, 0o700)).To(Succeed())
		chdir(tooLong)
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

var _ = DescribeTableSubtree("on", func(network string) {
	isPacket := network != "unix"

	// recv receives with Recv, and returns the message. capacity is the length of its FDs, which are -7.
	recv := func(c *scm.Conn, capacity, flags int) (m scm.Message, payload string, err error) {
		m = scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: slices.Repeat([]int{-7}, capacity)}
		err = c.Recv(&m, flags)
		return m, string(m.Buffers[0][:min(m.N, 8)]), err
	}

	It("Config.Expect applies to every receive, which closes the descriptors that do not match", func() {
		for _, keep := range []bool{false, true} {
			step("KeepTruncated: ", keep)
			a, b := pairWith(scm.Config{Expect: &scm.Expect{Max: 1, Family: unix.AF_INET}, KeepTruncated: keep}, network)
			for name, call := range receiving {
				for _, c := range []*scm.Conn{b, b.WithContext(context.Background())} {
					r, w := pipe()
					Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
					Expect(w.Close()).To(Succeed())
					before := fdtest.Take()
					failed := errorOf[*scm.ExpectError](call.one(c))
					Expect(failed).To(MatchError("scm: wanted an IPv4 socket, got a pipe (write end)"), name)
					Expect(before.NewSince()).To(BeEmpty(), name)
					noWriterIsLeft(r)
				}
			}
			Expect(a.WriteFiles([]byte("xyz"), pipes(2)...)).To(Equal(3))
			n, files, err := b.ReadFiles(make([]byte, 8), 8)
			Expect(errorOf[*scm.ExpectError](err)).To(MatchError("scm: wanted at most 1 descriptor, got 2 descriptors"))
			Expect(n).To(Equal(3))
			Expect(files).To(BeNil())
			tcp, _ := tcpPair()
			Expect(a.SendConn(tcp)).To(Succeed())
			closeLater(ok(b.RecvConn()))
		}
	})

	It("Config.Expect.Min applies to every receive except Recv", func() {
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}}, network)
		for name, call := range receiving {
			if call.receives == aMessage {
				continue // see the next spec
			}
			Expect(a.Write([]byte("x"))).To(Equal(1))
			if call.receives == someFiles {
				Expect(errorOf[*scm.ExpectError](call.one(b))).To(MatchError("scm: wanted exactly 1 descriptor, got no descriptor"), name)
			} else {
				Expect(call.one(b)).To(opFails("read", scm.ErrNoFile), name)
			}
		}
	})

	It("Config.Expect.Min applies to Recv on datagram and seqpacket sockets, but not on stream sockets", func() {
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Min: 2, Max: 2}}, network)
		for n := range 2 {
			step(n, " descriptors")
			Expect(a.WriteFiles([]byte("xyz"), pipes(n)...)).To(Equal(3))
			m, payload, err := recv(b, 2, 0)
			Expect(payload).To(Equal("xyz"))
			if isPacket {
				Expect(errorOf[*scm.ExpectError](err).Index).To(Equal(-1))
				Expect(m.NFD).To(BeZero())
			} else {
				Expect(err).NotTo(HaveOccurred())
				Expect(m.NFD).To(Equal(n))
				m.Close()
			}
		}
		Expect(a.WriteFiles([]byte("xyz"), pipes(3)...)).To(Equal(3))
		_, _, err := recv(b, 3, 0)
		Expect(errorOf[*scm.ExpectError](err)).To(MatchError(map[bool]string{
			true:  "scm: wanted exactly 2 descriptors, got 3 descriptors",
			false: "scm: wanted at most 2 descriptors, got 3 descriptors",
		}[isPacket]))
	})

	It("a receive fails with EINVAL, and receives nothing, if its capacity is less than Config.Expect.Min", func() {
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Min: 2, Max: 3}}, network)
		sent := pipes(2)
		Expect(a.WriteFiles([]byte("x"), sent...)).To(Equal(1))
		impossible := And(opFails("read", unix.EINVAL),
			MatchError(HaveSuffix("scm: Expect requires at least 2 and at most 3 descriptors, but the call receives at most 1")))
		for name, call := range receiving {
			if isPacket || call.receives != aMessage {
				Expect(call.one(b)).To(impossible, name)
			}
			if call.receives == someFiles {
				Expect(call.atMost(b, 0)).To(And(opFails("read", unix.EINVAL), MatchError(HaveSuffix("receives at most 0"))), name)
			}
		}
		m, payload, err := recv(b, 3, 0)
		Expect(payload, err).To(Equal("x"))
		Expect(m.NFD).To(Equal(2))
		m.Close()
	})

	It("the TruncatedError for more descriptors than requested and than Expect.Max is also an ExpectError, unless files are returned", func() {
		CannotEmulate(fdtest.NotCut)
		for _, c := range []struct {
			sent, max, allowed int
			keep               bool
			got                string // of the ExpectError
		}{
			{1, 0, 0, false, "at least 1 descriptor"},
			{1, 0, 0, true, "at least 1 descriptor"},
			{4, 2, 2, false, "at least 3 descriptors"},
			{4, 2, 1, false, "at least 3 descriptors"},
			{4, 2, 2, true, ""},
			{4, 2, 3, false, ""}, // perhaps only 3 were sent
		} {
			step(c)
			a, b := pairWith(scm.Config{Expect: &scm.Expect{Max: c.allowed}, KeepTruncated: c.keep}, network)
			Expect(a.WriteFiles([]byte("x"), pipes(c.sent)...)).To(Equal(1))
			n, files, err := b.ReadFiles(make([]byte, 1), c.max)
			isTruncated(n, files, err, 1, unix.EMSGSIZE)
			rejected := new(scm.ExpectError)
			Expect(errors.As(err, &rejected)).To(Equal(c.got != ""))
			Expect(rejected.Got).To(Equal(c.got))
			if isPacket {
				Expect(a.WriteFiles([]byte("longer"), pipes(c.sent)...)).To(Equal(6))
				n, files, err := b.ReadFiles(make([]byte, 5), c.max)
				isTruncated(n, files, err, 5, io.ErrShortBuffer)
				Expect(err).To(MatchError(unix.EMSGSIZE))
				Expect(errors.As(err, new(*scm.ExpectError))).To(Equal(c.got != ""))
			}
		}
		for _, allowed := range []int{1, 2} {
			a, b := pairWith(scm.Config{Expect: &scm.Expect{Max: allowed}}, network)
			Expect(a.WriteFiles([]byte("x"), pipes(2)...)).To(Equal(1))
			err := Second(b.RecvFile())
			Expect(errorOf[*scm.TruncatedError](err)).To(MatchError(unix.EMSGSIZE))
			Expect(errors.As(err, new(*scm.ExpectError))).To(Equal(allowed == 1))
		}
	})

	It("Recv returns the payload and its length with an ExpectError, and the conversation can continue", func() {
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Max: 2}}, network)
		before := fdtest.Take()
		Expect(a.WriteFDs([]byte("abcdef"), slices.Repeat([]int{FDOf(a)}, 3)...)).To(Equal(6))
		m, payload, err := recv(b, 4, 0)
		Expect(errorOf[*scm.ExpectError](err)).To(MatchError("scm: wanted at most 2 descriptors, got 3 descriptors"))
		Expect(payload).To(Equal("abcdef"))
		Expect([]int{m.N, m.NFD}).To(Equal([]int{6, 0}))
		Expect(m.FDs).To(Equal([]int{-1, -1, -1, -7}))
		Expect(before.NewSince()).To(BeEmpty())

		if !isPacket { // the rest of a message that was rejected
			Expect(a.WriteFDs([]byte("123456789"), slices.Repeat([]int{FDOf(a)}, 3)...)).To(Equal(9))
			_, payload, err = recv(b, 4, 0)
			Expect(errorOf[*scm.ExpectError](err).Got).To(Equal("3 descriptors"))
			Expect(payload).To(Equal("12345678"))
			_, payload, err = recv(b, 4, 0)
			Expect(payload, err).To(Equal("9"))
		}
		Expect(a.Write([]byte("after"))).To(Equal(5))
		_, payload, err = recv(b, 4, 0)
		Expect(payload, err).To(Equal("after"))
	})

	It("Config.Expect applies to the descriptors of each receive with MSG_PEEK", func() {
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Max: 1, Kind: scm.KindSocket}}, network)
		Expect(a.WriteFiles([]byte("pipe"), pipes(1)...)).To(Equal(4))
		before := fdtest.Take()
		for i, flags := range []int{unix.MSG_PEEK, unix.MSG_PEEK, 0} {
			step("receive ", i)
			m, payload, err := recv(b, 1, flags)
			Expect(errorOf[*scm.ExpectError](err).Got).To(Equal("a pipe (read end)"))
			Expect(payload).To(Equal("pipe"))
			Expect(m.FDs).To(Equal([]int{-1}))
			Expect(before.NewSince()).To(BeEmpty())
		}
		Expect(a.WriteFDs([]byte("socket"), FDOf(a))).To(Equal(6))
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			m, payload, err := recv(b, 1, flags)
			Expect(payload, err).To(Equal("socket"))
			Expect(fdtest.Same(m.FDs[0], FDOf(a))).To(BeTrue())
			m.Close()
		}
	})

	It("Recv reports truncation in Flags, also with Config.Expect", func() {
		CannotEmulate(fdtest.NotCut)
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Min: 1, Max: 8, Kind: scm.KindPipe}}, network)
		sent := pipes(3)
		Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
		m, _ := both(recv(b, 2, 0))
		Expect(m.Truncated()).To(BeTrue())
		areSame(closeAllLater(ok(m.Files())), sent[:2])

		Expect(a.WriteFDs([]byte("xyz"), slices.Repeat([]int{FDOf(a)}, 3)...)).To(Equal(3))
		failed := errorOf[*scm.ExpectError](Third(recv(b, 2, 0)))
		Expect(failed.Got).To(ContainSubstring("Unix"), "what arrived is checked")
		if isPacket {
			Expect(a.WriteFiles([]byte("too long a message"), sent[0])).To(Equal(18))
			m, payload, err := recv(b, 2, 0)
			Expect(payload, err).To(Equal("too long"))
			Expect(m.Flags & unix.MSG_TRUNC).NotTo(BeZero())
			areSame(closeAllLater(ok(m.Files())), sent[:1])
		}
		Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
		n, files, err := b.ReadFiles(make([]byte, 8), 2)
		isTruncated(n, files, err, 3, unix.EMSGSIZE)
	})

	It("Config.Expect.Min applies to a truncated message too", func() {
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}}, network)
		Expect(b.PassCred(true)).To(Succeed()) // the credentials take the space of the descriptor
		Expect(a.WriteFiles([]byte("x"), pipes(1)...)).To(Equal(1))
		m, _, err := recv(b, 1, 0)
		Expect(m.Truncated()).To(BeTrue())
		if isPacket {
			Expect(errorOf[*scm.ExpectError](err)).To(MatchError("scm: wanted exactly 1 descriptor, got no descriptor in a truncated message"))
		} else {
			Expect(err).NotTo(HaveOccurred())
		}
	})

	if network == "unixgram" {
		It("Config.Expect.Min applies to an empty datagram", func() {
			a, b := pairWith(scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}}, network)
			for range 2 {
				Expect(a.Write(nil)).To(BeZero())
			}
			_, _, err := recv(b, 1, 0)
			Expect(errorOf[*scm.ExpectError](err).Got).To(Equal("no descriptor"))
			Expect(errorOf[*scm.ExpectError](receiving["ReadFDs"].one(b)).Got).To(Equal("no descriptor"))
		})
	} else {
		It("no receive returns an ExpectError at the end of the connection", func() {
			for _, e := range []scm.Expect{{}, {Max: 1}, {Min: 1, Max: 1}} {
				// for which the kernel sets MSG_CTRUNC at the end of a stream
				for _, credentials := range []bool{false, true} {
					step("credentials: ", credentials)
					a, b := pairWith(scm.Config{Expect: &e}, network)
					Expect(b.PassCred(credentials)).To(Succeed())
					if isPacket && !credentials { // it looks like the end
						Expect(a.Write(nil)).To(BeZero())
						m, _, err := recv(b, 1, 0)
						Expect([]int{m.N, m.NFD}, err).To(Equal([]int{0, 0}))
					}
					Expect(a.Close()).To(Succeed())
					for name, call := range receiving {
						if call.receives != aMessage {
							Expect(call.one(b)).To(BeIdenticalTo(io.EOF), name)
						}
					}
					m, _, err := recv(b, 1, 0)
					Expect([]int{m.N, m.NFD}, err).To(Equal([]int{0, 0}))

					pidfd := -7 // the end has no sender
					if b.PassPIDFD(true) == nil {
						m = scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), PIDFD: &pidfd, Cred: new(scm.Cred)}
						Expect(b.Recv(&m, 0)).To(Succeed())
						Expect(pidfd).To(Equal(-1))
					}
				}
			}
		})
	}

	It("Config.Expect does not apply to the methods of net.UnixConn", func() {
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}}, network)
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(b.Read(make([]byte, 1))).To(Equal(1))
	})

	It("making a Conn fails with EINVAL if Config.Expect is invalid", func() {
		checkNoLeak()
		ctx := context.Background()
		a, _ := sockets(unix.SOCK_STREAM)
		all := maps.Clone(invalid)
		all["scm: Expect requires at least 254 descriptors, but a message carries at most 253"] = scm.Expect{Min: scm.MaxFDs + 1, Max: 300}
		for text, e := range all {
			step(text)
			config, wrong := scm.Config{Expect: &e}, And(MatchError(unix.EINVAL), MatchError(HaveSuffix(text)))
			Expect(Third(config.Pair(network))).To(wrong)
			Expect(Second(config.Dial(ctx, network, AbstractName()))).To(And(opFails("dial", unix.EINVAL), wrong))
			Expect(Second(config.NewConnFD(a))).To(wrong)
			Expect(fdtest.IsOpen(a)).To(BeTrue())
			Expect(Second(listenAny(ctx, config, network, AbstractName()))).To(wrong)
		}
	})

	It("Config.NoFiles rejects files that were sent before, and Conn.PassRights admits them", func() {
		calls := map[string]func(c *scm.Conn) error{}
		for name, call := range receiving {
			calls[name] = call.one
			calls[name+" with a context"] = func(c *scm.Conn) error { return call.one(c.WithContext(context.Background())) }
			if call.receives != aMessage { // Recv would return a truncated message
				calls[name+" of no file"] = func(c *scm.Conn) error { return call.atMost(c, 0) }
			}
		}
		for name, receive := range calls {
			step(name)
			a, b := pair(network)
			strict, err := scm.Config{NoFiles: true, Expect: &scm.Expect{Max: 1}}.NewConn(b.UnixConn)
			supported(err, "SO_PASSRIGHTS, which is from Linux 6.16")
			send := func() *os.File {
				r, w := pipe()
				Expect(strict.PassRights(true)).To(Succeed())
				Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
				Expect(w.Close()).To(Succeed())
				return r
			}
			r := send()
			strict = ok(scm.Config{NoFiles: true, Expect: &scm.Expect{Max: 1}}.NewConn(b.UnixConn))
			err = receive(strict)
			Expect(errorOf[*scm.ExpectError](err)).To(MatchError(MatchRegexp("^scm: wanted no descriptor, got (at least )?1 descriptor$")), name)
			noWriterIsLeft(r)
			Expect(a.Write([]byte("y"))).To(Equal(1), "bytes still arrive")
			receives(strict, "y")
			send()
			n, files, err := strict.ReadFiles(make([]byte, 1), 1)
			closeAllLater(files)
			Expect(n, err).To(Equal(1))
			Expect(files).To(HaveLen(1))
		}
	})

	It("a Conn that NewConn creates from one with NoFiles returns files that were sent before, and its PassRights leaves the other as it is", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		for range 2 {
			Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
		}
		strict, err := scm.Config{NoFiles: true}.NewConn(b)
		supported(err, "SO_PASSRIGHTS, which is from Linux 6.16")
		other := ok(scm.NewConn(strict))
		receives(other, "x", f)
		Expect(other.PassRights(true)).To(Succeed())
		Expect(Third(strict.ReadFiles(make([]byte, 1), 1))).To(BeAssignableToTypeOf(&scm.ExpectError{}))
	})

	It("Config.NoFiles makes the kernel reject files sent to a Conn, also if it was dialed", func() {
		a, b := pair(network)
		strict, err := scm.Config{NoFiles: true}.NewConn(b.UnixConn)
		supported(err, "SO_PASSRIGHTS, which is from Linux 6.16")
		f := pipes(1)[0]
		Expect(a.WriteFiles([]byte("x"), f)).Error().To(opFails("write", unix.EPERM))
		Expect(strict.WriteFiles([]byte("x"), f)).To(Equal(1), "the other direction is not affected")
		receives(a, "x", f)
		Expect(strict.PassRights(true)).To(Succeed())
		Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
		receives(strict, "x", f)

		if network != "unixgram" { // where the other socket could not reply
			addr := AbstractName()
			accept := bound(scm.Config{}, network, addr)
			withDeadline(ok(scm.Config{NoFiles: true}.Dial(context.Background(), network, addr)))
			Expect(accept().WriteFiles([]byte("x"), f)).Error().To(opFails("write", unix.EPERM))
		}
	})
}, everyNetwork)
