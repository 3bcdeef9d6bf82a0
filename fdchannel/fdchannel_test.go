//go:build unix && !aix

package fdchannel_test

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/internal/fdtest"
)

// errno compares err with ==, as users of this API do.
func errno(err error, want syscall.Errno) {
	GinkgoHelper()
	Expect(err == error(want)).To(BeTrue(), "got %#v, want the bare errno %v", err, want)
}

// lost checks the results of a receive that lost descriptors, and returns the cause.
func lost(fd int, err error) (cause error) {
	GinkgoHelper()
	var truncated *scm.TruncatedError
	Expect(errors.As(err, &truncated)).To(BeTrue(), "%d, %v", fd, err)
	Expect(fd).To(Equal(-1))
	return truncated.Cause
}

// none checks the results of a receive at the end, or of a message without a descriptor.
func none(fd int, err error) {
	GinkgoHelper()
	Expect(err).To(MatchError(ContainSubstring("no descriptor")))
	Expect(fd).To(Equal(-1))
}

// bothReceives are the two methods that receive.
var bothReceives = []TableEntry{
	Entry("RecvFD", (*fdchannel.Endpoint).RecvFD),
	Entry("RecvFDNonblock", (*fdchannel.Endpoint).RecvFDNonblock),
}

// bothEnds return one of a channel's endpoints.
var bothEnds = []TableEntry{
	Entry("one end", func(c *channel) *fdchannel.Endpoint { return c.a }),
	Entry("the other end", func(c *channel) *fdchannel.Endpoint { return c.b }),
}

type receive = func(*fdchannel.Endpoint) (int, error)

var _ = Describe("NewConnectedSockets", func() {
	It("creates two connected, blocking, close-on-exec seqpacket sockets", func() {
		c := connect()
		for _, fd := range []int{c.as, c.bs} {
			Expect(unix.Getsockname(fd)).To(BeAssignableToTypeOf(&unix.SockaddrUnix{}))
			Expect(unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)).To(Equal(unix.SOCK_SEQPACKET))
			Expect(fdtest.CloseOnExec(fd)).To(BeTrue())
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(flags&unix.O_NONBLOCK).To(BeZero(), "O_NONBLOCK")
		}
		c.works()
	})
})

