//go:build linux

package scm_test

import (
	"context"
	"io"
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

var _ = DescribeTableSubtree("a hand-over", func(network string) {
	ctx := context.Background()

	It("of a Unix connection gives a *net.UnixConn, of which NewConn makes a Conn", func() {
		a, b := pair(network)
		for _, kind := range []string{"unix", "unixgram", "unixpacket"} {
			near, far := pair(kind)
			Expect(a.SendConn(near)).To(Succeed())
			Expect(near.Close()).To(Succeed())
			got := closing(ok(b.RecvConn()).(*net.UnixConn))
			f := pipes(1)[0]
			Expect(ok(scm.NewConn(got)).WriteFiles([]byte("still here"), f)).To(Equal(10))
			receives(far, "still here", f)
		}
	})

	It("of a TCP connection gives a *net.TCPConn, also of one that blocks, as Python passes them", func() {
		a, b := pair(network)
		for _, blocks := range []bool{false, true} {
			near, far := tcpPair()
			sent := lent(ok(near.File()))
			Expect(scm.SetNonblock(sent, !blocks)).To(Succeed())
			Expect(a.SendConn(sent)).To(Succeed())
			Expect(sent.Close()).To(Succeed())
			Expect(near.Close()).To(Succeed())
			got := closing(ok(b.RecvConn()).(*net.TCPConn))
			Expect([]net.Addr{got.LocalAddr(), got.RemoteAddr()}).To(Equal([]net.Addr{far.RemoteAddr(), far.LocalAddr()}))
			Expect(fdtest.CloseOnExec(NumberOf(got))).To(BeTrue())
			wait := goes(func() { Expect(Second(got.Read(make([]byte, 8)))).To(opFails("read", os.ErrDeadlineExceeded)) })
			waitsIn("Read", 1)
			Expect(got.SetReadDeadline(time.Unix(1, 0))).To(Succeed())
			wait()
			Expect(got.Write([]byte("still here"))).To(Equal(10))
			Expect(got.CloseWrite()).To(Succeed())
			Expect(io.ReadAll(far)).To(BeEquivalentTo("still here"))
		}
	})

	It("of a UDP socket gives a *net.UDPConn", func() {
		keepsNumbers()
		a, b := pair(network)
		far := lent(ok(net.ListenPacket("udp", "127.0.0.1:0")))
		near := lent(ok(net.Dial("udp", far.LocalAddr().String())))
		Expect(a.SendConn(near.(*net.UDPConn))).To(Succeed())
		got := lent(ok(b.RecvConn()).(*net.UDPConn))
		Expect(got.LocalAddr()).To(Equal(near.LocalAddr()))
		Expect(got.Write([]byte("two"))).To(Equal(3))
		n, _, err := far.ReadFrom(make([]byte, 8))
		Expect(n, err).To(Equal(3))
	})

	It("is one 0 byte and one descriptor, and any byte is taken", func() {
		a, b := pair(network)
		near := asFile(NumberOf(a))
		Expect(a.SendConn(near)).To(Succeed())
		receives(b, "\x00", near)
		Expect(a.SendListener(near)).To(Succeed())
		receives(b, "\x00", near)
		Expect(a.SendFile(" ", near)).To(Succeed())
		closing(ok(b.RecvConn()))
		if network != "unix" { // a stream keeps further bytes
			l := lent(ok(net.Listen("tcp", "127.0.0.1:0")))
			Expect(a.SendFile("longer", near)).To(Succeed())
			closing(ok(b.RecvConn()))
			Expect(a.SendFile("longer", l.(*net.TCPListener))).To(Succeed())
			lent(ok(b.RecvListener()))
		}
	})

	It("of a listener lets the receiver accept, and the socket file survives", func() {
		a, b := pair(network)
		path := filepath.Join(GinkgoT().TempDir(), "s")
		listens := map[string]func() net.Listener{
			"Listen":            func() net.Listener { return ok(scm.Listen(ctx, "unix", path)) },
			"net.Listen":        func() net.Listener { return ok(net.Listen("unix", path)) },
			"net.Listen of TCP": func() net.Listener { return ok(net.Listen("tcp", "127.0.0.1:0")) },
		}
		for name, listen := range listens {
			l := lent(listen())
			dial := func() net.Conn { return closing(ok(net.Dial(l.Addr().Network(), l.Addr().String()))) }
			waiting := dial() // in the queue already
			Expect(a.SendListener(l.(syscall.Conn))).To(Succeed())
			Expect(l.Close()).To(Succeed())
			got := lent(ok(b.RecvListener()))
			if l.Addr().Network() == "tcp" {
				Expect(got).To(BeAssignableToTypeOf(&net.TCPListener{}))
			} else {
				Expect(got).To(BeAssignableToTypeOf(&net.UnixListener{}))
			}
			Expect(got.Addr()).To(Equal(l.Addr()), name)
			for _, client := range []net.Conn{waiting, dial()} {
				Expect(closing(ok(got.Accept())).Write([]byte("hello"))).To(Equal(5))
				Expect(client.Read(make([]byte, 8))).To(Equal(5))
			}
			Expect(got.Close()).To(Succeed())
			if l.Addr().Network() == "unix" {
				Expect(path).To(BeAnExistingFile(), "the receiver did not make it")
				Expect(os.Remove(path)).To(Succeed())
			}
		}
	})

	It("of what is closed is not the error of a closed Conn, and leaves the socket file to whoever made it", func() {
		a, b := pair(network)
		conn, _ := pair(network)
		near, _ := tcpPair()
		file, _ := pipe()
		path := filepath.Join(GinkgoT().TempDir(), "s")
		l := lent(ok(scm.Listen(ctx, "unix", path)))
		for name, closed := range map[string]interface {
			syscall.Conn
			io.Closer
		}{"a Conn": conn, "a Listener": l, "a net.TCPConn": near, "an os.File": file} {
			Expect(closed.Close()).To(Succeed())
			for call, err := range map[string]error{
				"SendConn":     a.SendConn(closed),
				"SendListener": a.SendListener(closed),
				"SendFile":     a.SendFile("name", closed),
			} {
				Expect(err).To(opFails("write", os.ErrClosed), "%s of %s", call, name)
				Expect(err).NotTo(MatchError(net.ErrClosed), "%s of %s: the Conn is open", call, name)
			}
		}
		hasNothing(b)
		l = lent(ok(scm.Listen(ctx, "unix", path)))
		Expect(b.Close()).To(Succeed())
		Expect(a.SendListener(l)).NotTo(Succeed())
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("refuses what is something else, closes it, and changes nothing of it", func() {
		a, b := pair(network)
		l := lent(ok(scm.Listen(ctx, "unix", AbstractName())))
		connected := asFile(NumberOf(a))
		path, file := lent(ok(os.OpenFile("/", unix.O_PATH, 0))), lent(os.NewFile(uintptr(ok(pipeEnd(0)())), "pipe"))
		for _, c := range []struct {
			sent    syscall.Conn
			receive string
			want    error
			text    string
		}{
			{file, "RecvConn", unix.ENOTSOCK, "the received file is no socket"},
			{file, "RecvListener", unix.ENOTSOCK, "the received file is no socket"},
			{path, "RecvConn", unix.ENOTSOCK, "the received file is no socket"},
			{path, "RecvListener", unix.ENOTSOCK, "the received file is no socket"},
			{l, "RecvConn", unix.EINVAL, "the received socket listens: invalid argument"},
			{connected, "RecvListener", unix.EINVAL, "the received socket does not listen: invalid argument"},
		} {
			Expect(a.SendFile("x", c.sent)).To(Succeed())
			before, status := fdtest.Take(), statusOf(c.sent)
			err := receiving[c.receive](b)
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
				GinkgoWriter.Printf("skipped: no %s socket here: %v\n", name, err)
				continue
			}
			sent := lent(os.NewFile(uintptr(fd), name))
			Expect(a.SendConn(sent)).To(Succeed())
			before := fdtest.Take()
			Expect(Second(b.RecvConn())).To(And(opFails("read", unix.EPROTONOSUPPORT),
				MatchError(HaveSuffix("the received socket is of another family than package net has"))))
			Expect(before.NewSince()).To(BeEmpty())
			Expect(statusOf(sent) & unix.O_NONBLOCK).To(BeZero())
		}
	})
}, everyNetwork)

// A caller's own syscall.Conn.
type callersConn struct {
	control func(f func(fd uintptr)) error
}

func (c callersConn) SyscallConn() (syscall.RawConn, error) { return c, nil }
func (c callersConn) Control(f func(fd uintptr)) error      { return c.control(f) }
func (callersConn) Read(func(fd uintptr) bool) error        { return nil }
func (callersConn) Write(func(fd uintptr) bool) error       { return nil }

var _ = DescribeTableSubtree("a caller's own connection", func(network string) {
	sends := map[string]func(c *scm.Conn, f syscall.Conn) error{
		"SendConn":     (*scm.Conn).SendConn,
		"SendListener": (*scm.Conn).SendListener,
		"SendFile":     func(c *scm.Conn, f syscall.Conn) error { return c.SendFile("name", f) },
	}

	It("that gives no descriptor is an error, and nothing is sent", func() {
		a, b := pair(network)
		huge := uint64(1) << 32 // its lower half is 0, a descriptor that is open
		for want, control := range map[error]func(f func(uintptr)) error{
			os.ErrInvalid: func(func(uintptr)) error { return nil },
			os.ErrClosed:  func(func(uintptr)) error { return unix.EBADF },
			unix.EBADF:    func(f func(uintptr)) error { f(uintptr(huge)); return nil },
		} {
			if want == unix.EBADF && strconv.IntSize == 32 {
				continue // there is no such number
			}
			bad := callersConn{control}
			for name, send := range sends {
				Expect(send(a, bad)).To(opFails("write", want), name)
				hasNothing(b)
			}
			Expect(Second(scm.Nonblock(bad))).To(MatchError(want))
			Expect(scm.SetNonblock(bad, true)).To(MatchError(want))
		}
		for _, none := range []syscall.Conn{
			nil, withoutRaw{}, (*os.File)(nil), (*callersConn)(nil),
			(*net.TCPConn)(nil), (*net.UDPConn)(nil), (*net.IPConn)(nil), (*net.UnixConn)(nil),
			(*net.TCPListener)(nil), (*net.UnixListener)(nil),
			(*scm.Conn)(nil), &scm.Conn{}, (*scm.Listener)(nil), &scm.Listener{},
		} {
			for name, send := range sends {
				Expect(send(a, none)).To(opFails("write", os.ErrInvalid), "%s of %T", name, none)
			}
			Expect(Second(scm.Nonblock(none))).To(MatchError(os.ErrInvalid), "%T", none)
			Expect(scm.SetNonblock(none, true)).To(MatchError(os.ErrInvalid), "%T", none)
		}
		hasNothing(b)
	})

	It("that gives it twice, or an error too, sends it once", func() {
		a, b := pair(network)
		r, _ := pipe()
		for name, send := range sends {
			Expect(send(a, callersConn{func(f func(uintptr)) error {
				f(uintptr(NumberOf(r)))
				f(uintptr(NumberOf(r)))
				return unix.EBADF
			}})).To(Succeed(), name)
			_, files, err := b.ReadFiles(make([]byte, 8), 8)
			Expect(err).NotTo(HaveOccurred())
			areSame(lentAll(files), []*os.File{r})
			hasNothing(b)
		}
	})

	It("that panics, or ends its goroutine, lets others send", func() {
		a, b := pair(network)
		for name, send := range sends {
			for how, end := range map[string]func(){"panics": func() { panic("mine") }, "ends": runtime.Goexit} {
				wait := goes(func() {
					defer func() { _ = recover() }()
					_ = send(a, callersConn{func(func(uintptr)) error { end(); return nil }})
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
