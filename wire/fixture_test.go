//go:build unix && !aix

package wire_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/internal/sys"
	"github.com/scm-rights/scm/wire"
)

// timeout is the time after which a hanging call or program is ended. No spec should take that long.
const timeout = Hang

// fixture is a connected pair of blocking sockets, and the descriptors that the spec owns.
type fixture struct {
	fdtest.Ledger
	a, b wire.FD
}

// connect returns a pair of sockets of the type that a format needs. It fails a spec that leaves a descriptor
// open, or that closes one it does not own.
func connect(network string) *fixture {
	GinkgoHelper()
	a, b, err := sys.Pair(network)
	hasType(network, err)
	f := &fixture{a: wire.FD(a), b: wire.FD(b)}
	f.Own(a, b)
	for _, sock := range []wire.FD{f.a, f.b} {
		setTimeouts(sock)
		if runtime.GOOS != "linux" { // the default holds 2 KiB of messages, and 8 KiB of a stream
			for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
				Expect(unix.SetsockoptInt(int(sock), unix.SOL_SOCKET, option, 1<<17)).To(Succeed())
			}
		}
	}
	DeferCleanup(func() {
		strays, lost := f.Strays(), f.Lost()
		f.Close()
		Expect(strays).To(BeEmpty(), "open descriptors of this spec's files that the spec does not own")
		Expect(lost).To(BeEmpty(), "descriptors of this spec that other code closed")
	})
	return f
}

// hasType skips a spec if the system has no Unix sockets of a type, according to the error for a new pair. It
// fails the spec after any other error.
func hasType(network string, err error) {
	GinkgoHelper()
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		Skip("no sockets of type " + network + " on " + runtime.GOOS)
	}
	Expect(err).NotTo(HaveOccurred(), "a pair of sockets of type %s", network)
}

// conns returns a connected pair of Conns, which are closed at the end of the spec.
func conns(network string) (a, b *scm.Conn) {
	GinkgoHelper()
	a, b, err := scm.Pair(network)
	hasType(network, err)
	for _, c := range []*scm.Conn{a, b} {
		DeferCleanup(func() { _ = c.Close() }) // a spec may have closed it
		Expect(c.SetDeadline(time.Now().Add(timeout))).To(Succeed())
	}
	return a, b
}

func setTimeouts(sock wire.FD) {
	GinkgoHelper()
	limit := unix.NsecToTimeval(int64(timeout))
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		Expect(unix.SetsockoptTimeval(int(sock), unix.SOL_SOCKET, option, &limit)).To(Succeed())
	}
}

