//go:build unix && !aix

package scm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var everyType = withoutSeqpacket([]TableEntry{
	Entry("stream sockets,", unix.SOCK_STREAM),
	Entry("datagram sockets,", unix.SOCK_DGRAM),
	Entry("seqpacket sockets,", unix.SOCK_SEQPACKET),
})

// withoutSeqpacket drops the last entry on systems that do not have seqpacket sockets.
func withoutSeqpacket(every []TableEntry) []TableEntry {
	switch runtime.GOOS {
	case "darwin", "solaris", "illumos":
		return every[:2]
	}
	return every
}

// step begins a row or a round of a spec, but not of a child. Ginkgo prints it if the spec fails.
func step(what ...any) { By(fmt.Sprint(what...)) }

// fixture is a connected pair of sockets and the descriptors that the spec owns.
type fixture struct {
	fdtest.Ledger
	a, b int
}

// connect makes a pair of type typ. The sockets do not block, so a receive of nothing is EAGAIN and no spec hangs.
// At the end of the spec it checks that every installed descriptor was returned or closed.
func connect(typ int) *fixture {
	GinkgoHelper()
	f := newFixture(typ)
	DeferCleanup(f.end)
	return f
}

func newFixture(typ int) *fixture {
	GinkgoHelper()
	f := &fixture{}
	f.a, f.b = f.pair(typ)
	for _, sock := range []int{f.a, f.b} {
		Expect(unix.SetNonblock(sock, true)).To(Succeed())
	}
	return f
}

// end closes the descriptors that the spec owns. No other may be left open, and none may be missing.
func (f *fixture) end() {
	GinkgoHelper()
	strays, lost := f.Strays(), f.Lost()
	f.Close()
	Expect(strays).To(BeEmpty(), "open descriptors of a file of this spec that no one owns")
	Expect(lost).To(BeEmpty(), "descriptors of this spec that other code closed")
}

// own returns the descriptor that a call has opened. The spec owns it.
func (f *fixture) own(fd int, err error) int {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	f.Own(fd)
	return fd
}

func (f *fixture) pair(typ int) (a, b int) {
	GinkgoHelper()
	a, b = closedOnExec(func() ([2]int, error) { return unix.Socketpair(unix.AF_UNIX, typ, 0) })
	f.Own(a, b)
	return a, b
}

// closedOnExec makes two close-on-exec descriptors. Not every system can create them as such.
func closedOnExec(create func() ([2]int, error)) (a, b int) {
	GinkgoHelper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	p := ok(create())
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return p[0], p[1]
}

// file returns the reading end of a new pipe.
func (f *fixture) file() int {
	GinkgoHelper()
	r, w := closedOnExec(func() (p [2]int, err error) { return p, unix.Pipe(p[:]) })
	f.Own(r, w)
	return r
}

// files returns n descriptors of different files.
func (f *fixture) files(n int) []int {
	GinkgoHelper()
	fds := make([]int, n)
	for i := range fds {
		fds[i] = f.file()
	}
	return fds
}

// closedFD returns a descriptor that was just closed, and that no other file gets while the spec runs.
func (f *fixture) closedFD() int {
	GinkgoHelper()
	high := ok(unix.FcntlInt(uintptr(f.file()), unix.F_DUPFD_CLOEXEC, 900))
	Expect(unix.Close(high)).To(Succeed())
	return high
}

// receivedSame checks that the received descriptors are new, close-on-exec, and in order refer to the open file
// descriptions that were sent. The spec then owns them.
func (f *fixture) receivedSame(received []int, sent ...int) {
	GinkgoHelper()
	for _, fd := range received {
		Expect(fdtest.IsOpen(fd)).To(BeTrue(), "%d was received and is not open", fd)
		Expect(f.Owns(fd)).To(BeFalse(), "%d was received and is an older descriptor", fd)
		f.Own(fd)
	}
	Expect(received).To(HaveLen(len(sent)), "descriptors received")
	for i, fd := range received {
		Expect(fdtest.Same(fd, sent[i])).To(BeTrue(), "%s was sent and %s received", fdtest.Name(sent[i]), fdtest.Name(fd))
		Expect(fdtest.CloseOnExec(fd)).To(BeTrue(), "%d is not close-on-exec", fd)
	}
}

// needsEmpty skips a spec with empty messages where the Go backend rejects them, because x/sys would add a byte.
func needsEmpty() {
	GinkgoHelper()
	if scm.Backend == "purego" && (runtime.GOOS == "darwin" || runtime.GOOS == "openbsd") {
		Skip("the Go backend rejects empty messages with descriptors on " + runtime.GOOS)
	}
}

