//go:build linux

package wire_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// manager returns a datagram socket that is bound to the name, and sets NOTIFY_SOCKET to the name.
func (f *fixture) manager(name string) wire.FD {
	GinkgoHelper()
	sock := ok(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0))
	f.Own(sock)
	setTimeouts(wire.FD(sock))
	Expect(unix.Bind(sock, &unix.SockaddrUnix{Name: name})).To(Succeed())
	GinkgoT().Setenv("NOTIFY_SOCKET", name)
	return wire.FD(sock)
}

// barrier receives a barrier, and returns its descriptor.
func (f *fixture) barrier(manager wire.Socket) int {
	GinkgoHelper()
	state, fds := f.recv(wire.Notify, manager)
	Expect(state).To(Equal("BARRIER=1"))
	Expect(fds).To(HaveLen(1))
	return fds[0]
}

var _ = It("NotifyStore and NotifyRemove ask the service manager to store and remove descriptors", func() {
	for _, name := range []string{filepath.Join(GinkgoT().TempDir(), "notify"), AbstractName()} {
		By("the manager's socket is " + name)
		f := connect("unix")
		manager := f.manager(name)
		sock := ok(wire.DialNotify())
		f.owns(int(sock))
		sent := f.files(2)

		Expect(wire.NotifyStore(sock, "foo", sent...)).To(Succeed())
		Expect(f.from(wire.Notify, manager, sent...)).To(Equal("FDSTORE=1\nFDNAME=foo"))

		Expect(wire.NotifyRemove(sock, "foo")).To(Succeed())
		Expect(f.from(wire.Notify, manager)).To(Equal("FDSTOREREMOVE=1\nFDNAME=foo"))
	}
})

var _ = It("NotifyStoreFiles stores a listener without making it blocking", func() {
	f := connect("unixgram")
	l := ok(net.Listen("tcp", "127.0.0.1:0")).(*net.TCPListener)
	DeferCleanup(l.Close)
	file := ok(l.File())
	Expect(wire.NotifyStoreFiles(f.a, "web", file)).To(Succeed())
	state, fds := f.recv(wire.Notify, f.b)
	Expect(state).To(Equal("FDSTORE=1\nFDNAME=web"))
	mode := ok(unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0))
	Expect(mode&unix.O_NONBLOCK).NotTo(BeZero(), "the listener blocks")

	Expect(file.Close()).To(Succeed())
	Expect(wire.NotifyStoreFiles(f.a, "web", file)).To(MatchError(os.ErrClosed))
	Expect(wire.NotifyStoreFiles(f.a, "web", nil)).To(MatchError(os.ErrInvalid))
	Expect(wire.NotifyStoreFiles(f.a, "web")).To(beFormatError(wire.Notify, "cannot send 0 descriptors"))
	Expect(wire.NotifyStoreFiles(f.a, "a:b", os.Stdin)).To(beFormatError(wire.Notify, "name "))
	isEmpty(f.b)
})

var _ = It("NotifyReady and NotifyReloading report the start and a reload", func() {
	f := connect("unixgram")
	Expect(wire.NotifyReady(f.a)).To(Succeed())
	Expect(f.from(wire.Notify, f.b)).To(Equal("READY=1"))

	monotonic := func() (usec int64) {
		var now unix.Timespec
		Expect(unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)).To(Succeed())
		return now.Nano() / 1000
	}
	before := monotonic()
	Expect(wire.NotifyReloading(f.a)).To(Succeed())
	after := monotonic()
	usec, found := strings.CutPrefix(f.from(wire.Notify, f.b), "RELOADING=1\nMONOTONIC_USEC=")
	Expect(found).To(BeTrue())
	Expect(strconv.ParseInt(usec, 10, 64)).To(And(BeNumerically(">=", before), BeNumerically("<=", after)))
})

var _ = It("NotifyMain names the main process by its PID and, if there is one, its pidfd", func() {
	f := connect("unixgram")
	pidfd := f.file("stands for a pidfd")
	Expect(wire.NotifyMain(f.a, 42, pidfd)).To(Succeed())
	Expect(f.from(wire.Notify, f.b, pidfd)).To(Equal("MAINPID=42\nMAINPIDFD=1"))
	Expect(wire.NotifyMain(f.a, 42, -1)).To(Succeed())
	Expect(f.from(wire.Notify, f.b)).To(Equal("MAINPID=42"))

	Expect(wire.NotifyMain(f.a, 0, -1)).To(MatchError(os.ErrInvalid))
	Expect(wire.NotifyMain(f.a, 42, -2)).To(MatchError(os.ErrInvalid))
	isEmpty(f.b)
})

var _ = It("DialNotify creates its socket with SOCK_CLOEXEC", func(ctx SpecContext) {
	CannotEmulate(fdtest.Traced)
	f := connect("unix")
	f.manager(filepath.Join(GinkgoT().TempDir(), "notify"))
	strace := FindStrace()
	record := filepath.Join(GinkgoT().TempDir(), "calls")
	RunChild(ChildUnder(ChildCommand("dial-notify"), strace, "-f", "-o", record, "-e", "trace=socket"))
	Expect(os.ReadFile(record)).To(ContainSubstring("socket(AF_UNIX, SOCK_DGRAM|SOCK_CLOEXEC, 0)"))
}, NodeTimeout(timeout))

