//go:build linux

package wire_test

import (
	"errors"
	"io"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// patience ends what hangs; nothing is expected to take any time.
const patience = Hang

var socketTypes = map[string]int{
	"unix":       unix.SOCK_STREAM,
	"unixgram":   unix.SOCK_DGRAM,
	"unixpacket": unix.SOCK_SEQPACKET,
}

// fixture is a connected pair of blocking sockets and the numbers that the spec owns.
type fixture struct {
	fdtest.Ledger
	a, b int
}

// connect makes a pair of the type that a format wants. At the end of the spec no
// number is stray and none lost.
func connect(network string) *fixture {
	GinkgoHelper()
	p := ok(unix.Socketpair(unix.AF_UNIX, socketTypes[network]|unix.SOCK_CLOEXEC, 0))
	f := &fixture{a: p[0], b: p[1]}
	f.Own(f.a, f.b)
	hangsNoMore(f.a)
	hangsNoMore(f.b)
	DeferCleanup(func() {
		strays, lost := f.Strays(), f.Lost()
		f.Close()
		Expect(strays).To(BeEmpty(), "open numbers that hold a file of this spec and belong to nobody")
		Expect(lost).To(BeEmpty(), "numbers of this spec that were closed by another")
	})
	return f
}

func hangsNoMore(sock int) {
	GinkgoHelper()
	limit := unix.NsecToTimeval(int64(patience))
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		Expect(unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, option, &limit)).To(Succeed())
	}
}

// file returns the reading end of a pipe that holds the text and ends there.
func (f *fixture) file(text string) int {
	GinkgoHelper()
	var p [2]int
	Expect(unix.Pipe2(p[:], unix.O_CLOEXEC)).To(Succeed())
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

// owns takes received numbers over: they are new and close-on-exec.
func (f *fixture) owns(received ...int) {
	GinkgoHelper()
	for _, fd := range received {
		Expect(fdtest.IsOpen(fd)).To(BeTrue(), "%d was received and is not open", fd)
		Expect(f.Owns(fd)).To(BeFalse(), "%d was received and is an older number", fd)
		Expect(fdtest.CloseOnExec(fd)).To(BeTrue(), "%d is not close-on-exec", fd)
		f.Own(fd)
	}
}

// takes takes received numbers over: they are the very files that were sent.
func (f *fixture) takes(received []int, sent ...int) {
	GinkgoHelper()
	f.owns(received...)
	Expect(received).To(HaveLen(len(sent)), "descriptors received")
	for i, fd := range received {
		Expect(fdtest.Same(fd, sent[i])).To(BeTrue(), "%s was sent and %s came", fdtest.Name(sent[i]), fdtest.Name(fd))
	}
}

// from receives a message of the format, takes over its descriptors, which are those that were
// sent, and returns its text.
func (f *fixture) from(format wire.Format, sock int, sent ...int) string {
	GinkgoHelper()
	text, fds, err := format.Recv(wire.FD(sock))
	Expect(err).NotTo(HaveOccurred())
	f.takes(fds, sent...)
	return text
}

// sends puts raw bytes and descriptors on the socket.
func sends(sock int, payload string, fds ...int) {
	GinkgoHelper()
	m := scm.Message{FDs: fds}
	if payload != "" {
		m.Buffers = [][]byte{[]byte(payload)}
	}
	Expect(again(func() error { return scm.Send(sock, &m, 0) })).To(Succeed())
	Expect(m.N).To(Equal(len(payload)))
}

// receives takes whatever is on the socket.
func (f *fixture) receives(sock int) (payload string, fds []int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, 1<<16)}, FDs: make([]int, scm.MaxFDs)}
	Expect(again(func() error { return scm.Recv(sock, &m, 0) })).To(Succeed())
	Expect(m.Flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC)).To(BeZero(), "the message was cut")
	fds = m.FDs[:m.NFD]
	f.owns(fds...)
	return string(m.Buffers[0][:m.N]), fds
}

// again repeats a call that a signal interrupted: with a time limit on the socket
// the kernel does not.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// reader reads from a number.
type reader int

func (r reader) Read(p []byte) (n int, err error) {
	err = again(func() error {
		n, err = unix.Read(int(r), p)
		return err
	})
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

// listen returns the path of a listening stream socket, and a function that waits
// for who connects to it.
func (f *fixture) listen() (path string, accept func() int) {
	GinkgoHelper()
	path = filepath.Join(GinkgoT().TempDir(), "socket")
	listener := ok(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	f.Own(listener)
	hangsNoMore(listener)
	Expect(unix.Bind(listener, &unix.SockaddrUnix{Name: path})).To(Succeed())
	Expect(unix.Listen(listener, 1)).To(Succeed())
	return path, func() (client int) {
		GinkgoHelper()
		Expect(again(func() (err error) {
			client, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
			return err
		})).To(Succeed(), "nobody connected")
		f.Own(client)
		hangsNoMore(client)
		return client
	}
}

// isEmpty checks that nothing is waiting on a socket.
func isEmpty(sock int) {
	GinkgoHelper()
	_, _, err := unix.Recvfrom(sock, make([]byte, 1), unix.MSG_DONTWAIT)
	Expect(err).To(MatchError(unix.EAGAIN), "something was sent")
}

// beFormatError matches a *wire.FormatError of that format, whose reason has the text.
func beFormatError(format wire.Format, reason string) OmegaMatcher {
	return Satisfy(func(err error) bool {
		e, ok := err.(*wire.FormatError)
		return ok && e.Format == format.Name() && strings.Contains(e.Reason, reason)
	})
}

// cannotEmulateFormat skips the specs of the format that has no payload.
func cannotEmulateFormat(format wire.Format) {
	GinkgoHelper()
	if format == wire.GVisor {
		CannotEmulate(fdtest.NoBuffers)
	}
}

// ok returns the value of a call, which has to succeed.
func ok[T any](value T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return value
}
