//go:build unix && !aix

package fdchannel_test

import (
	"runtime"
	"syscall"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

func TestSuite(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "fdchannel over "+scm.Backend)
}

var _ = ReportAfterSuite("skips", func(r Report) { PrintSkips(r) })

// channel is two connected endpoints, their sockets, and the descriptors that the spec owns.
type channel struct {
	fdtest.Ledger
	a, b   *fdchannel.Endpoint
	as, bs int
}

// connect returns a channel. It fails a spec that leaves a descriptor open, or that closes one it does not own.
func connect() *channel {
	GinkgoHelper()
	goroutines := gleak.Goroutines()
	socks, err := fdchannel.NewConnectedSockets()
	if err == unix.EPROTONOSUPPORT {
		Skip("no Unix sockets of type seqpacket on " + runtime.GOOS)
	}
	Expect(err).NotTo(HaveOccurred())
	c := &channel{as: socks[0], bs: socks[1]}
	c.Own(socks[0], socks[1])
	for _, fd := range socks { // so that no call hangs
		for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
			Expect(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &unix.Timeval{Sec: 60})).To(Succeed())
		}
	}
	c.a, c.b = fdchannel.NewEndpoint(c.as), fdchannel.NewEndpoint(c.bs)
	DeferCleanup(func() {
		strays, lost := c.Strays(), c.Lost()
		c.Close()
		Expect(strays).To(BeEmpty(), "open descriptors of this spec's files that the spec does not own")
		Expect(lost).To(BeEmpty(), "descriptors of this spec that other code closed")
		Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(goroutines))
	})
	return c
}

// file returns the read end of a new pipe.
func (c *channel) file() int {
	GinkgoHelper()
	var p [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	Expect(unix.Pipe(p[:])).To(Succeed())
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	c.Own(p[0], p[1])
	return p[0]
}

// receives checks that a receive returned a new, close-on-exec descriptor for the open file description of
// sent.
func (c *channel) receives(fd int, err error, sent int) {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	Expect(fdtest.IsOpen(fd)).To(BeTrue(), "received descriptor %d is not open", fd)
	Expect(c.Owns(fd)).To(BeFalse(), "received descriptor %d was open before", fd)
	c.Own(fd)
	Expect(fdtest.Same(fd, sent)).To(BeTrue(), "sent %s, received %s", fdtest.Name(sent), fdtest.Name(fd))
	Expect(fdtest.CloseOnExec(fd)).To(BeTrue(), "descriptor %d is not close-on-exec", fd)
}

// works checks that the channel still passes a descriptor in each direction.
func (c *channel) works() {
	GinkgoHelper()
	for _, way := range [][2]*fdchannel.Endpoint{{c.a, c.b}, {c.b, c.a}} {
		sent := c.file()
		Expect(way[0].SendFD(sent)).To(Succeed())
		fd, err := way[1].RecvFDNonblock()
		c.receives(fd, err, sent)
	}
}