// isEmpty checks that a socket has nothing to receive.
func isEmpty(sock int) {
	GinkgoHelper()
	Expect(Second(unix.Read(sock, make([]byte, 1)))).To(MatchError(unix.EAGAIN), "something was sent")
}

// cannotEmulateTwo skips a spec in which ReadFD receives two descriptors. On 64-bit systems both fit into its
// control buffer. On others the kernel drops one.
func cannotEmulateTwo() {
	GinkgoHelper()
	if unix.CmsgSpace(4) == unix.CmsgLen(4) {
		CannotEmulate(fdtest.NotCut)
	}
}

var everyNetwork = withoutSeqpacket([]TableEntry{
	Entry("unix sockets,", "unix"),
	Entry("unixgram sockets,", "unixgram"),
	Entry("unixpacket sockets,", "unixpacket"),
})

// ok returns the result of a call that must succeed.
func ok[T any](v T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return v
}

// both returns the two results of a call that must succeed.
func both[A, B any](a A, b B, err error) (A, B) {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return a, b
}

// pair makes two connected Conns, and closes them after the spec, which must leave no descriptor open.
func pair(network string) (a, b *scm.Conn) {
	GinkgoHelper()
	return pairWith(scm.Config{}, network)
}

func pairWith(config scm.Config, network string) (a, b *scm.Conn) {
	GinkgoHelper()
	checkNoLeak()
	a, b = both(config.Pair(network))
	if runtime.GOOS != "linux" && network == "unixgram" { // the default limits messages to 2 KiB
		Expect(a.SetWriteBuffer(1 << 16)).To(Succeed())
		Expect(b.SetReadBuffer(1 << 16)).To(Succeed())
	}
	return withDeadline(a), withDeadline(b)
}

// checkNoLeak checks at the end of the spec, after its cleanup, that it left no descriptor open.
func checkNoLeak() {
	before := fdtest.Take()
	DeferCleanup(func() {
		Expect(before.NewSince()).To(BeEmpty(), "descriptors left open")
	})
}

// withDeadline gives a connection a deadline, which ends a call that hangs, and closes it after the spec.
func withDeadline[C net.Conn](c C) C {
	GinkgoHelper()
	Expect(c.SetDeadline(time.Now().Add(Hang))).To(Succeed())
	return closeLater(c)
}

// closeLater closes something after the spec.
func closeLater[C io.Closer](c C) C {
	DeferCleanup(func() { _ = c.Close() })
	return c
}

// closeAllLater closes files after the spec.
func closeAllLater(files []*os.File) []*os.File {
	for _, f := range files {
		closeLater(f)
	}
	return files
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		must(f.Close())
	}
}

// pipe makes a pipe, and closes both ends after the spec.
func pipe() (r, w *os.File) {
	GinkgoHelper()
	r, w = both(os.Pipe())
	return closeLater(r), closeLater(w)
}

// pipes returns the read ends of n pipes.
func pipes(n int) []*os.File {
	GinkgoHelper()
	files := make([]*os.File, n)
	for i := range files {
		files[i], _ = pipe()
	}
	return files
}

// sockets makes a pair of sockets, and closes them after the spec.
func sockets(typ int) (a, b int) {
	GinkgoHelper()
	a, b = closedOnExec(func() ([2]int, error) { return unix.Socketpair(unix.AF_UNIX, typ, 0) })
	var l fdtest.Ledger
	l.Own(a, b)
	DeferCleanup(l.Close)
	return a, b
}

// asFile makes a file of a duplicate of fd.
func asFile(fd int) *os.File {
	GinkgoHelper()
	return closeLater(os.NewFile(uintptr(copies(fd)[0]), "socket"))
}

// copies returns new descriptors for the same open file descriptions, as a receive does. The spec does not own
// them.
func copies(fds ...int) []int {
	GinkgoHelper()
	fresh := []int{}
	for _, fd := range fds {
		fresh = append(fresh, fcntl(fd, unix.F_DUPFD_CLOEXEC, 0))
	}
	return fresh
}

// statusOf returns the status flags.
func statusOf(c syscall.Conn) int {
	GinkgoHelper()
	return fcntl(FDOf(c), unix.F_GETFL, 0)
}

// fcntl calls fcntl(2), which must succeed.
func fcntl(fd, cmd, arg int) int {
	GinkgoHelper()
	return ok(unix.FcntlInt(uintptr(fd), cmd, arg))
}

