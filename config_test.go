//go:build linux

package scm_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("on", func(typ int) {
	network := map[int]string{unix.SOCK_STREAM: "unix", unix.SOCK_DGRAM: "unixgram", unix.SOCK_SEQPACKET: "unixpacket"}[typ]

	// netConn makes a connection of package net, and returns its other end as a Conn.
	netConn := func() (theirs *net.UnixConn, far *scm.Conn) {
		GinkgoHelper()
		checkNoLeak()
		a, b := sockets(typ)
		file := asFile(a)
		defer func() { _ = file.Close() }()
		return withDeadline(ok(net.FileConn(file)).(*net.UnixConn)), withDeadline(ok(scm.NewConnFD(copies(b)[0])))
	}

	It("NewConn uses the same socket without changing it, and Close and deadlines apply to both connections", func() {
		for want, end := range map[error]func(theirs *net.UnixConn) error{
			os.ErrDeadlineExceeded: func(theirs *net.UnixConn) error { return theirs.SetReadDeadline(time.Unix(1, 0)) },
			net.ErrClosed:          (*net.UnixConn).Close,
		} {
			theirs, far := netConn()
			before, status := fdtest.Take(), statusOf(theirs)
			ours := ok(scm.NewConn(theirs))
			Expect(ours.UnixConn).To(BeIdenticalTo(theirs))
			Expect(before.NewSince()).To(BeEmpty())
			Expect(FDOf(ours)).To(Equal(FDOf(theirs)))
			f := pipes(1)[0]
			Expect(ours.WriteFiles([]byte("a"), f)).To(Equal(1))
			receives(far, "a", f)
			Expect(theirs.Write([]byte("b"))).To(Equal(1))
			receives(far, "b")
			Expect(statusOf(theirs)).To(Equal(status))

			wait := start(func() { Expect(Third(ours.ReadFiles(make([]byte, 1), 1))).To(opFails("read", want)) })
			waitsIn("ReadFiles", 1)
			Expect(end(theirs)).To(Succeed())
			wait()
		}
		theirs, _ := netConn()
		Expect(ok(scm.NewConn(theirs)).Close()).To(Succeed())
		Expect(theirs.Write([]byte("x"))).Error().To(MatchError(net.ErrClosed))
	})

	It("NewConnFD consumes the descriptor of a blocking or non-blocking socket, and sets O_NONBLOCK", func() {
		for _, flags := range []int{0, unix.SOCK_NONBLOCK} {
			step("O_NONBLOCK: ", flags != 0)
			a, b := sockets(typ | flags)
			checkNoLeak()
			inherited := ok(unix.Dup(a))
			c := withDeadline(ok(scm.NewConnFD(inherited)))
			Expect(fdtest.IsOpen(inherited)).To(BeFalse())
			Expect(fdtest.Same(FDOf(c), a)).To(BeTrue())
			Expect(fdtest.CloseOnExec(FDOf(c))).To(BeTrue())
			Expect(fcntl(a, unix.F_GETFL, 0) & unix.O_NONBLOCK).NotTo(BeZero())
			Expect(c.LocalAddr().Network()).To(Equal(network))
			f := pipes(1)[0]
			Expect(c.WriteFiles([]byte("x"), f)).To(Equal(1))
			received := ok(scm.NewConnFD(copies(b)[0]))
			receives(withDeadline(received), "x", f)
		}
	})

	It("NewConn unwraps a Conn, a struct that embeds one, and types with a NetConn method, and returns the same socket with the new Config", func() {
		theirs, far := netConn()
		inner := ok(scm.NewConn(theirs))
		for name, c := range map[string]net.Conn{
			"a *net.UnixConn":                 theirs,
			"a *Conn":                         inner,
			"a struct that embeds a *Conn":    embedsPointer{inner, ""},
			"a NetConn that returns a Conn":   wrapper{nil, inner},
			"a NetConn that returns net's":    wrapper{nil, theirs},
			"two NetConns":                    wrapper{nil, &wrapper{nil, inner}},
			"a NetConn that returns a struct": wrapper{nil, embedsPointer{inner, ""}},
		} {
			before := fdtest.Take()
			c, err := scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}}.NewConn(c)
			Expect(err).NotTo(HaveOccurred(), name)
			Expect(c.UnixConn).To(BeIdenticalTo(theirs), name)
			Expect(before.NewSince()).To(BeEmpty(), name)
			for range 2 {
				Expect(far.Write([]byte("x"))).To(Equal(1))
			}
			Expect(Third(c.ReadFiles(make([]byte, 1), 1))).To(BeAssignableToTypeOf(&scm.ExpectError{}), name)
			Expect(Third(inner.ReadFiles(make([]byte, 1), 1))).To(Succeed(), "%s: the Conn keeps its own Config", name)
		}
	})

	It("NewConn keeps the Expect, and nothing else, of the *Conn that its argument is or leads to, and Config.NewConn replaces it", func() {
		theirs, far := netConn()
		strict := ok(scm.Config{Expect: &scm.Expect{Max: 2, Kind: scm.KindSocket}, KeepTruncated: true}.NewConn(theirs))
		sent := pipes(1)[0]
		for name, c := range map[string]net.Conn{
			"a *Conn":                         strict,
			"a Conn from NewConn":             ok(scm.NewConn(strict)),
			"a Conn from WithContext":         strict.WithContext(context.Background()),
			"a struct that embeds a *Conn":    embedsPointer{strict, ""},
			"a NetConn that returns a Conn":   wrapper{nil, strict},
			"two NetConns":                    wrapper{nil, &wrapper{nil, strict}},
			"a NetConn that returns a struct": wrapper{nil, embedsPointer{strict, ""}},
		} {
			step(name)
			kept := ok(scm.NewConn(c))
			Expect(far.WriteFiles([]byte("x"), sent)).To(Equal(1))
			Expect(Third(kept.ReadFiles(make([]byte, 1), 1))).To(MatchError("scm: wanted a socket, got a pipe (read end)"))
			Expect(far.WriteFiles([]byte("x"), sent)).To(Equal(1))
			receives(ok(scm.Config{}.NewConn(c)), "x", sent)
		}
		for name, c := range map[string]net.Conn{"a NetConn that skips the Conn": wrapper{strict, strict.NetConn()}, "the socket": theirs} {
			step(name)
			Expect(far.WriteFiles([]byte("x"), sent)).To(Equal(1))
			receives(ok(scm.NewConn(c)), "x", sent)
		}
		CannotEmulate(fdtest.NotCut)
		Expect(far.WriteFDs([]byte("x"), FDOf(far), FDOf(far))).To(Equal(1))
		n, files, err := ok(scm.NewConn(strict)).ReadFiles(make([]byte, 1), 1)
		isTruncated(n, files, err, 1, unix.EMSGSIZE)
		Expect(files).To(BeNil(), "without KeepTruncated")
	})
}, everyType)

