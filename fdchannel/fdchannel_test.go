//go:build unix && !aix

package fdchannel_test

import (
	"math"
	"runtime"
	"slices"
	"syscall"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

func TestSuite(t *testing.T) {
	Run(t, "fdchannel over "+scm.Backend)
}

// receives are the two methods that receive.
var receives = map[string]func(*fdchannel.Endpoint) (int, error){
	"RecvFD":         (*fdchannel.Endpoint).RecvFD,
	"RecvFDNonblock": (*fdchannel.Endpoint).RecvFDNonblock,
}

// lost is nil if the receive returns a descriptor, or the message has none.
var _ = DescribeTable("a receive", func(fds, payload int, full bool, lost *scm.TruncatedError) {
	if full && runtime.GOOS != "linux" {
		lost.Cause = unix.EMFILE // an error of recvmsg, and not a flag that can have another cause
	}
	for name, recv := range receives {
		if fds+payload == 0 && name == "RecvFD" && runtime.GOOS == "netbsd" {
			continue // it would wait, because NetBSD does not deliver an empty message without descriptors
		}
		By(name)
		c := connect()
		c.passes(recv) // what it receives must not be returned again
		m := scm.Message{FDs: slices.Repeat([]int{c.file()}, fds), Buffers: [][]byte{make([]byte, payload)}}
		Expect(scm.Send(c.as, &m, 0)).To(Succeed())
		empty := func() {}
		if full {
			empty = FillTable()
		}
		fd, err := recv(c.b)
		empty()
		switch {
		case lost != nil:
			Expect(err).To(Equal(lost))
		case fds+payload == 0 && runtime.GOOS == "netbsd":
			Expect(err).To(MatchError(unix.EAGAIN)) // nothing was delivered
		case fds == 0:
			Expect(err).To(MatchError(ContainSubstring("no descriptor")))
		default:
			c.receives(fd, err, m.FDs[0])
		}
		if err != nil {
			Expect(fd).To(Equal(-1))
		}
		c.passes(recv)
	}
},
	Entry("of a descriptor and a payload, which is dropped", 1, 7, false, nil),
	Entry("of nothing", 0, 0, false, nil),
	Entry("of two descriptors", 2, 0, false, &scm.TruncatedError{Received: 1, Room: 1, Cause: unix.EMSGSIZE}),
	Entry("while the descriptor table is full", 1, 0, true, &scm.TruncatedError{Room: 1}),
)

var _ = Describe("an Endpoint", func() {
	var c *channel
	BeforeEach(func() { c = connect() })

	It("sends an empty message with one descriptor", func() {
		sent := c.file()
		Expect(c.a.SendFD(sent)).To(Succeed())
		m := scm.Message{Buffers: [][]byte{make([]byte, 8)}, FDs: make([]int, 8)}
		Expect(scm.Recv(c.bs, &m, 0)).To(Succeed())
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 1, 0}))
		c.receives(m.FDs[0], nil, sent)
	})

	It("does not allocate", func() {
		sent := c.file()
		for name, recv := range receives {
			failures := 0
			Expect(testing.AllocsPerRun(200, func() {
				err := c.a.SendFD(sent)
				if fd, rerr := recv(c.b); err != nil || rerr != nil || unix.Close(fd) != nil {
					failures++
				}
			})).To(BeZero(), name)
			Expect(failures).To(BeZero(), "number of failed calls with %s", name)
		}
	})

	It("returns bare errnos", func() {
		fd, err := c.b.RecvFDNonblock()
		errno(err, syscall.EAGAIN)
		Expect(fd).To(Equal(-1))
		errno(c.a.SendFD(-1), syscall.EBADF)
		errno(c.a.SendFD(math.MaxInt32), syscall.EBADF)
		errno(Second(c.b.RecvFDNonblock()), syscall.EAGAIN) // nothing was sent
		dir := OK(unix.Open(".", unix.O_RDONLY|unix.O_CLOEXEC, 0))
		ep := fdchannel.NewEndpoint(dir)
		defer ep.Destroy()
		errno(ep.SendFD(c.as), syscall.ENOTSOCK)
		errno(Second(ep.RecvFD()), syscall.ENOTSOCK)
		empty := FillTable()
		socks, err := fdchannel.NewConnectedSockets()
		empty()
		errno(err, syscall.EMFILE)
		Expect(socks).To(Equal([2]int{-1, -1}))
	})

	It("uses no socket after Destroy, or whose descriptor does not fit into an int32", func() {
		duplicate := OK(unix.Dup(c.bs))
		ep := fdchannel.NewEndpoint(duplicate)
		ep.Destroy()
		Expect(fdtest.IsOpen(duplicate)).To(BeFalse())
		next := OK(unix.Dup(c.as))
		Expect(next).To(Equal(duplicate), "the kernel did not reuse the descriptor")
		c.Own(next)
		eps := []*fdchannel.Endpoint{ep}
		if upper := int64(1) << 32; upper < math.MaxInt {
			eps = append(eps, fdchannel.NewEndpoint(c.as+int(upper)))
		}
		for _, ep := range eps {
			errno(ep.SendFD(c.bs), syscall.EBADF)
			errno(Second(ep.RecvFD()), syscall.EBADF)
			ep.Shutdown()
			ep.Destroy()
		}
		c.passes((*fdchannel.Endpoint).RecvFD)
	})

	It("reaches the end after Destroy at the other end, or Shutdown at either, but receives what was sent before", func() {
		sent := c.file()
		Expect(c.a.SendFD(sent)).To(Succeed())
		c.a.Shutdown()
		fd, err := c.b.RecvFD()
		c.receives(fd, err, sent)
		other := connect()
		other.CloseNow(other.bs)
		for _, ep := range []*fdchannel.Endpoint{c.a, c.b, other.a} {
			err := ep.SendFD(sent)
			if ep == c.b && (runtime.GOOS == "netbsd" || runtime.GOOS == "freebsd") {
				Expect(err).NotTo(HaveOccurred())
			} else {
				errno(err, syscall.EPIPE)
			}
			for _, recv := range receives {
				Expect(Second(recv(ep))).To(MatchError(ContainSubstring("no descriptor")))
			}
		}
	})
})