// areSame checks that the received files are new and close-on-exec, and refer in order to the open file descriptions
// that were sent.
func areSame(received, sent []*os.File) {
	GinkgoHelper()
	Expect(received).To(HaveLen(len(sent)))
	for i, f := range received {
		got, want := FDOf(f), FDOf(sent[i])
		Expect(got).NotTo(Equal(want))
		Expect(fdtest.Same(got, want)).To(BeTrue(), "file %d is %s", i, fdtest.Name(got))
		Expect(fdtest.CloseOnExec(got)).To(BeTrue(), "file %d", i)
	}
}

// receives checks that the next message is payload with the files that were sent.
func receives(c *scm.Conn, payload string, sent ...*os.File) {
	GinkgoHelper()
	p := make([]byte, len(payload)+1)
	n, files, err := c.ReadFiles(p, scm.MaxFDs)
	closeAllLater(files)
	Expect(err).NotTo(HaveOccurred())
	Expect(string(p[:n])).To(Equal(payload))
	areSame(files, sent)
}

// hasNothing checks that nothing is waiting on a Conn.
func hasNothing(c *scm.Conn) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, 8)}}
	Expect(c.Recv(&m, unix.MSG_DONTWAIT)).To(opFails("read", unix.EAGAIN), "something was sent")
}

// noWriterIsLeft checks that every descriptor of the write end of r's pipe is closed, including those in flight.
func noWriterIsLeft(r *os.File) {
	GinkgoHelper()
	Expect(r.SetReadDeadline(time.Now().Add(Hang))).To(Succeed())
	Expect(r.Read(make([]byte, 1))).Error().To(MatchError(io.EOF))
}

// opFails matches a net.OpError that wraps target.
func opFails(op string, target any) types.GomegaMatcher {
	return And(
		BeAssignableToTypeOf(&net.OpError{}),
		HaveField("Op", op),
		MatchError(target),
	)
}

// errorOf returns the error of this type that err wraps.
func errorOf[E error](err error) (e E) {
	GinkgoHelper()
	Expect(errors.As(err, &e)).To(BeTrue(), "%v is no %T", err, e)
	return e
}

// start runs f in a goroutine of the spec, and returns a function that waits until f returns.
func start(f func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer GinkgoRecover()
		f()
	}()
	return func() {
		GinkgoHelper()
		select {
		case <-done:
		case <-time.After(2 * Hang):
			Fail("a call hangs")
		}
	}
}

// soon returns the error of a call that must not hang.
func soon(call func() error) (err error) {
	GinkgoHelper()
	start(func() { err = call() })()
	return err
}

// waitsIn waits until n goroutines that called this method are in the runtime's poller, or sleep until they try again.
func waitsIn(method string, n int) {
	GinkgoHelper()
	Eventually(func() int { return waiting(method) }, Hang, time.Millisecond).Should(BeNumerically(">=", n))
}

// waiting returns how many goroutines that called this method are in the runtime's poller, or sleep.
func waiting(method string) (n int) {
	for _, stack := range bytes.Split(Stacks(), []byte("\n\n")) {
		head, calls, _ := bytes.Cut(stack, []byte("\n"))
		waits := bytes.Contains(head, []byte("[IO wait")) || bytes.Contains(head, []byte("[sleep"))
		if waits && bytes.Contains(calls, []byte("."+method+"(")) {
			n++
		}
	}
	return n
}

// fill writes until a call would wait.
func fill(c *scm.Conn) {
	GinkgoHelper()
	fd := FDOf(c)
	for _, size := range []int{1000, 1} {
		for err := error(nil); err == nil; {
			_, err = unix.Write(fd, make([]byte, size))
		}
	}
}

// drain reads until the socket is empty.
func drain(c *scm.Conn) {
	GinkgoHelper()
	fd := FDOf(c)
	for err := error(nil); err == nil; {
		_, err = unix.Read(fd, make([]byte, 1<<16))
	}
}

// tcpPair makes a TCP connection, and closes it after the spec.
func tcpPair() (a, b *net.TCPConn) {
	GinkgoHelper()
	l := ok(net.Listen("tcp", "127.0.0.1:0"))
	defer func() { _ = l.Close() }()
	a = ok(net.Dial("tcp", l.Addr().String())).(*net.TCPConn)
	return withDeadline(a), withDeadline(ok(l.Accept()).(*net.TCPConn))
}

// chdir changes the working directory until the end of the spec.
func chdir(dir string) {
	GinkgoHelper()
	before := ok(os.Getwd())
	Expect(os.Chdir(dir)).To(Succeed())
	DeferCleanup(os.Chdir, before)
}

// supported skips the spec if the kernel does not have the option that a call needs.
func supported(err error, what string) {
	GinkgoHelper()
	if errors.Is(err, errors.ErrUnsupported) {
		Skip("this kernel (" + runtime.GOOS + ") does not have " + what + ": " + err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
}
