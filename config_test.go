//go:build linux

package scm_test

import (
	"math"
	"net"
	"os"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("NewConn", func(typ int) {
	network := map[int]string{unix.SOCK_STREAM: "unix", unix.SOCK_DGRAM: "unixgram", unix.SOCK_SEQPACKET: "unixpacket"}[typ]

	// netConn is a connection of package net, and its other end.
	netConn := func() (theirs *net.UnixConn, far *scm.Conn) {
		GinkgoHelper()
		keepsNumbers()
		a, b := sockets(typ)
		file := asFile(a)
		defer func() { _ = file.Close() }()
		return closing(ok(net.FileConn(file)).(*net.UnixConn)), closing(ok(scm.NewConnFD(copies(b)[0])))
	}

	It("borrows: nothing is duplicated or changed, and Close and the deadlines are both's", func() {
		for want, end := range map[error]func(theirs *net.UnixConn) error{
			os.ErrDeadlineExceeded: func(theirs *net.UnixConn) error { return theirs.SetReadDeadline(time.Unix(1, 0)) },
			net.ErrClosed:          (*net.UnixConn).Close,
		} {
			theirs, far := netConn()
			before, status := fdtest.Take(), statusOf(theirs)
			ours, err := scm.NewConn(theirs)
			Expect(err).NotTo(HaveOccurred())
			Expect(ours.UnixConn).To(BeIdenticalTo(theirs))
			Expect(before.NewSince()).To(BeEmpty())
			Expect(NumberOf(ours)).To(Equal(NumberOf(theirs)))
			f := pipes(1)[0]
			Expect(ours.WriteFiles([]byte("a"), f)).To(Equal(1))
			receives(far, "a", f)
			Expect(theirs.Write([]byte("b"))).To(Equal(1))
			receives(far, "b")
			Expect(statusOf(theirs)).To(Equal(status))

			wait := goes(func() { Expect(Third(ours.ReadFiles(make([]byte, 1), 1))).To(opFails("read", want)) })
			waitsIn("ReadFiles", 1)
			Expect(end(theirs)).To(Succeed())
			wait()
		}
		theirs, _ := netConn()
		Expect(ok(scm.NewConn(theirs)).Close()).To(Succeed())
		Expect(theirs.Write([]byte("x"))).Error().To(MatchError(net.ErrClosed))
	})

	It("takes a number over, of a socket that blocks too, and sets O_NONBLOCK", func() {
		for _, flags := range []int{0, unix.SOCK_NONBLOCK} {
			a, b := sockets(typ | flags)
			keepsNumbers()
			inherited := ok(unix.Dup(a))
			c := closing(ok(scm.NewConnFD(inherited)))
			Expect(fdtest.IsOpen(inherited)).To(BeFalse())
			Expect(fdtest.Same(NumberOf(c), a)).To(BeTrue())
			Expect(fdtest.CloseOnExec(NumberOf(c))).To(BeTrue())
			Expect(fcntl(a, unix.F_GETFL, 0) & unix.O_NONBLOCK).NotTo(BeZero())
			Expect(c.LocalAddr().Network()).To(Equal(network))
			f := pipes(1)[0]
			Expect(c.WriteFiles([]byte("x"), f)).To(Equal(1))
			received := ok(scm.NewConnFD(copies(b)[0]))
			receives(closing(received), "x", f)
		}
	})
}, everyType)

var _ = Describe("NewConn", func() {
	It("refuses what is no Unix socket, and leaves it alone", func() {
		keepsNumbers()
		r, w := pipe()
		tcp, udp := lent(ok(net.Listen("tcp", "127.0.0.1:0"))), lent(ok(net.ListenPacket("udp", "127.0.0.1:0")))
		null, path := lent(ok(os.Open("/dev/null"))), lent(ok(os.OpenFile("/", unix.O_PATH, 0)))
		for _, c := range []syscall.Conn{r, w, tcp.(*net.TCPListener), udp.(*net.UDPConn), null, path} {
			before := statusOf(c)
			Expect(Second(scm.Config{NoFiles: true}.NewConnFD(NumberOf(c)))).To(opFails("conn", scm.ErrNotUnix))
			Expect(statusOf(c)).To(Equal(before))
		}
	})

	It("refuses what is nothing", func() {
		Expect(Second(scm.NewConn(nil))).To(opFails("conn", os.ErrInvalid))
		Expect(Second(scm.NewConn(new(net.UnixConn)))).To(opFails("conn", unix.EINVAL))
		for _, fd := range []int{-1, math.MinInt} {
			Expect(Second(scm.NewConnFD(fd))).To(opFails("conn", unix.EBADF))
		}
	})

	It("leaves the number to the caller where the table is full", func() {
		RunChild(ChildCommand("newconn-nofile"))
	})
})

var _ = Child("newconn-nofile", func([]string) {
	p := ok(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	before := fdtest.Take()
	for free := range 3 {
		withFree(free, func() {
			_, _, err := scm.Pair("unix")
			Expect(err).To(opFails("pair", unix.EMFILE))
			if free < 2 { // a duplicate for package os, and one of package net's
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
