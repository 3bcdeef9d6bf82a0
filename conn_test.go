//go:build linux

package scm_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("Conn", func(network string) {
	It("carries bytes both ways", func() {
		a, b := pair(network)
		for _, c := range [][2]*scm.Conn{{a, b}, {b, a}} {
			Expect(c[0].Write([]byte("some bytes"))).To(Equal(10))
			p := make([]byte, 64)
			n, err := c[1].Read(p)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(p[:n])).To(Equal("some bytes"))
		}
	})

	It("reads nothing into nothing", func() {
		a, b := pair(network)
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(b.Read(nil)).To(Equal(0))
		Expect(b.Read(make([]byte, 1))).To(Equal(1))
	})

	It("loses the rest of a message, and of a stream nothing", func() {
		a, b := pair(network)
		Expect(a.Write([]byte("abcd"))).To(Equal(4))
		Expect(a.Write([]byte("ef"))).To(Equal(2))
		p := make([]byte, 2)
		Expect(b.Read(p)).To(Equal(2))
		Expect(string(p)).To(Equal("ab"))
		Expect(b.Read(p)).To(Equal(2))
		if network == "unix" {
			Expect(string(p)).To(Equal("cd"))
		} else {
			Expect(string(p)).To(Equal("ef"))
		}
	})

	It("tells that the other end is closed", func() {
		a, b := pair(network)
		Expect(a.Close()).To(Succeed())
		if network == "unixgram" {
			Expect(b.Write([]byte("x"))).Error().To(opFails("write", unix.ECONNREFUSED))
			return
		}
		Expect(b.Read(make([]byte, 1))).Error().To(BeIdenticalTo(io.EOF))
		Expect(b.Write([]byte("x"))).Error().To(opFails("write", unix.EPIPE))
	})

	if network != "unixgram" {
		It("tells what waits that the other end closed half-way", func() {
			a, b := pair(network)
			wait := goes(func() {
				Expect(b.Read(make([]byte, 1))).Error().To(BeIdenticalTo(io.EOF))
			})
			waitsIn("Read", 1)
			Expect(a.CloseWrite()).To(Succeed())
			wait()
			Expect(b.Write([]byte("x"))).To(Equal(1), "the other half is open")
			Expect(a.Read(make([]byte, 1))).To(Equal(1))
			Expect(a.Write([]byte("x"))).Error().To(opFails("write", unix.EPIPE))
		})
	}

	It("tells a sender that nobody will read", func() {
		a, b := pair(network)
		Expect(b.CloseRead()).To(Succeed())
		Expect(a.Write([]byte("x"))).Error().To(opFails("write", unix.EPIPE))
	})

	It("sends an empty message where there are messages", func() {
		a, b := pair(network)
		Expect(a.Write(nil)).To(Equal(0))
		Expect(a.Write([]byte("x"))).To(Equal(1))
		p := make([]byte, 1)
		switch network {
		case "unixgram":
			Expect(b.Read(p)).To(Equal(0))
		case "unixpacket":
			Expect(b.Read(p)).Error().To(BeIdenticalTo(io.EOF), "it looks like the end")
		}
		Expect(b.Read(p)).To(Equal(1))
	})

	It("drops descriptors in Read, and counts", func() {
		a, b := pair(network)
		r, w := pipe()
		Expect(a.WriteFiles([]byte("x"), w, w)).To(Equal(1))
		Expect(w.Close()).To(Succeed())
		before := fdtest.Take()
		Expect(b.Read(make([]byte, 1))).To(Equal(1))
		Expect(before.NewSince()).To(BeEmpty())
		noWriterIsLeft(r)
		Expect(b.Dropped()).To(Equal(int64(1)))
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(b.Read(make([]byte, 1))).To(Equal(1))
		Expect(b.Dropped()).To(Equal(int64(1)))
	})

	if network != "unixgram" { // which has no end that Read returns after Close
		It("counts no end as dropped control data, though Linux reports credentials of nobody", func() {
			a, b := pair(network)
			Expect(b.PassCred(true)).To(Succeed())
			Expect(a.Write([]byte("x"))).To(Equal(1))
			Expect(a.Close()).To(Succeed())
			Expect(b.Read(make([]byte, 1))).To(Equal(1))
			Expect(b.Dropped()).To(Equal(int64(1)), "the sender's credentials")
			for range 3 {
				Expect(b.Read(make([]byte, 1))).Error().To(BeIdenticalTo(io.EOF))
			}
			Expect(b.Dropped()).To(Equal(int64(1)))
		})
	}

	It("has deadlines, and one in the past ends a call before it does anything", func() {
		a, b := pair(network)
		past := time.Unix(1, 0)
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(b.SetReadDeadline(past)).To(Succeed())
		Expect(b.Read(make([]byte, 1))).Error().To(opFails("read", os.ErrDeadlineExceeded))
		Expect(b.Write([]byte("x"))).To(Equal(1), "the other direction is not concerned")

		Expect(a.SetWriteDeadline(past)).To(Succeed())
		r, _ := pipe()
		n, err := a.WriteFiles([]byte("y"), r)
		Expect(n).To(BeZero())
		Expect(err).To(opFails("write", os.ErrDeadlineExceeded))
		var timeout net.Error
		Expect(errors.As(err, &timeout)).To(BeTrue())
		Expect(timeout.Timeout()).To(BeTrue())

		Expect(b.SetReadDeadline(time.Now().Add(Hang))).To(Succeed())
		p := make([]byte, 8)
		n, files, err := b.ReadFiles(p, 8)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(p[:n])).To(Equal("x"))
		Expect(files).To(BeEmpty())
	})

	It("has deadlines, which end what waits", func() {
		a, b := pair(network)
		wait := goes(func() {
			Expect(b.Read(make([]byte, 1))).Error().To(opFails("read", os.ErrDeadlineExceeded))
		})
		waitsIn("Read", 1)
		Expect(b.SetDeadline(time.Now())).To(Succeed())
		wait()

		Expect(b.SetDeadline(time.Time{})).To(Succeed())
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(b.Read(make([]byte, 1))).To(Equal(1))
	})

	It("has deadlines, which end a write to a partner that never reads", func() {
		a, _ := pair(network)
		wait := goes(func() { Expect(writeUntilError(a)).To(opFails("write", os.ErrDeadlineExceeded)) })
		waitsIn("Write", 1)
		Expect(a.SetWriteDeadline(time.Now())).To(Succeed())
		wait()
	})

	It("ends what waits when it is closed", func() {
		_, b := pair(network)
		var waits []func()
		for range 5 {
			waits = append(waits, goes(func() {
				Expect(b.Read(make([]byte, 1))).Error().To(opFails("read", net.ErrClosed))
			}), goes(func() {
				Expect(Third(b.ReadFiles(make([]byte, 1), 1))).To(opFails("read", net.ErrClosed))
			}), goes(func() {
				Expect(writeUntilError(b)).To(opFails("write", net.ErrClosed))
			}))
		}
		waitsIn("Write", 1)
		Expect(b.Close()).To(Succeed())
		for _, wait := range waits {
			wait()
		}
	})

	It("is closed once, and says so from then on", func() {
		a, b := pair(network)
		Expect(a.Close()).To(Succeed())
		r, _ := pipe()
		p := make([]byte, 1)
		ctx := context.Background()
		for call, err := range map[string]error{
			"Close":            a.Close(),
			"CloseRead":        a.CloseRead(),
			"CloseWrite":       a.CloseWrite(),
			"SetDeadline":      a.SetDeadline(time.Now()),
			"SetReadDeadline":  a.SetReadDeadline(time.Now()),
			"SetWriteDeadline": a.SetWriteDeadline(time.Now()),
			"Send":             a.Send(&scm.Message{Buffers: [][]byte{p}}, 0),
			"Recv":             a.Recv(&scm.Message{Buffers: [][]byte{p}}, 0),
			"SendFile":         a.SendFile("name", r),
			"RecvFile":         Second(a.RecvFile()),
			"SendConn":         a.SendConn(ctx, b),
			"RecvConn":         Second(a.RecvConn(ctx)),
			"SendListener":     a.SendListener(ctx, b),
			"RecvListener":     Second(a.RecvListener(ctx)),
			"SyscallConn":      Second(a.SyscallConn()),
			"Read":             Second(a.Read(p)),
			"Read of nothing":  Second(a.Read(nil)),
			"Write":            Second(a.Write(p)),
			"Write of nothing": Second(a.Write(nil)),
			"WriteFiles":       Second(a.WriteFiles(p, r)),
			"ReadFiles":        Third(a.ReadFiles(p, 1)),
			"NewConn of it":    Second(scm.NewConn(a)),
		} {
			Expect(err).To(And(MatchError(net.ErrClosed), MatchError(os.ErrClosed)), call)
		}
		a.SetUnlinkOnClose(true)
		Expect(a.LocalAddr().Network()).To(Equal(network))
	})

	It("runs no call on a number that Close gave back", func() {
		CannotEmulate(fdtest.OwnFiles)
		for range 100 {
			useAndClose(network)
		}
	})

	It("can be closed by the collector", func() {
		keepsNumbers()
		a, _, err := scm.Pair(network)
		Expect(err).NotTo(HaveOccurred())
		number := NumberOf(a)
		id, err := fdtest.Identify(number)
		Expect(err).NotTo(HaveOccurred())
		a = nil
		Eventually(func() bool {
			runtime.GC()
			now, err := fdtest.Identify(number)
			return err == nil && now == id
		}, Hang).Should(BeFalse())
	})
}, everyNetwork)

