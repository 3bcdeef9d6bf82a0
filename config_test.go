//go:build linux

package scm_test

import (
	"math"
	"net"
	"os"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// sockets makes a pair of numbers, for the time of the spec.
func sockets(typ int) (a, b int) {
	GinkgoHelper()
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	var l fdtest.Ledger
	l.Own(p[0], p[1])
	DeferCleanup(l.Close)
	return p[0], p[1]
}

// asFile makes a file of a duplicate of a number.
func asFile(fd int) *os.File {
	GinkgoHelper()
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	return lent(os.NewFile(uintptr(own), "socket"))
}

var networks = map[int]string{unix.SOCK_STREAM: "unix", unix.SOCK_DGRAM: "unixgram", unix.SOCK_SEQPACKET: "unixpacket"}

var _ = DescribeTableSubtree("NewConn", func(typ int) {
	It("duplicates, and leaves the caller's as it was", func() {
		a, b := sockets(typ | unix.SOCK_NONBLOCK)
		file := asFile(a)
		keepsNumbers()
		before := statusOf(file)
		c, err := scm.NewConn(file)
		Expect(err).NotTo(HaveOccurred())
		closing(c)
		number := NumberOf(c)
		Expect(number).NotTo(Equal(NumberOf(file)))
		Expect(fdtest.Same(number, a)).To(BeTrue())
		Expect(fdtest.CloseOnExec(number)).To(BeTrue())
		Expect(statusOf(c)).To(Equal(before))
		Expect(c.LocalAddr()).To(Equal(&net.UnixAddr{Net: networks[typ]}))
		Expect(c.RemoteAddr()).To(Equal(&net.UnixAddr{Net: networks[typ]}))

		Expect(c.Write([]byte("x"))).To(Equal(1))
		Expect(unix.Read(b, make([]byte, 1))).To(Equal(1))
		Expect(c.Close()).To(Succeed())
		Expect(file.Write([]byte("y"))).To(Equal(1))
		Expect(unix.Read(b, make([]byte, 1))).To(Equal(1))
		Expect(statusOf(file)).To(Equal(before))
	})

	It("takes a number over", func() {
		a, _ := sockets(typ | unix.SOCK_NONBLOCK)
		keepsNumbers()
		inherited, err := unix.Dup(a)
		Expect(err).NotTo(HaveOccurred())
		c, err := scm.NewConnFD(inherited)
		Expect(err).NotTo(HaveOccurred())
		closing(c)
		Expect(fdtest.IsOpen(inherited)).To(BeFalse())
		Expect(fdtest.Same(NumberOf(c), a)).To(BeTrue())
		Expect(fdtest.CloseOnExec(NumberOf(c))).To(BeTrue())
	})

	It("refuses a socket that blocks, and leaves it so", func() {
		a, _ := sockets(typ)
		file := asFile(a)
		keepsNumbers()
		before := statusOf(file)
		_, err := scm.NewConn(file)
		Expect(err).To(opFails("conn", scm.ErrBlocking))
		_, err = scm.NewConnFD(a)
		Expect(err).To(opFails("conn", scm.ErrBlocking))
		Expect(fdtest.IsOpen(a)).To(BeTrue(), "the caller keeps it")
		Expect(statusOf(file)).To(Equal(before))
	})

	It("sets O_NONBLOCK by option, on the description that others have too", func() {
		a, _ := sockets(typ)
		file := asFile(a)
		keepsNumbers()
		before := statusOf(file)
		c, err := scm.Config{SetNonblock: true}.NewConn(file)
		Expect(err).NotTo(HaveOccurred())
		closing(c)
		Expect(statusOf(file)).To(Equal(before | unix.O_NONBLOCK))
	})
}, Entry("stream", unix.SOCK_STREAM), Entry("dgram", unix.SOCK_DGRAM), Entry("seqpacket", unix.SOCK_SEQPACKET))

var _ = Describe("NewConn", func() {
	It("refuses what is no Unix socket, and leaves it alone", func() {
		keepsNumbers()
		r, w := pipe()
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(tcp.Close)
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(udp.Close)
		null, err := os.Open("/dev/null")
		Expect(err).NotTo(HaveOccurred())
		place, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		for _, c := range []syscall.Conn{r, w, tcp.(syscall.Conn), udp.(syscall.Conn), lent(null), lent(os.NewFile(uintptr(place), "/"))} {
			_, err := scm.NewConn(c)
			Expect(err).To(opFails("conn", scm.ErrNotUnix))
			before := statusOf(c)
			_, err = scm.Config{SetNonblock: true, NoFiles: true}.NewConnFD(NumberOf(c))
			Expect(err).To(opFails("conn", scm.ErrNotUnix))
			Expect(statusOf(c)).To(Equal(before))
		}
	})

	It("refuses what is nothing", func() {
		keepsNumbers()
		r, _ := pipe()
		Expect(r.Close()).To(Succeed())
		Expect(Second(scm.NewConn(nil))).To(opFails("conn", os.ErrInvalid))
		Expect(Second(scm.NewConn((*os.File)(nil)))).To(opFails("conn", os.ErrInvalid))
		Expect(Second(scm.NewConn(r))).To(opFails("conn", os.ErrClosed))
		Expect(Second(scm.NewConnFD(-1))).To(opFails("conn", unix.EBADF))
		Expect(Second(scm.NewConnFD(math.MinInt))).To(opFails("conn", unix.EBADF))
	})

	It("works on a net.UnixConn, and beside it", func() {
		keepsNumbers()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@" + UniqueName(), Net: "unix"})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(l.Close)
		theirs, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(theirs.Close)
		before := statusOf(theirs)
		ours, err := scm.NewConn(theirs)
		Expect(err).NotTo(HaveOccurred())
		closing(ours)
		Expect(ours.RemoteAddr()).To(Equal(l.Addr()))
		far, err := l.Accept()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(far.Close)
		Expect(ours.Write([]byte("a"))).To(Equal(1))
		Expect(theirs.Write([]byte("b"))).To(Equal(1))
		p := make([]byte, 2)
		Expect(far.Read(p)).To(Equal(2))
		Expect(string(p)).To(Equal("ab"))
		Expect(ours.Close()).To(Succeed())
		Expect(far.Write([]byte("c"))).To(Equal(1))
		Expect(theirs.Read(p)).To(Equal(1))
		Expect(statusOf(theirs)).To(Equal(before))
	})

	It("leaves the number to the caller where the table is full", func() {
		RunChild(ChildCommand("newconn-nofile"))
	})
})

var _ = Child("newconn-nofile", func([]string) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	Expect(err).NotTo(HaveOccurred())
	withFree(0, func() {
		Expect(Second(scm.NewConnFD(p[0]))).To(opFails("conn", unix.EMFILE))
		_, _, err := scm.Pair("unix")
		Expect(err).To(opFails("pair", unix.EMFILE))
	})
	withFree(1, func() {
		_, _, err := scm.Pair("unix")
		Expect(err).To(opFails("pair", unix.EMFILE))
	})
	Expect(fdtest.IsOpen(p[0])).To(BeTrue())
	c, err := scm.NewConnFD(p[0])
	Expect(err).NotTo(HaveOccurred())
	Expect(c.Close()).To(Succeed())
})
