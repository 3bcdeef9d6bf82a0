//go:build unix && !aix

package scm_test

import (
	"runtime"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var everyType = withoutSeqpacket([]TableEntry{
	Entry("stream sockets,", unix.SOCK_STREAM),
	Entry("datagram sockets,", unix.SOCK_DGRAM),
	Entry("seqpacket sockets,", unix.SOCK_SEQPACKET),
})

// everyPacket are the types of socket that keep messages apart.
var everyPacket = everyType[1:]

// withoutSeqpacket drops the last entry on systems that do not have seqpacket sockets.
func withoutSeqpacket(every []TableEntry) []TableEntry {
	switch runtime.GOOS {
	case "darwin", "solaris", "illumos":
		return every[:2]
	}
	return every
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