// useAndClose closes a Conn that many goroutines use, and puts another socket
// behind its number at once. No byte of the others may go there, or come from
// there.
func useAndClose(network string) {
	GinkgoHelper()
	a, b, err := scm.Pair(network)
	Expect(err).NotTo(HaveOccurred())
	other, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	Expect(unix.Write(other[1], []byte("keep"))).To(Equal(4))

	number := NumberOf(b)
	running := make(chan struct{})
	var waits []func()
	for i := range 6 {
		waits = append(waits, goes(func() {
			running <- struct{}{}
			var err error
			for err == nil {
				if i%2 == 0 {
					_, err = b.Read(make([]byte, 8))
				} else {
					_, err = b.Write([]byte("stray"))
				}
			}
			Expect(err).To(MatchError(net.ErrClosed))
		}))
	}
	waits = append(waits, goes(func() {
		for {
			if _, err := a.Read(make([]byte, 8)); err != nil {
				return
			}
		}
	}))
	for range 6 {
		<-running
	}
	Expect(b.Close()).To(Succeed())
	Expect(unix.Dup3(other[0], number, unix.O_CLOEXEC)).To(Succeed())
	if network == "unixgram" {
		Expect(a.Close()).To(Succeed())
	}
	for _, wait := range waits {
		wait()
	}
	p := make([]byte, 8)
	Expect(Second(unix.Read(other[1], p))).To(MatchError(unix.EAGAIN), "something was written to the number")
	Expect(unix.Read(number, p)).To(Equal(4), "something was read from the number")
	closeAll([]int{number, other[0], other[1]})
	_ = a.Close()
}