// errno compares err with ==, as users of this API do.
func errno(err error, want syscall.Errno) {
	GinkgoHelper()
	Expect(err == error(want)).To(BeTrue(), "got %#v, want the bare errno %v", err, want)
}

// channel is two connected endpoints, their sockets, and the descriptors that the spec owns.
type channel struct {
	fdtest.Ledger
	a, b   *fdchannel.Endpoint
	as, bs int
}

// connect returns a channel. It fails a spec that leaves a descriptor open, or that closes one it does not own.
func connect() *channel {
	GinkgoHelper()
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
		Expect(unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)).To(Equal(unix.SOCK_SEQPACKET))
		Expect(fdtest.CloseOnExec(fd)).To(BeTrue())
	}
	c.a, c.b = fdchannel.NewEndpoint(c.as), fdchannel.NewEndpoint(c.bs)
	DeferCleanup(func() {
		strays, lost := c.Strays(), c.Lost()
		c.Close()
		Expect(strays).To(BeEmpty(), "open descriptors of this spec's files that the spec does not own")
		Expect(lost).To(BeEmpty(), "descriptors of this spec that other code closed")
	})
	return c
}

// file returns a socket of a new pair.
func (c *channel) file() int {
	GinkgoHelper()
	pair := OK(fdchannel.NewConnectedSockets())
	c.Own(pair[0], pair[1])
	return pair[0]
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

// passes checks that the channel passes descriptors in both directions, and in order.
func (c *channel) passes(recv func(*fdchannel.Endpoint) (int, error)) {
	GinkgoHelper()
	for _, way := range [][2]*fdchannel.Endpoint{{c.a, c.b}, {c.b, c.a}} {
		sent := []int{c.file(), c.file()}
		for _, fd := range sent {
			Expect(way[0].SendFD(fd)).To(Succeed())
		}
		for _, fd := range sent {
			got, err := recv(way[1])
			c.receives(got, err, fd)
		}
	}
}
