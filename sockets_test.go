//go:build linux

package scm_test

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("on", func(network string) {
	ctx := context.Background()

	It("RecvConn returns a *net.UnixConn for a Unix socket, and NewConn makes a Conn from it", func() {
		a, b := pair(network)
		for _, kind := range []string{"unix", "unixgram", "unixpacket"} {
			step("a socket of type ", kind)
			near, far := pair(kind)
			Expect(a.SendConn(near)).To(Succeed())
			Expect(near.Close()).To(Succeed())
			got := withDeadline(ok(b.RecvConn()).(*net.UnixConn))
			f := pipes(1)[0]
			Expect(ok(scm.NewConn(got)).WriteFiles([]byte("still here"), f)).To(Equal(10))
			receives(far, "still here", f)
		}
	})

	It("RecvConn returns a *net.TCPConn for a TCP connection, even if the sender uses it in blocking mode, as Python does", func() {
		a, b := pair(network)
		for _, blocks := range []bool{false, true} {
			step("the sender blocks: ", blocks)
			near, far := tcpPair()
			sent := closeLater(ok(near.File()))
			Expect(scm.SetNonblock(sent, !blocks)).To(Succeed())
			Expect(a.SendConn(fdtest.AsSocket(sent))).To(Succeed())
			Expect(sent.Close()).To(Succeed())
			Expect(near.Close()).To(Succeed())
			got := withDeadline(ok(b.RecvConn()).(*net.TCPConn))
			Expect([]net.Addr{got.LocalAddr(), got.RemoteAddr()}).To(Equal([]net.Addr{far.RemoteAddr(), far.LocalAddr()}))
			Expect(fdtest.CloseOnExec(FDOf(got))).To(BeTrue())
			wait := start(func() { Expect(Second(got.Read(make([]byte, 8)))).To(opFails("read", os.ErrDeadlineExceeded)) })
			waitsIn("Read", 1)
			Expect(got.SetReadDeadline(time.Unix(1, 0))).To(Succeed())
			wait()
			Expect(got.Write([]byte("still here"))).To(Equal(10))
			Expect(got.CloseWrite()).To(Succeed())
			Expect(io.ReadAll(far)).To(BeEquivalentTo("still here"))
		}
	})

	It("RecvConn returns a *net.UDPConn for a UDP socket", func() {
		checkNoLeak()
		a, b := pair(network)
		far := closeLater(ok(net.ListenPacket("udp", "127.0.0.1:0")))
		near := closeLater(ok(net.Dial("udp", far.LocalAddr().String())))
		Expect(a.SendConn(near)).To(Succeed())
		got := closeLater(ok(b.RecvConn()).(*net.UDPConn))
		Expect(got.LocalAddr()).To(Equal(near.LocalAddr()))
		Expect(got.Write([]byte("two"))).To(Equal(3))
		n, _, err := far.ReadFrom(make([]byte, 8))
		Expect(n, err).To(Equal(3))
	})

	It("SendConn and SendListener send one zero byte with the descriptor, and the receiver accepts any byte", func() {
		a, b := pair(network)
		near := asFile(FDOf(a))
		Expect(a.SendConn(fdtest.AsSocket(near))).To(Succeed())
		receives(b, "\x00", near)
		Expect(a.SendListener(fdtest.AsSocket(near))).To(Succeed())
		receives(b, "\x00", near)
		Expect(a.SendFile(" ", near)).To(Succeed())
		withDeadline(ok(b.RecvConn()))
		if network != "unix" { // where further bytes stay on the stream
			l := closeLater(ok(net.Listen("tcp", "127.0.0.1:0")))
			Expect(a.SendFile("longer", near)).To(Succeed())
			withDeadline(ok(b.RecvConn()))
			Expect(a.SendFile("longer", asFile(FDOf(l.(*net.TCPListener))))).To(Succeed())
			closeLater(ok(b.RecvListener()))
		}
	})

	It("RecvListener returns a listener that accepts connections, and the socket file remains after the sender closes its own", func() {
		a, b := pair(network)
		path := filepath.Join(GinkgoT().TempDir(), "s")
		listens := map[string]func() net.Listener{
			"Listen":            func() net.Listener { return ok(scm.Listen(ctx, "unix", path)) },
			"net.Listen":        func() net.Listener { return ok(net.Listen("unix", path)) },
			"net.Listen of TCP": func() net.Listener { return ok(net.Listen("tcp", "127.0.0.1:0")) },
		}
		for name, listen := range listens {
			step(name)
			l := closeLater(listen())
			dial := func() net.Conn { return withDeadline(ok(net.Dial(l.Addr().Network(), l.Addr().String()))) }
			waiting := dial() // already in the queue
			Expect(a.SendListener(l)).To(Succeed())
			Expect(l.Close()).To(Succeed())
			got := closeLater(ok(b.RecvListener()))
			if l.Addr().Network() == "tcp" {
				Expect(got).To(BeAssignableToTypeOf(&net.TCPListener{}))
			} else {
				Expect(got).To(BeAssignableToTypeOf(&net.UnixListener{}))
			}
			Expect(got.Addr()).To(Equal(l.Addr()), name)
			for _, client := range []net.Conn{waiting, dial()} {
				Expect(withDeadline(ok(got.Accept())).Write([]byte("hello"))).To(Equal(5))
				Expect(client.Read(make([]byte, 8))).To(Equal(5))
			}
			Expect(got.Close()).To(Succeed())
			if l.Addr().Network() == "unix" {
				Expect(path).To(BeAnExistingFile(), "the receiver did not make the file")
				Expect(os.Remove(path)).To(Succeed())
			}
		}
	})

	It("SendConn and SendListener return os.ErrClosed for a closed socket, and leave the socket file to its owner", func() {
		a, b := pair(network)
		conn, _ := pair(network)
		near, _ := tcpPair()
		path := filepath.Join(GinkgoT().TempDir(), "s")
		l := closeLater(ok(scm.Listen(ctx, "unix", path)))
		file, _ := pipe()
		for name, c := range map[string]struct {
			io.Closer
			send func() error
		}{
			"a Conn":        {conn, func() error { return a.SendConn(conn) }},
			"a net.TCPConn": {near, func() error { return a.SendConn(near) }},
			"a Listener":    {l, func() error { return a.SendListener(l) }},
			"an os.File":    {file, func() error { return a.SendFile("name", file) }},
		} {
			Expect(c.Close()).To(Succeed())
			err := c.send()
			Expect(err).To(opFails("write", os.ErrClosed), name)
			Expect(err).NotTo(MatchError(net.ErrClosed), "%s: the Conn is open", name)
		}
		hasNothing(b)
		l = closeLater(ok(scm.Listen(ctx, "unix", path)))
		Expect(b.Close()).To(Succeed())
		Expect(a.SendListener(l)).NotTo(Succeed())
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("RecvConn and RecvListener close a descriptor of any other kind without changing it", func() {
		a, b := pair(network)
		l := closeLater(ok(scm.Listen(ctx, "unix", AbstractName())))
		connected := asFile(FDOf(a))
		path, file := closeLater(ok(os.OpenFile("/", unix.O_PATH, 0))), closeLater(os.NewFile(uintptr(ok(pipeEnd(0)())), "pipe"))
		for _, c := range []struct {
			sent    syscall.Conn
			receive string
			want    error
			text    string
		}{
			{file, "RecvConn", unix.ENOTSOCK, "the received file is not a socket"},
			{file, "RecvListener", unix.ENOTSOCK, "the received file is not a socket"},
			{path, "RecvConn", unix.ENOTSOCK, "the received file is not a socket"},
			{path, "RecvListener", unix.ENOTSOCK, "the received file is not a socket"},
			{l, "RecvConn", unix.EINVAL, "the received socket is listening: invalid argument"},
			{connected, "RecvListener", unix.EINVAL, "the received socket is not listening: invalid argument"},
		} {
			Expect(a.SendConn(fdtest.AsSocket(c.sent))).To(Succeed())
			before, status := fdtest.Take(), statusOf(c.sent)
			err := receiving[c.receive].one(b)
			Expect(err).To(And(opFails("read", c.want), MatchError(HaveSuffix(": "+c.text))))
			Expect(before.NewSince()).To(BeEmpty())
			Expect(statusOf(c.sent)).To(Equal(status))
		}
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(Second(b.RecvConn())).To(opFails("read", scm.ErrNoFile))

		// NewFile lets these into the runtime's poller.
		for name, open := range map[string]func() (int, error){
			"netlink": socket(unix.AF_NETLINK, unix.SOCK_RAW), "packet": socket(unix.AF_PACKET, unix.SOCK_DGRAM),
		} {
			fd, err := open()
			if err != nil {
				GinkgoWriter.Printf("skipped: cannot make a %s socket: %v\n", name, err)
				continue
			}
			sent := closeLater(os.NewFile(uintptr(fd), name))
			Expect(a.SendConn(fdtest.AsSocket(sent))).To(Succeed())
			before := fdtest.Take()
			Expect(Second(b.RecvConn())).To(And(opFails("read", unix.EPROTONOSUPPORT),
				MatchError(HaveSuffix("package net does not support the address family of the received socket: use RecvFile"))))
			Expect(before.NewSince()).To(BeEmpty())
			Expect(statusOf(sent) & unix.O_NONBLOCK).To(BeZero())
		}
	})
}, everyNetwork)

// callersConn is a syscall.Conn of the caller's program.
type callersConn struct {
	control func(f func(fd uintptr)) error
}

func (c callersConn) SyscallConn() (syscall.RawConn, error) { return c, nil }
func (c callersConn) Control(f func(fd uintptr)) error      { return c.control(f) }
func (callersConn) Read(func(fd uintptr) bool) error        { return nil }
func (callersConn) Write(func(fd uintptr) bool) error       { return nil }

var _ = DescribeTableSubtree("on", func(network string) {
	sends := maps.Clone(sending)
	maps.DeleteFunc(sends, func(_ string, call sendCall) bool { return call.sends != oneSocket })

	It("SendConn and SendListener send nothing if Control provides no descriptor", func() {
		a, b := pair(network)
		huge := uint64(1) << 32 // its lower half is 0, a descriptor that is open
		for want, control := range map[error]func(f func(uintptr)) error{
			os.ErrInvalid: func(func(uintptr)) error { return nil },
			os.ErrClosed:  func(func(uintptr)) error { return unix.EBADF },
			unix.EBADF:    func(f func(uintptr)) error { f(uintptr(huge)); return nil },
		} {
			if want == unix.EBADF && strconv.IntSize == 32 {
				continue // an int cannot hold the value
			}
			bad := callersConn{control}
			for name, call := range sends {
				Expect(call.send(a, bad)).To(opFails("write", want), name)
				hasNothing(b)
			}
			Expect(Second(scm.Nonblock(bad))).To(MatchError(want))
			Expect(scm.SetNonblock(bad, true)).To(MatchError(want))
		}
		for name, call := range sends {
			Expect(call.send(a, withoutRaw{})).To(opFails("write", os.ErrInvalid), name)
		}
		hasNothing(b)
	})

	It("SendConn, SendListener, Nonblock and SetNonblock return os.ErrInvalid for nil and for values created as struct literals", func() {
		a, b := pair(network)
		for _, none := range []syscall.Conn{
			nil, withoutRaw{}, (*os.File)(nil), (*callersConn)(nil),
			(*net.TCPConn)(nil), (*net.UDPConn)(nil), (*net.IPConn)(nil), (*net.UnixConn)(nil),
			(*net.TCPListener)(nil), (*net.UnixListener)(nil),
			(*scm.Conn)(nil), &scm.Conn{}, (*scm.Listener)(nil), &scm.Listener{},
		} {
			switch none := none.(type) {
			case net.Conn:
				Expect(a.SendConn(none)).To(opFails("write", os.ErrInvalid), "%T", none)
			case net.Listener:
				Expect(a.SendListener(none)).To(opFails("write", os.ErrInvalid), "%T", none)
			}
			Expect(Second(scm.Nonblock(none))).To(MatchError(os.ErrInvalid), "%T", none)
			Expect(scm.SetNonblock(none, true)).To(MatchError(os.ErrInvalid), "%T", none)
		}
		hasNothing(b)
	})

	It("SendConn and SendListener do not unwrap their argument, and report its type if it has no descriptor", func() {
		a, b := pair(network)
		near, _ := tcpPair()
		one, other := net.Pipe()
		closeLater(one)
		closeLater(other)
		for _, conn := range []net.Conn{tls.Client(near, &tls.Config{}), wrapper{near, near}, one} {
			err := a.SendConn(conn)
			Expect(err).To(opFails("write", os.ErrInvalid))
			Expect(err).To(MatchError(ContainSubstring("cannot send a %T: it has no SyscallConn method, and therefore no descriptor", conn)))
		}
		l := tls.NewListener(closeLater(ok(net.Listen("tcp", "127.0.0.1:0"))), &tls.Config{})
		err := a.SendListener(l)
		Expect(err).To(opFails("write", os.ErrInvalid))
		Expect(err).To(MatchError(ContainSubstring("cannot send a %T: it has no SyscallConn method, and therefore no descriptor", l)))
		hasNothing(b)
	})

	It("SendConn and SendListener send the descriptor once if Control provides it twice, or also returns an error", func() {
		a, b := pair(network)
		r, _ := pipe()
		for name, call := range sends {
			Expect(call.send(a, callersConn{func(f func(uintptr)) error {
				f(uintptr(FDOf(r)))
				f(uintptr(FDOf(r)))
				return unix.EBADF
			}})).To(Succeed(), name)
			_, files := both(b.ReadFiles(make([]byte, 8), 8))
			areSame(closeAllLater(files), []*os.File{r})
			hasNothing(b)
		}
	})

	It("SendConn and SendListener leave the Conn usable if Control panics or ends its goroutine", func() {
		a, b := pair(network)
		for name, call := range sends {
			for how, end := range map[string]func(){"panics": func() { panic("mine") }, "ends": runtime.Goexit} {
				wait := start(func() {
					defer func() { _ = recover() }()
					_ = call.send(a, callersConn{func(func(uintptr)) error { end(); return nil }})
					Fail(name + " returned after it " + how)
				})
				wait()
				hasNothing(b)
				Expect(a.Write([]byte("x"))).To(Equal(1))
				receives(b, "x")
			}
		}
	})
}, everyNetwork)
