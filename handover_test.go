//go:build linux

package scm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("a hand-over", func(network string) {
	ctx := context.Background()

	It("of a Unix connection gives a Conn", func() {
		a, b := pair(network)
		for _, kind := range []string{"unix", "unixgram", "unixpacket"} {
			near, far := pair(kind)
			Expect(a.SendConn(ctx, near)).To(Succeed())
			Expect(near.Close()).To(Succeed())
			got, err := b.RecvConn(ctx)
			Expect(err).NotTo(HaveOccurred())
			closing(got.(*scm.Conn))
			Expect(got.LocalAddr().Network()).To(Equal(kind))
			Expect(got.Write([]byte("still here"))).To(Equal(10))
			receives(far, "still here")
		}
	})

	It("of a TCP connection gives one with deadlines and names", func() {
		keepsNumbers()
		a, b := pair(network)
		near, far := tcpPair()
		Expect(a.SendConn(ctx, near.(syscall.Conn))).To(Succeed())
		Expect(near.Close()).To(Succeed())
		got, err := b.RecvConn(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = got.Close() })
		Expect(got.LocalAddr()).To(Equal(far.RemoteAddr()))
		Expect(got.RemoteAddr()).To(Equal(far.LocalAddr()))
		Expect(got.Write([]byte("still here"))).To(Equal(10))
		Expect(io.ReadFull(far, make([]byte, 10))).To(Equal(10))

		Expect(got.SetReadDeadline(time.Now())).To(Succeed())
		Expect(Second(got.Read(make([]byte, 8)))).To(opFails("read", os.ErrDeadlineExceeded))
		Expect(got.SetReadDeadline(time.Time{})).To(Succeed())
		long := bytes.Repeat([]byte("long"), 1<<20)
		sends := goes(func() {
			Expect(far.Write(long)).To(Equal(len(long)))
			Expect(far.(*net.TCPConn).CloseWrite()).To(Succeed())
		})
		Expect(io.ReadAll(got)).To(Equal(long))
		sends()
		sends = goes(func() {
			Expect(got.Write(long)).To(Equal(len(long)))
			Expect(got.(interface{ CloseWrite() error }).CloseWrite()).To(Succeed())
		})
		Expect(io.ReadAll(far)).To(Equal(long))
		sends()
		Expect(got.Close()).To(Succeed())
		Expect(Second(got.Read(make([]byte, 8)))).To(opFails("read", net.ErrClosed))
		Expect(got.LocalAddr()).To(Equal(far.RemoteAddr()))
	})

	It("of a TCP connection gives the zero address where its end comes before the question", func() {
		a, b := pair(network)
		for _, end := range []func(got net.Conn, far *net.TCPConn){
			func(got net.Conn, far *net.TCPConn) {
				local := far.RemoteAddr()
				Expect(far.SetLinger(0)).To(Succeed())
				Expect(far.Close()).To(Succeed())
				Expect(Second(got.Read(make([]byte, 1)))).To(opFails("read", unix.ECONNRESET))
				Expect(got.LocalAddr()).To(Equal(local))
			},
			func(got net.Conn, far *net.TCPConn) {
				Expect(got.Close()).To(Succeed())
				Expect(got.LocalAddr()).To(Equal(&net.TCPAddr{}))
			},
		} {
			near, far := tcpPair()
			Expect(a.SendConn(ctx, near.(syscall.Conn))).To(Succeed())
			got, err := b.RecvConn(ctx)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() { _ = got.Close() })
			end(got, far.(*net.TCPConn))
			Expect(got.RemoteAddr()).To(Equal(&net.TCPAddr{}))
		}
	})

	It("of a UDP socket keeps datagrams apart, and of one of another family fails", func() {
		keepsNumbers()
		a, b := pair(network)
		far, err := net.ListenPacket("udp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(far.Close)
		near, err := net.Dial("udp", far.LocalAddr().String())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(near.Close)
		Expect(a.SendConn(ctx, near.(syscall.Conn))).To(Succeed())
		got, err := b.RecvConn(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(got.Close)
		Expect(got.LocalAddr()).To(Equal(near.LocalAddr()))
		Expect(got.Write(nil)).To(BeZero())
		Expect(got.Write([]byte("two"))).To(Equal(3))
		p := make([]byte, 8)
		for _, want := range []int{0, 3} {
			n, from, err := far.ReadFrom(p)
			Expect(err).NotTo(HaveOccurred())
			Expect(n).To(Equal(want))
			Expect(far.WriteTo(p[:n], from)).To(Equal(n))
			Expect(got.Read(p)).To(Equal(n))
		}

		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			Skip("there is no netlink socket here: " + err.Error())
		}
		DeferCleanup(unix.Close, fd)
		Expect(a.SendFile("x", asFile(fd))).To(Succeed())
		before := fdtest.Take()
		Expect(Second(b.RecvConn(ctx))).To(opFails("read", unix.EPROTONOSUPPORT))
		Expect(before.NewSince()).To(BeEmpty())
	})

	// Linux leaves its own 512 (ERESTARTSYS) in the socket then, which the next call on it returns.
	It("of an Internet socket goes on after a batch of the sender that a signal ended", func() {
		a, b := pair(network)
		for _, pair := range []func() (near, far net.Conn){tcpPair, udpPair} {
			near, far := pair()
			Expect(a.SendConn(ctx, near.(syscall.Conn))).To(Succeed())
			got, err := b.RecvConn(ctx)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() { _ = got.Close() })
			file, err := near.(interface{ File() (*os.File, error) }).File()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() { _ = file.Close() })
			sender := int(file.Fd())
			p := make([]byte, 8)
			for _, next := range []func(){
				func() {
					reads := goes(func() { Expect(got.Read(p)).To(Equal(1)) })
					Eventually(func() int16 { return pollErrors(sender) }).WithTimeout(time.Minute).Should(BeZero())
					Expect(far.Write([]byte("y"))).To(Equal(1))
					reads()
				},
				func() {
					Expect(got.Write([]byte("z"))).To(Equal(1))
					Expect(far.Read(p)).To(Equal(1))
				},
			} {
				Expect(far.Write([]byte("x"))).To(Equal(1))
				ms := []scm.Message{{Buffers: [][]byte{make([]byte, 1)}}, {Buffers: [][]byte{make([]byte, 1)}}}
				Expect(unix.SetNonblock(sender, false)).To(Succeed())
				interrupted(func() {
					n, err := scm.RecvBatch(sender, ms, 0)
					for errors.Is(err, unix.EINTR) { // the byte has not arrived yet
						n, err = scm.RecvBatch(sender, ms, 0)
					}
					Expect(n, err).To(Equal(1))
				})
				Expect(unix.SetNonblock(sender, true)).To(Succeed())
				Expect(pollErrors(sender)).To(BeEquivalentTo(unix.POLLERR))
				next()
			}
		}
	})

	It("is one 0 byte and one descriptor, and any byte is taken", func() {
		a, b := pair(network)
		Expect(a.SendConn(ctx, a)).To(Succeed())
		p := make([]byte, 8)
		n, files, err := b.ReadFiles(p, 8)
		Expect(err).NotTo(HaveOccurred())
		Expect(p[:n]).To(Equal([]byte{0}))
		Expect(lentAll(files)).To(HaveLen(1))
		Expect(a.SendFile(" ", a)).To(Succeed())
		got, err := b.RecvConn(ctx)
		Expect(err).NotTo(HaveOccurred())
		closing(got.(*scm.Conn))
	})

	It("of a listener lets the receiver accept, and the socket file survives", func() {
		a, b := pair(network)
		path := filepath.Join(GinkgoT().TempDir(), "s")
		l, err := scm.Listen(ctx, "unix", path)
		Expect(err).NotTo(HaveOccurred())
		waiting, err := scm.Dial(ctx, "unix", path) // in the queue already
		Expect(err).NotTo(HaveOccurred())
		closing(waiting)
		Expect(a.SendListener(ctx, l)).To(Succeed())
		Expect(l.Close()).To(Succeed())
		got, err := b.RecvListener(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = got.Close() })
		Expect(got.Addr()).To(Equal(&net.UnixAddr{Name: path, Net: "unix"}))
		late, err := scm.Dial(ctx, "unix", path)
		Expect(err).NotTo(HaveOccurred())
		closing(late)
		for _, client := range []*scm.Conn{waiting, late} {
			c, err := got.Accept()
			Expect(err).NotTo(HaveOccurred())
			closing(c.(*scm.Conn))
			Expect(c.Write([]byte("hello"))).To(Equal(5))
			receives(client, "hello")
		}
		Expect(got.Close()).To(Succeed())
		Expect(path).To(BeAnExistingFile(), "the receiver did not make it")
	})

	It("of a listener that is then made to block holds up nobody's Accept and Close", func() {
		a, b := pair(network)
		l, err := scm.Listen(ctx, "unix", filepath.Join(GinkgoT().TempDir(), "s"))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = l.Close() })
		Expect(a.SendListener(ctx, l)).To(Succeed())
		got, err := b.RecvListener(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = got.Close() })
		for _, l := range []net.Listener{got, l} {
			Expect(unix.SetNonblock(NumberOf(l.(syscall.Conn)), false)).To(Succeed())
			accepts := goes(func() { Expect(Second(l.Accept())).To(opFails("accept", net.ErrClosed)) })
			waitsIn("AcceptConn", 1)
			Expect(l.Close()).To(Succeed())
			accepts()
		}
	})

	It("of a TCP listener leaves out connections that their clients have reset", func() {
		a, b := pair(network)
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = tcp.Close() })
		Expect(a.SendListener(ctx, tcp.(*net.TCPListener))).To(Succeed())
		got, err := b.RecvListener(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = got.Close() })
		reset, err := net.Dial("tcp", tcp.Addr().String())
		Expect(err).NotTo(HaveOccurred())
		Expect(reset.(*net.TCPConn).SetLinger(0)).To(Succeed())
		Expect(reset.Close()).To(Succeed())
		client, err := net.Dial("tcp", tcp.Addr().String())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = client.Close() })
		c, err := got.Accept()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = c.Close() })
		Expect(c.RemoteAddr()).To(Equal(client.LocalAddr()))
	})

	It("works where the system does not say which sockets listen", func() {
		CannotEmulate(fdtest.HostCalls)
		RunChild(ChildCommand("no-acceptconn", network))
	})

	It("of net's listeners too", func() {
		keepsNumbers()
		a, b := pair(network)
		path := filepath.Join(GinkgoT().TempDir(), "s")
		unixListener, err := net.Listen("unix", path)
		Expect(err).NotTo(HaveOccurred())
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		for _, l := range []net.Listener{unixListener, tcp} {
			Expect(a.SendListener(ctx, l.(syscall.Conn))).To(Succeed())
			Expect(l.Close()).To(Succeed())
			got, err := b.RecvListener(ctx)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(got.Close)
			Expect(got.Addr()).To(Equal(l.Addr()))
			c, err := net.Dial(l.Addr().Network(), l.Addr().String())
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(c.Close)
			far, err := got.Accept()
			Expect(err).NotTo(HaveOccurred())
			Expect(far.Close()).To(Succeed())
		}
		Expect(path).To(BeAnExistingFile())
	})

	It("of what is closed is not the error of a closed Conn", func() {
		keepsNumbers()
		a, b := pair(network)
		conn, _ := pair(network)
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		near, _ := tcpPair()
		file, _ := pipe()
		for name, closed := range map[string]interface {
			syscall.Conn
			io.Closer
		}{
			"a Conn":            conn,
			"a Listener":        mustListen(scm.Config{}, "unix", filepath.Join(GinkgoT().TempDir(), "s")),
			"a net.TCPListener": tcp.(*net.TCPListener),
			"a net.TCPConn":     near.(*net.TCPConn),
			"an os.File":        file,
		} {
			Expect(closed.Close()).To(Succeed())
			for call, err := range map[string]error{
				"SendConn":     a.SendConn(ctx, closed),
				"SendListener": a.SendListener(ctx, closed),
				"SendFile":     a.SendFile("name", closed),
			} {
				Expect(err).To(opFails("write", os.ErrClosed), "%s of %s", call, name)
				Expect(err).NotTo(MatchError(net.ErrClosed), "%s of %s: the Conn is open", call, name)
			}
		}
		Expect(a.Write([]byte("after"))).To(Equal(5))
		receives(b, "after")
		Expect(a.Close()).To(Succeed())
		Expect(a.SendConn(ctx, conn)).To(opFails("write", net.ErrClosed))
	})

	It("that fails leaves the socket file to whoever made it", func() {
		a, b := pair(network)
		path := filepath.Join(GinkgoT().TempDir(), "s")
		l, err := scm.Listen(ctx, "unix", path)
		Expect(err).NotTo(HaveOccurred())
		Expect(b.Close()).To(Succeed())
		Expect(a.SendListener(ctx, l)).NotTo(Succeed())
		Expect(l.Close()).To(Succeed())
		Expect(path).NotTo(BeAnExistingFile())
	})

	It("refuses what is something else, and closes it", func() {
		a, b := pair(network)
		near, _ := pair("unix")
		l, err := scm.Listen(ctx, "unix", "@"+UniqueName())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _ = l.Close() })
		f := pipes(1)[0]
		place, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(unix.Close, place)
		blocking, _ := sockets(unix.SOCK_STREAM)
		receiveConn := func() error { return Second(b.RecvConn(ctx)) }
		receiveListener := func() error { return Second(b.RecvListener(ctx)) }
		for _, c := range []struct {
			sent    syscall.Conn
			receive func() error
			want    error
		}{
			{f, receiveConn, unix.ENOTSOCK},
			{f, receiveListener, unix.ENOTSOCK},
			{asFile(place), receiveConn, unix.ENOTSOCK},
			{asFile(place), receiveListener, unix.ENOTSOCK},
			{l, receiveConn, unix.EINVAL},
			{near, receiveListener, unix.EINVAL},
			{asFile(blocking), receiveConn, scm.ErrBlocking},
		} {
			Expect(a.SendFile("x", c.sent)).To(Succeed())
			before, status := fdtest.Take(), statusOf(c.sent)
			Expect(c.receive()).To(opFails("read", c.want))
			Expect(before.NewSince()).To(BeEmpty())
			Expect(statusOf(c.sent)).To(Equal(status))
		}
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(receiveConn()).To(opFails("read", scm.ErrNoFile))
		Expect(a.SendConn(ctx, nil)).To(opFails("write", os.ErrInvalid))
	})

	It("may change the mode of what blocks, if the Conn was made so", func() {
		a, b := pairWith(scm.Config{SetNonblock: true}, network)
		blocking, far := sockets(unix.SOCK_STREAM)
		Expect(a.SendFile("x", asFile(blocking))).To(Succeed())
		got, err := b.RecvConn(ctx)
		Expect(err).NotTo(HaveOccurred())
		closing(got.(*scm.Conn))
		Expect(got.Write([]byte("x"))).To(Equal(1))
		Expect(unix.Read(far, make([]byte, 1))).To(Equal(1))
	})

	It("changes the mode of nothing that it refuses", func() {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			Skip("there is no netlink socket here: " + err.Error())
		}
		DeferCleanup(unix.Close, fd)
		a, b := pairWith(scm.Config{SetNonblock: true}, network)
		Expect(a.SendFile("x", asFile(fd))).To(Succeed())
		Expect(Second(b.RecvConn(ctx))).To(opFails("read", unix.EPROTONOSUPPORT))
		status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(status & unix.O_NONBLOCK).To(BeZero())
	})

	It("ends with its context, and the Conn goes on", func() {
		a, b := pair(network)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		Expect(a.SendConn(cancelled, a)).To(opFails("write", context.Canceled))
		Expect(Second(b.RecvConn(cancelled))).To(opFails("read", context.Canceled))
		Expect(Second(b.RecvListener(cancelled))).To(opFails("read", context.Canceled))

		ending, end := context.WithCancel(ctx)
		wait := goes(func() { Expect(Second(b.RecvConn(ending))).To(opFails("read", context.Canceled)) })
		waitsIn("RecvConn", 1)
		end()
		wait()

		fill(a)
		ending, end = context.WithTimeout(ctx, time.Millisecond)
		defer end()
		Expect(a.SendConn(ending, a)).To(opFails("write", context.DeadlineExceeded))
		drain(b)

		near, _ := pair("unix")
		Expect(a.SendConn(ctx, near)).To(Succeed())
		got, err := b.RecvConn(ctx)
		Expect(err).NotTo(HaveOccurred())
		closing(got.(*scm.Conn))
	})
}, everyNetwork)