// wrapper is a connection around another one.
type wrapper struct {
	net.Conn
	inner net.Conn
}

func (w wrapper) NetConn() net.Conn { return w.inner }

// wraps is a wrapper whose inner connection is a function, so that it can be the wrapper itself.
type wraps struct {
	net.Conn
	inner func() net.Conn
}

func (w *wraps) NetConn() net.Conn { return w.inner() }

type embedsPointer struct {
	*scm.Conn
	name string
}

type embedsValue struct{ scm.Conn }

// embedsNil embeds no Conn, and has a NetConn of its own.
type embedsNil struct {
	*scm.Conn
	inner net.Conn
}

func (e embedsNil) NetConn() net.Conn { return e.inner }

type embedsTLS struct{ *tls.Conn }

type embedsUnix struct{ *net.UnixConn }

// ownTLS embeds a Conn and has the method of a connection that encrypts.
type ownTLS struct{ *scm.Conn }

func (ownTLS) HandshakeContext(context.Context) error { return nil }

var _ = It("NewConnFD rejects a descriptor that is not a Unix socket, and does not change it", func() {
	checkNoLeak()
	r, w := pipe()
	tcp, udp := closeLater(ok(net.Listen("tcp", "127.0.0.1:0"))), closeLater(ok(net.ListenPacket("udp", "127.0.0.1:0")))
	null, path := closeLater(ok(os.Open("/dev/null"))), closeLater(ok(os.OpenFile("/", unix.O_PATH, 0)))
	for _, c := range []syscall.Conn{r, w, tcp.(*net.TCPListener), udp.(*net.UDPConn), null, path} {
		before := statusOf(c)
		Expect(Second(scm.Config{NoFiles: true}.NewConnFD(FDOf(c)))).To(opFails("conn", scm.ErrNotUnix))
		Expect(statusOf(c)).To(Equal(before))
	}
})