var _ = It("FD.Close closes the socket that DialNotify returned", func() {
	f := connect("unix")
	f.manager(filepath.Join(GinkgoT().TempDir(), "notify"))
	sock := ok(wire.DialNotify())
	Expect(sock.Close()).To(Succeed())
	Expect(fdtest.IsOpen(int(sock))).To(BeFalse())
	Expect(wire.FD(-1).Close()).To(Succeed())
})

var _ = It("DialNotify fails if there is no service manager", func() {
	before := fdtest.Take()
	for name, want := range map[string]OmegaMatcher{
		"":             Equal(wire.ErrNoNotifySocket),
		"/missing":     MatchError(unix.ENOENT),
		"vsock:2:1234": beFormatError(wire.Notify, "vsock:2:1234"),
	} {
		GinkgoT().Setenv("NOTIFY_SOCKET", name)
		sock, err := wire.DialNotify()
		Expect(err).To(want, "NOTIFY_SOCKET=%s", name)
		Expect(sock).To(Equal(wire.FD(-1)), "NOTIFY_SOCKET=%s", name)
	}
	Expect(os.Unsetenv("NOTIFY_SOCKET")).To(Succeed())
	Expect(Second(wire.DialNotify())).To(Equal(wire.ErrNoNotifySocket))
	Expect(before.NewSince()).To(BeEmpty())
})

var _ = It("NotifyStore and NotifyRemove reject names that systemd does not accept", func() {
	f := connect("unixgram")
	for _, name := range []string{"", "a:b", "a\nb", "é", strings.Repeat("n", 256)} {
		Expect(wire.NotifyStore(f.a, name, f.file(""))).To(beFormatError(wire.Notify, "name "), "%q", name)
		Expect(wire.NotifyRemove(f.a, name)).To(beFormatError(wire.Notify, "name "), "%q", name)
	}
	Expect(wire.NotifyStore(f.a, "foo")).To(beFormatError(wire.Notify, "cannot send 0 descriptors"))
	isEmpty(f.b)
})

var _ = Child("dial-notify", func([]string) { Expect(ok(wire.DialNotify()).Close()).To(Succeed()) })

var _ = Describe("NotifyBarrier", func() {
	start := func(ctx context.Context, sock wire.Socket) chan error {
		done := make(chan error, 1)
		go func() { done <- wire.NotifyBarrier(ctx, sock) }()
		return done
	}

	It("returns when the manager closes the descriptor sent through an FD or a Conn", func(ctx SpecContext) {
		f := connect("unixgram")
		a, b := conns("unixgram")
		for _, end := range [][2]wire.Socket{{f.a, f.b}, {a, b}} {
			before := fdtest.Take()
			done := start(ctx, end[0])
			fd := f.barrier(end[1])
			Consistently(done, "50ms").ShouldNot(Receive(), "NotifyBarrier on a %T did not wait", end[0])
			f.CloseNow(fd)
			Expect(<-done).NotTo(HaveOccurred(), "NotifyBarrier on a %T", end[0])
			Expect(before.NewSince()).To(BeEmpty())
		}
	}, NodeTimeout(timeout))

	It("returns when its context is done", func(ctx SpecContext) {
		f := connect("unixgram")
		before := fdtest.Take()
		called, cancel := context.WithCancel(ctx)
		done := start(called, f.a)
		fd := f.barrier(f.b)
		cancel()
		Expect(<-done).To(Equal(context.Canceled))
		f.CloseNow(fd)
		Expect(<-start(called, f.a)).To(Equal(context.Canceled))
		isEmpty(f.b)
		Expect(before.NewSince()).To(BeEmpty())
	}, NodeTimeout(timeout))

	It("returns when its context is done while the manager's queue is full", func(ctx SpecContext) {
		f := connect("unixgram")
		manager := f.manager(filepath.Join(GinkgoT().TempDir(), "notify"))
		sock := ok(wire.DialNotify())
		f.owns(int(sock))
		before := fdtest.Take()
		queued := 0
		for ; unix.Sendto(int(sock), []byte("x"), unix.MSG_DONTWAIT, nil) == nil; queued++ {
		}
		called, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		done := start(called, sock)
		Eventually(ctx, done).WithTimeout(timeout / 2).Should(Receive(Equal(context.DeadlineExceeded)))

		// With a context that is never done it waits, whatever the mode and the time limit of the socket are.
		limit := unix.Timeval{Usec: 1000}
		Expect(unix.SetsockoptTimeval(int(sock), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)).To(Succeed())
		Expect(unix.SetNonblock(int(sock), true)).To(Succeed())
		done = start(context.Background(), sock)
		Consistently(done, "50ms").ShouldNot(Receive())
		for range queued {
			Expect(f.from(wire.Notify, manager)).To(Equal("x"))
		}
		f.CloseNow(f.barrier(manager))
		Expect(<-done).NotTo(HaveOccurred())
		Expect(before.NewSince()).To(BeEmpty())
	}, NodeTimeout(timeout))

	It("returns the error if it cannot send the descriptor", func(ctx SpecContext) {
		f := connect("unixgram")
		before := fdtest.Take()
		f.CloseNow(int(f.b))
		Expect(wire.NotifyBarrier(ctx, f.a)).To(MatchError(unix.ECONNREFUSED))
		Expect(before.NewSince()).To(BeEmpty())
	}, NodeTimeout(timeout))
})