// tcpPair makes a TCP connection, for the time of the spec.
// As on macOS, OpenBSD and DragonFly, getsockopt(2) does not know SO_ACCEPTCONN.
var _ = Child("no-acceptconn", func(args []string) {
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	option := 16 + 2*8 // the lower half of the third argument
	if bigEndian() {
		option += 4
	}
	filter := []unix.SockFilter{
		{Code: load, K: 0}, {Code: equal, K: unix.SYS_GETSOCKOPT, Jf: 3},
		{Code: load, K: uint32(option)}, {Code: equal, K: unix.SO_ACCEPTCONN, Jf: 1},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOPROTOOPT)}, {Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	Expect(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).To(Succeed())
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	Expect(errno).To(BeZero())

	ctx := context.Background()
	a, b, err := scm.Pair(args[0])
	Expect(err).NotTo(HaveOccurred())
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	Expect(a.SendListener(ctx, tcp.(*net.TCPListener))).To(Succeed())
	l, err := b.RecvListener(ctx)
	Expect(err).NotTo(HaveOccurred())
	client, err := net.Dial("tcp", tcp.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	Expect(Second(l.Accept())).To(Succeed())
	Expect(a.SendConn(ctx, client.(*net.TCPConn))).To(Succeed())
	Expect(Second(b.RecvConn(ctx))).To(Succeed())
	Expect(a.SendConn(ctx, a)).To(Succeed())
	Expect(Second(b.RecvConn(ctx))).To(Succeed())
})

func tcpPair() (a, b net.Conn) {
	GinkgoHelper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = l.Close() }()
	a, err = net.Dial("tcp", l.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	b, err = l.Accept()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// udpPair makes two UDP sockets that are connected to each other, for the time of the spec.
func udpPair() (a, b net.Conn) {
	GinkgoHelper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	b = l.(*net.UDPConn)
	a, err = net.Dial("udp", l.LocalAddr().String())
	Expect(err).NotTo(HaveOccurred())
	raw, err := b.(syscall.Conn).SyscallConn()
	Expect(err).NotTo(HaveOccurred())
	to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: a.LocalAddr().(*net.UDPAddr).Port}
	Expect(raw.Control(func(fd uintptr) { err = unix.Connect(int(fd), to) })).To(Succeed())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// pollErrors is what poll(2) says of a descriptor of which no event is asked for.
func pollErrors(fd int) int16 {
	GinkgoHelper()
	fds := []unix.PollFd{{Fd: int32(fd)}}
	_, err := unix.Poll(fds, 0)
	for err == unix.EINTR { // a signal of the runtime's
		_, err = unix.Poll(fds, 0)
	}
	Expect(err).NotTo(HaveOccurred())
	return fds[0].Revents
}

// A caller's own syscall.Conn.
type callersConn struct {
	control func(f func(fd uintptr)) error
}

func (c callersConn) SyscallConn() (syscall.RawConn, error) { return c, nil }
func (c callersConn) Control(f func(fd uintptr)) error      { return c.control(f) }
func (callersConn) Read(func(fd uintptr) bool) error        { return nil }
func (callersConn) Write(func(fd uintptr) bool) error       { return nil }

var _ = DescribeTableSubtree("a caller's own connection", func(network string) {
	background := context.Background()
	sends := map[string]func(c *scm.Conn, f syscall.Conn) error{
		"SendConn":     func(c *scm.Conn, f syscall.Conn) error { return c.SendConn(background, f) },
		"SendListener": func(c *scm.Conn, f syscall.Conn) error { return c.SendListener(background, f) },
		"SendFile":     func(c *scm.Conn, f syscall.Conn) error { return c.SendFile("name", f) },
	}
	nothingCame := func(b *scm.Conn) {
		GinkgoHelper()
		m := scm.Message{Buffers: [][]byte{make([]byte, 8)}}
		Expect(b.Recv(&m, unix.MSG_DONTWAIT)).To(opFails("read", unix.EAGAIN))
	}

	It("that gives no descriptor is an error, and nothing is sent", func() {
		a, b := pair(network)
		for name, send := range sends {
			Expect(send(a, callersConn{func(func(uintptr)) error { return nil }})).To(opFails("write", os.ErrInvalid), name)
			nothingCame(b)
			Expect(send(a, callersConn{func(func(uintptr)) error { return unix.EBADF }})).To(opFails("write", os.ErrClosed), name)
			nothingCame(b)
		}
	})

	It("that gives no descriptor is an error of NewConn, Nonblock and SetNonblock too", func() {
		for want, bad := range map[error]callersConn{
			os.ErrInvalid: {func(func(uintptr)) error { return nil }},
			os.ErrClosed:  {func(func(uintptr)) error { return unix.EBADF }},
		} {
			Expect(Second(scm.NewConn(bad))).To(opFails("conn", want))
			Expect(Second(scm.Nonblock(bad))).To(MatchError(want))
			Expect(scm.SetNonblock(bad, true)).To(MatchError(want))
		}
	})

	It("that gives it twice, or an error too, is one Conn of NewConn", func() {
		a, _ := pair(network)
		before := fdtest.Take()
		c, err := scm.NewConn(callersConn{func(f func(uintptr)) error {
			raw, err := a.SyscallConn()
			Expect(err).NotTo(HaveOccurred())
			Expect(raw.Control(func(fd uintptr) { f(fd); f(fd) })).To(Succeed())
			return unix.EBADF
		}})
		Expect(err).NotTo(HaveOccurred())
		Expect(before.NewSince()).To(HaveLen(1))
		Expect(c.Close()).To(Succeed())
		Expect(before.NewSince()).To(BeEmpty())
	})

	It("that gives a number outside int32 is an error, and nothing is sent", func() {
		if strconv.IntSize == 32 {
			Skip("int has 32 bits here: there is no such number")
		}
		huge := uint64(1) << 32 // its lower half is 0, a descriptor that is open
		bad := callersConn{func(f func(uintptr)) error { f(uintptr(huge)); return nil }}
		a, b := pair(network)
		for name, send := range sends {
			Expect(send(a, bad)).To(opFails("write", unix.EBADF), name)
			nothingCame(b)
		}
		Expect(Second(scm.Nonblock(bad))).To(MatchError(unix.EBADF))
		Expect(Second(scm.NewConn(bad))).To(MatchError(unix.EBADF))
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
			nothingCame(b)
		}
	})

	It("that panics, or ends its goroutine, gives the turn back", func() {
		a, b := pair(network)
		ctx, cancel := context.WithCancel(background)
		for name, send := range sends {
			for how, end := range map[string]func(){"panics": func() { panic("mine") }, "ends": runtime.Goexit} {
				bad := callersConn{func(func(uintptr)) error { end(); return nil }}
				for _, send := range []func(){
					func() { _ = send(a, bad) },
					func() { _ = a.SendConn(ctx, bad) },
				} {
					wait := goes(func() {
						defer func() { _ = recover() }()
						send()
						Fail(name + " returned after it " + how)
					})
					wait()
					nothingCame(b)
					Expect(a.Write([]byte("x"))).To(Equal(1))
					receives(b, "x")
				}
			}
		}
		cancel() // of calls that have ended
		Expect(a.Write([]byte("x"))).To(Equal(1))
		receives(b, "x")
	})
}, everyNetwork)