var _ = It("NewConn and NewConnFD reject nil, a nil pointer, a Conn created as a struct literal, and an invalid descriptor", func() {
	for _, none := range []net.Conn{nil, (*net.UnixConn)(nil), (*scm.Conn)(nil), (*tls.Conn)(nil), (*wraps)(nil), &scm.Conn{}} {
		Expect(Second(scm.NewConn(none))).To(opFails("conn", os.ErrInvalid), "%T", none)
	}
	Expect(Second(scm.NewConn(new(net.UnixConn)))).To(opFails("conn", unix.EINVAL))
	for _, fd := range []int{-1, math.MinInt} {
		Expect(Second(scm.NewConnFD(fd))).To(opFails("conn", unix.EBADF))
	}
})

var _ = It("NewConn does not unwrap a connection that has a HandshakeContext method", func() {
	a, b := pair("unix")
	plain := tls.Client(a.UnixConn, &tls.Config{})
	for _, c := range []net.Conn{
		plain, tls.Client(a, &tls.Config{}), embedsTLS{plain}, &embedsTLS{plain}, wrapper{nil, plain},
		wrapper{nil, wrapper{nil, embedsTLS{plain}}}, ownTLS{a}, wrapper{nil, ownTLS{a}},
	} {
		Expect(Second(scm.NewConn(c))).To(And(opFails("conn", scm.ErrNotUnix), MatchError(ContainSubstring("bypass the encryption"))), "%T", c)
	}
	hasNothing(b)
})

var _ = It("NewConn rejects a connection without a Unix socket, and returns an error if NetConn methods form a cycle", func() {
	a, _ := pair("unix")
	near, _ := tcpPair()
	one, other := net.Pipe()
	closeLater(one)
	closeLater(other)
	itself, loop := &wraps{}, &wraps{}
	itself.inner = func() net.Conn { return itself }
	loop.inner = func() net.Conn { return wrapper{nil, loop} }
	for _, c := range []struct {
		conn net.Conn
		text string
	}{
		{near, "*net.TCPConn has no NetConn method"},
		{one, "*net.pipe has no NetConn method"},
		{wrapper{nil, near}, "*net.TCPConn has no NetConn method"},
		{embedsUnix{a.UnixConn}, "scm_test.embedsUnix has no NetConn method"},
		{wrapper{a, nil}, "NetConn of scm_test.wrapper returned nil"},
		{wrapper{a, (*net.UnixConn)(nil)}, "NetConn of scm_test.wrapper returned nil"},
		{embedsPointer{}, "NetConn of scm_test.embedsPointer returned nil"},
		{embedsNil{nil, near}, "*net.TCPConn has no NetConn method"},
		{&embedsValue{}, "NetConn of *scm_test.embedsValue returned nil"},
		{itself, "unwrapped 64 times and still found a *scm_test.wraps: its NetConn methods may form a cycle"},
		{loop, "unwrapped 64 times and still found a *scm_test.wraps: its NetConn methods may form a cycle"},
	} {
		Expect(Second(scm.NewConn(c.conn))).To(And(opFails("conn", scm.ErrNotUnix), MatchError(ContainSubstring(c.text))))
	}
})

var _ = It("NetConn returns the *net.UnixConn of a Conn, or nil as LocalAddr if it has none", func() {
	a, _ := pair("unix")
	Expect(a.NetConn()).To(BeIdenticalTo(a.UnixConn))
	for _, c := range []*scm.Conn{nil, {}} {
		Expect(c.NetConn()).To(BeNil())
		Expect(c.LocalAddr()).To(BeNil())
	}
})

var _ = It("NewConnFD and NewConnFile leave O_NONBLOCK clear if they fail", func() {
	CannotEmulate("the emulator has no seccomp filters")
	if RunChild(ChildCommand("newconn-blocking")) != "" {
		Skip("this architecture sets socket options with socketcall(2)")
	}
})

var _ = Child("newconn-blocking", func([]string) {
	runtime.LockOSThread()
	p := ok(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	blocking := os.NewFile(uintptr(p[0]), "blocking")
	check := func(config scm.Config, want error) {
		GinkgoHelper()
		for _, on := range []bool{false, true} {
			Expect(scm.SetNonblock(blocking, on)).To(Succeed())
			Expect(Second(config.NewConnFD(p[0]))).To(opFails("conn", want))
			Expect(Second(config.NewConnFile(blocking))).To(opFails("conn", want))
			Expect(scm.Nonblock(blocking)).To(Equal(on))
		}
	}
	check(scm.Config{Expect: &scm.Expect{Min: 2, Max: 1}}, unix.EINVAL)
	// as before Linux 6.16
	Expect(deny(unix.SYS_SETSOCKOPT, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOPROTOOPT))).To(Succeed())
	if scm.PassRights(p[0], true) == nil {
		fmt.Println("another system call")
		return
	}
	check(scm.Config{NoFiles: true}, errors.ErrUnsupported)
})

