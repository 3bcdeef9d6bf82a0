//go:build linux

package scm_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var everyType = []TableEntry{
	Entry("stream sockets,", unix.SOCK_STREAM),
	Entry("datagram sockets,", unix.SOCK_DGRAM),
	Entry("seqpacket sockets,", unix.SOCK_SEQPACKET),
}

// fixture is a connected pair of sockets and the descriptors that the spec owns.
type fixture struct {
	fdtest.Ledger
	a, b int
}

// connect makes a pair of type typ. The sockets do not block, so a receive of nothing is EAGAIN and no spec hangs.
// At the end of the spec it checks the law of descriptors.
func connect(typ int) *fixture {
	GinkgoHelper()
	f := newFixture(typ)
	DeferCleanup(f.end)
	return f
}

func newFixture(typ int) *fixture {
	GinkgoHelper()
	f := &fixture{}
	f.a, f.b = f.pair(typ | unix.SOCK_NONBLOCK)
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

func (f *fixture) pair(typ int) (a, b int) {
	GinkgoHelper()
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	f.Own(p[0], p[1])
	return p[0], p[1]
}

// file returns the reading end of a new pipe.
func (f *fixture) file() int {
	GinkgoHelper()
	var p [2]int
	Expect(unix.Pipe2(p[:], unix.O_CLOEXEC)).To(Succeed())
	f.Own(p[0], p[1])
	return p[0]
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
	high, err := unix.FcntlInt(uintptr(f.file()), unix.F_DUPFD_CLOEXEC, 900)
	Expect(err).NotTo(HaveOccurred())
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

// isEmpty checks that a socket has nothing to receive.
func isEmpty(sock int) {
	GinkgoHelper()
	_, err := unix.Read(sock, make([]byte, 1))
	Expect(err).To(MatchError(unix.EAGAIN), "something was sent")
}

// cannotEmulateTwo skips a spec in which ReadFD receives two descriptors. On 64-bit systems both fit into its
// control buffer. On others the kernel drops one.
func cannotEmulateTwo() {
	GinkgoHelper()
	if unix.CmsgSpace(4) == unix.CmsgLen(4) {
		CannotEmulate(fdtest.NotCut)
	}
}
