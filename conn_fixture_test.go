//go:build unix && !aix

package scm_test

import (
	"bytes"
	"errors"
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

// pair makes two connected Conns, and closes them after the spec, which must leave no descriptor open.
func pair(network string) (a, b *scm.Conn) {
	GinkgoHelper()
	return pairWith(scm.Config{}, network)
}

func pairWith(config scm.Config, network string) (a, b *scm.Conn) {
	GinkgoHelper()
	checkNoLeak()
	a, b, err := config.Pair(network)
	Expect(err).NotTo(HaveOccurred())
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

// pipe makes a pipe, and closes both ends after the spec.
func pipe() (r, w *os.File) {
	GinkgoHelper()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
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
		Skip("this kernel does not have " + what + ": " + err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
}