var _ = DescribeTableSubtree("the Endpoint method", func(recv receive) {
	var c *channel
	BeforeEach(func() { c = connect() })

	It("receives descriptors in the order they were sent, and leaves the sender's open", func() {
		var sent []int
		for range 10 {
			fd := c.file()
			Expect(c.a.SendFD(fd)).To(Succeed())
			sent = append(sent, fd)
		}
		for _, fd := range sent {
			got, err := recv(c.b)
			c.receives(got, err, fd)
		}
	})

	It("receives the descriptor of a message with a payload, and drops the payload", func() {
		sent := c.file()
		Expect(unix.Sendmsg(c.as, []byte("payload"), unix.UnixRights(sent), nil, 0)).To(Succeed())
		got, err := recv(c.b)
		c.receives(got, err, sent)
		c.works()
	})

	It("rejects a message without a descriptor, with and without a payload", func() {
		sent := c.file()
		Expect(c.a.SendFD(sent)).To(Succeed()) // a later receive must not return this descriptor again
		fd, err := recv(c.b)
		c.receives(fd, err, sent)
		Expect(unix.Write(c.as, []byte("payload"))).To(Equal(7))
		none(recv(c.b))
		Expect(scm.Send(c.as, &scm.Message{}, 0)).To(Succeed())
		none(recv(c.b))
		c.works()
	})

	for _, n := range []int{2, 3, scm.MaxFDs} {
		It(fmt.Sprintf("rejects a message with %d descriptors and closes them", n), func() {
			var sent []int
			for range n {
				sent = append(sent, c.file())
			}
			Expect(unix.Sendmsg(c.as, []byte("x"), unix.UnixRights(sent...), nil, 0)).To(Succeed())
			Expect(lost(recv(c.b))).To(MatchError(unix.EMSGSIZE))
			Expect(c.Strays()).To(BeEmpty())
			Expect(scm.Send(c.as, &scm.Message{FDs: sent}, 0)).To(Succeed()) // without a payload
			Expect(lost(recv(c.b))).To(MatchError(unix.EMSGSIZE))
			Expect(c.Strays()).To(BeEmpty())
			c.works()
		})
	}

	It("does not allocate", func() {
		sent := c.file()
		failures := 0
		Expect(testing.AllocsPerRun(200, func() {
			if err := c.a.SendFD(sent); err != nil {
				failures++
			}
			fd, err := recv(c.b)
			if err != nil || unix.Close(fd) != nil {
				failures++
			}
		})).To(BeZero())
		Expect(failures).To(BeZero(), "number of failed calls")
	})

	It("does not use the descriptor of its socket after Destroy, even if another socket has it", func() {
		ep := fdchannel.NewEndpoint(c.duplicate(c.bs))
		before := fdtest.Open()
		ep.Destroy()
		Expect(fdtest.Open()).To(HaveLen(len(before) - 1))
		next := c.duplicate(c.as)
		Expect(before).To(ContainElement(next), "the kernel did not reuse the descriptor")
		errno(ep.SendFD(c.bs), syscall.EBADF)
		_, err := recv(ep)
		errno(err, syscall.EBADF)
		ep.Shutdown()
		c.Own(next)
		c.works()
	})
}, bothReceives)

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

	It("returns EAGAIN and -1 from RecvFDNonblock if there is no message", func() {
		fd, err := c.b.RecvFDNonblock()
		errno(err, syscall.EAGAIN)
		Expect(fd).To(Equal(-1))
		c.works()
	})

	It("returns EBADF for a descriptor that is not open, and sends nothing", func() {
		high, err := unix.FcntlInt(uintptr(c.as), unix.F_DUPFD_CLOEXEC, 900)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Close(high)).To(Succeed())
		for _, fd := range []int{-1, high} {
			errno(c.a.SendFD(fd), syscall.EBADF)
		}
		_, err = c.b.RecvFDNonblock()
		errno(err, syscall.EAGAIN)
	})

	It("does not use or close a socket if its descriptor does not fit into an int32", func() {
		if strconv.IntSize == 32 {
			Skip("int has 32 bits, so every descriptor fits")
		}
		upper := int64(1) << 32
		ep := fdchannel.NewEndpoint(c.as + int(upper))
		errno(ep.SendFD(c.bs), syscall.EBADF)
		ep.Shutdown()
		ep.Destroy()
		c.works()
	})

	It("returns ENOTSOCK for a descriptor that is not a socket", func() {
		ep := fdchannel.NewEndpoint(c.file())
		errno(ep.SendFD(c.as), syscall.ENOTSOCK)
		_, err := ep.RecvFD()
		errno(err, syscall.ENOTSOCK)
	})

	It("fails to send with EPIPE, and receives the end of the connection, after Destroy at the other end", func() {
		c.CloseNow(c.bs)
		errno(c.a.SendFD(c.file()), syscall.EPIPE)
		none(c.a.RecvFD())
		none(c.a.RecvFDNonblock())
	})
})

var _ = DescribeTableSubtree("Shutdown at", func(end func(c *channel) *fdchannel.Endpoint) {
	var c *channel
	BeforeEach(func() { c = connect() })

	It("makes all later calls fail, except receives of descriptors that were sent before", func() {
		sent := c.file()
		Expect(c.a.SendFD(sent)).To(Succeed())
		end(c).Shutdown()
		for _, ep := range []*fdchannel.Endpoint{c.a, c.b} {
			errno(ep.SendFD(sent), syscall.EPIPE)
		}
		fd, err := c.b.RecvFD()
		c.receives(fd, err, sent)
		for _, ep := range []*fdchannel.Endpoint{c.a, c.b} {
			none(ep.RecvFD())
			none(ep.RecvFDNonblock())
		}
		end(c).Shutdown() // again
	})
}, bothEnds)

// duplicate returns another descriptor for the same socket.
func (c *channel) duplicate(fd int) int {
	GinkgoHelper()
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	return dup
}