// file returns the read end of a pipe that contains text. The write end is closed.
func (f *fixture) file(text string) int {
	GinkgoHelper()
	var p [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	Expect(unix.Pipe(p[:])).To(Succeed())
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	f.Own(p[0])
	ok(unix.Write(p[1], []byte(text)))
	Expect(unix.Close(p[1])).To(Succeed())
	return p[0]
}

func (f *fixture) files(n int) []int {
	GinkgoHelper()
	fds := make([]int, n)
	for i := range fds {
		fds[i] = f.file("")
	}
	return fds
}

// owns makes the spec the owner of received descriptors, which must be new and close-on-exec.
func (f *fixture) owns(received ...int) {
	GinkgoHelper()
	for _, fd := range received {
		Expect(fdtest.IsOpen(fd)).To(BeTrue(), "received descriptor %d is not open", fd)
		Expect(f.Owns(fd)).To(BeFalse(), "received descriptor %d was open before", fd)
		Expect(fdtest.CloseOnExec(fd)).To(BeTrue(), "descriptor %d is not close-on-exec", fd)
		f.Own(fd)
	}
}

// takes makes the spec the owner of received descriptors, which must refer to the files that were sent.
func (f *fixture) takes(received []int, sent ...int) {
	GinkgoHelper()
	f.owns(received...)
	Expect(received).To(HaveLen(len(sent)), "descriptors received")
	for i, fd := range received {
		Expect(fdtest.Same(fd, sent[i])).To(BeTrue(), "sent %s, received %s", fdtest.Name(sent[i]), fdtest.Name(fd))
	}
}

// recv receives a message with the given format and returns its text and its descriptors, which the spec owns
// afterwards.
func (f *fixture) recv(format wire.Format, sock wire.Socket) (text string, fds []int) {
	GinkgoHelper()
	text, fds, err := format.Recv(sock)
	Expect(err).NotTo(HaveOccurred())
	f.owns(fds...)
	return text, fds
}

// from is like recv, and checks that the message has the descriptors that were sent.
func (f *fixture) from(format wire.Format, sock wire.Socket, sent ...int) string {
	GinkgoHelper()
	text, fds, err := format.Recv(sock)
	Expect(err).NotTo(HaveOccurred())
	f.takes(fds, sent...)
	return text
}

// failed returns the error of a Recv, which must name the format and return nothing else.
func failed(format wire.Format, sock wire.Socket) error {
	GinkgoHelper()
	text, fds, err := format.Recv(sock)
	Expect(text).To(BeEmpty())
	Expect(fds).To(BeEmpty())
	if err != io.EOF {
		Expect(err).To(MatchError(HavePrefix("wire: " + format.Name() + ": ")))
	}
	return err
}

func isExpectError(err error) bool { return errors.As(err, new(*scm.ExpectError)) }

// passes checks that a message still passes from a to b.
func (f *fixture) passes(format wire.Format, a, b wire.Socket) {
	GinkgoHelper()
	g := firstGolden(format)
	sent := f.files(g.fds)
	Expect(format.Send(a, g.text, sent...)).To(Succeed())
	Expect(f.from(format, b, sent...)).To(Equal(g.text))
}

// expecting returns a connected pair of Conns, of which b has a Config.Expect.
func expecting(e scm.Expect, network string) (a, b *scm.Conn) {
	GinkgoHelper()
	a, plain := conns(network)
	return a, ok(scm.Config{Expect: &e}.NewConn(plain.UnixConn))
}

// sends sends raw bytes and descriptors through the socket.
func sends(sock wire.FD, payload string, fds ...int) {
	GinkgoHelper()
	m := scm.Message{FDs: fds}
	if payload != "" {
		m.Buffers = [][]byte{[]byte(payload)}
	}
	Expect(again(func() error { return sock.Send(&m, 0) })).To(Succeed())
	Expect(m.N).To(Equal(len(payload)))
}

// receives receives raw bytes and descriptors from the socket.
func (f *fixture) receives(sock wire.FD) (payload string, fds []int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, 1<<17)}, FDs: make([]int, scm.MaxFDs)}
	Expect(again(func() error { return sock.Recv(&m, 0) })).To(Succeed())
	Expect(m.Flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC)).To(BeZero(), "the message was truncated")
	fds = m.FDs[:m.NFD]
	f.owns(fds...)
	return string(m.Buffers[0][:m.N]), fds
}

// again retries a call that a signal interrupted. The kernel does not retry it, because the socket has a time
// limit.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// duplicate returns a file with a duplicate of a descriptor. The file is closed at the end of the spec.
func duplicate(fd int) *os.File {
	GinkgoHelper()
	file := os.NewFile(uintptr(ok(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0))), "duplicate")
	DeferCleanup(file.Close)
	return file
}

// listen returns the path of a listening stream socket, and a function that waits for a client.
func (f *fixture) listen() (path string, accept func() wire.FD) {
	GinkgoHelper()
	path = filepath.Join(GinkgoT().TempDir(), "socket")
	listener := ok(sys.Socket("unix"))
	f.Own(listener)
	setTimeouts(wire.FD(listener))
	Expect(unix.Bind(listener, &unix.SockaddrUnix{Name: path})).To(Succeed())
	Expect(unix.Listen(listener, 1)).To(Succeed())
	return path, func() wire.FD {
		GinkgoHelper()
		var client int
		Expect(again(func() (err error) {
			client, _, err = unix.Accept(listener)
			return err
		})).To(Succeed(), "no client connected")
		unix.CloseOnExec(client)
		f.Own(client)
		setTimeouts(wire.FD(client))
		return wire.FD(client)
	}
}

// isEmpty checks that there is nothing to receive from a socket.
func isEmpty(sock wire.FD) {
	GinkgoHelper()
	_, _, err := unix.Recvfrom(int(sock), make([]byte, 1), unix.MSG_DONTWAIT)
	Expect(err).To(MatchError(unix.EAGAIN), "there is something to receive")
}

// beFormatError matches a *wire.FormatError of the format whose reason contains the text.
func beFormatError(format wire.Format, reason string) OmegaMatcher {
	return Satisfy(func(err error) bool {
		e, ok := err.(*wire.FormatError)
		return ok && e.Format == format.Name() && strings.Contains(e.Reason, reason)
	})
}

// cannotEmulateFormat skips a spec of a format without payload under an emulator.
func cannotEmulateFormat(format wire.Format) {
	GinkgoHelper()
	if format == wire.GVisor {
		CannotEmulate(fdtest.NoBuffers)
	}
}

// ok returns the result of a call that must succeed.
func ok[T any](value T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return value
}