var _ = Describe("a Conn that is none", func() {
	It("says so", func() {
		for _, c := range []*scm.Conn{nil, {}} {
			invalid := MatchError(os.ErrInvalid)
			p := make([]byte, 1)
			Expect(c.Read(p)).Error().To(invalid)
			Expect(c.Write(p)).Error().To(invalid)
			Expect(c.WriteFiles(p)).Error().To(invalid)
			Expect(Third(c.ReadFiles(p, 1))).To(invalid)
			Expect(c.SendFile("x", nil)).To(invalid)
			Expect(c.RecvFile()).Error().To(invalid)
			Expect(c.RecvConn(context.Background())).Error().To(invalid)
			Expect(c.SetDeadline(time.Time{})).To(invalid)
			Expect(c.SyscallConn()).Error().To(invalid)
			Expect(c.Close()).To(invalid)
			_, err := scm.NewConn(c)
			Expect(err).To(invalid)
			m := scm.Message{Buffers: [][]byte{p}}
			ctx := context.Background()
			Expect(c.Send(&m, 0)).To(invalid)
			Expect(c.Recv(&m, 0)).To(invalid)
			Expect(c.RecvExpect(scm.Expect{}, &m, 0)).To(invalid)
			Expect(c.SendConn(ctx, c)).To(invalid)
			Expect(c.SendListener(ctx, c)).To(invalid)
			Expect(c.RecvListener(ctx)).Error().To(invalid)
			Expect(c.SetReadDeadline(time.Time{})).To(invalid)
			Expect(c.SetWriteDeadline(time.Time{})).To(invalid)
			Expect(c.CloseRead()).To(invalid)
			Expect(c.CloseWrite()).To(invalid)
			Expect(Second(c.PeerCred())).To(invalid)
			Expect(Second(c.PeerPIDFD())).To(invalid)
			Expect(c.PassCred(true)).To(invalid)
			Expect(c.PassPIDFD(true)).To(invalid)
			Expect(c.PassRights(true)).To(invalid)
			Expect(c.LocalAddr()).To(BeNil())
			Expect(c.RemoteAddr()).To(BeNil())
			Expect(c.Dropped()).To(BeZero())
			c.SetUnlinkOnClose(true)
		}
	})
})

// writeUntilError fills what is between the Conn and a partner that does not read.
func writeUntilError(c *scm.Conn) (err error) {
	for err == nil {
		_, err = c.Write(make([]byte, 1000))
	}
	return err
}