var _ = It("NewConnFD leaves the descriptor open for the caller to close if the descriptor table is full", func() {
	RunChild(ChildCommand("newconn-nofile"))
})

var _ = Child("newconn-nofile", func([]string) {
	p := ok(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	before := fdtest.Take()
	for free := range 3 {
		withFree(free, func() {
			Expect(Third(scm.Pair("unix"))).To(opFails("pair", unix.EMFILE))
			if free < 2 { // one duplicate for package os, and one for package net
				Expect(Second(scm.NewConnFD(p[0]))).To(opFails("conn", unix.EMFILE))
			}
		})
	}
	Expect(before.NewSince()).To(BeEmpty())
	Expect(fdtest.IsOpen(p[0])).To(BeTrue())
	Expect(fcntl(p[0], unix.F_GETFL, 0) & unix.O_NONBLOCK).To(BeZero())
	c := ok(scm.NewConnFD(p[0]))
	Expect(c.Close()).To(Succeed())
})

// readsWithContext is ReadFiles of a Conn from WithContext.
func readsWithContext(c *scm.Conn) error {
	return receiving["ReadFiles"](c.WithContext(context.Background()))
}

// checked are the calls to which Expect.Min applies on every network: each receives at most one descriptor.
var checked = map[string]func(c *scm.Conn) error{
	"ReadFiles":    receiving["ReadFiles"],
	"ReadBuffers":  func(c *scm.Conn) error { return Third(c.ReadBuffers([][]byte{make([]byte, 1)}, 1)) },
	"ReadFDs":      receiving["ReadFDs"],
	"RecvFile":     receiving["RecvFile"],
	"RecvConn":     receiving["RecvConn"],
	"RecvListener": receiving["RecvListener"],
}

var _ = DescribeTableSubtree("on", func(network string) {
	isPacket := network != "unix"

	// recv receives with Recv, and returns the message. capacity is the length of its FDs, which are -7.
	recv := func(c *scm.Conn, capacity, flags int) (m scm.Message, payload string, err error) {
		m = scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: slices.Repeat([]int{-7}, capacity)}
		err = c.Recv(&m, flags)
		return m, string(m.Buffers[0][:min(m.N, 8)]), err
	}

	It("Config.Expect applies to every receive, which closes the descriptors that do not match", func() {
		calls := maps.Clone(checked)
		calls["Recv"] = func(c *scm.Conn) error { return Third(recv(c, 1, 0)) }
		calls["WithContext"] = readsWithContext
		for _, keep := range []bool{false, true} {
			step("KeepTruncated: ", keep)
			a, b := pairWith(scm.Config{Expect: &scm.Expect{Max: 1, Family: unix.AF_INET}, KeepTruncated: keep}, network)
			for name, receive := range calls {
				r, w := pipe()
				Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
				Expect(w.Close()).To(Succeed())
				before := fdtest.Take()
				failed := errorOf[*scm.ExpectError](receive(b))
				Expect(failed).To(MatchError("scm: wanted an IPv4 socket, got a pipe (write end)"), name)
				Expect(before.NewSince()).To(BeEmpty(), name)
				noWriterIsLeft(r)
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

	It("Config.Expect.Min applies to ReadFiles, ReadBuffers, ReadFDs, RecvFile, RecvConn and RecvListener", func() {
		a, b := pairWith(scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}}, network)
		for name, receive := range checked {
			Expect(a.Write([]byte("x"))).To(Equal(1))
			if slices.Contains([]string{"RecvFile", "RecvConn", "RecvListener"}, name) {
				Expect(receive(b)).To(opFails("read", scm.ErrNoFile), name)
			} else {
				Expect(errorOf[*scm.ExpectError](receive(b))).To(MatchError("scm: wanted exactly 1 descriptor, got no descriptor"), name)
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
		for name, receive := range checked {
			Expect(receive(b)).To(impossible, name)
		}
		if isPacket {
			Expect(receiving["Recv"](b)).To(impossible)
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
			Expect(errorOf[*scm.ExpectError](receiving["ReadFDs"](b)).Got).To(Equal("no descriptor"))
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
					for name, receive := range checked {
						Expect(receive(b)).To(BeIdenticalTo(io.EOF), name)
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
		calls := maps.Clone(receiving)
		calls["Recv"] = func(c *scm.Conn) error { // its payload arrives
			return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}, 0)
		}
		calls["WithContext"] = readsWithContext
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
			Expect(errorOf[*scm.ExpectError](err)).To(MatchError("scm: wanted no descriptor, got 1 descriptor"), name)
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
