//go:build linux

package scm_test

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

// The poller has no sign of a socket's end for those who wait to send, and none of
// a datagram socket's.
var _ = DescribeTableSubtree("a shutdown", func(network string) {
	ctx := context.Background()

	for _, who := range []string{"CloseWrite", "the other end's CloseRead", "CloseWrite of another who has the socket"} {
		if network == "unixgram" && who == "the other end's CloseRead" {
			continue // the kernel looks for room in the sender's buffer first: EAGAIN
		}
		shut := func(a, b *scm.Conn) error {
			switch who {
			case "CloseWrite":
				return a.CloseWrite()
			case "the other end's CloseRead":
				return b.CloseRead()
			}
			return unix.Shutdown(NumberOf(a), unix.SHUT_WR)
		}

		It("by "+who+" ends what waits to send, and what waits behind it", func() {
			a, b := pair(network)
			fill(a)
			waits := []func(){goes(func() { Expect(a.Write([]byte("x"))).Error().To(opFails("write", unix.EPIPE)) })}
			waitsIn("Write", 1)
			waits = append(waits, goes(func() { Expect(a.SendConn(ctx, b)).To(opFails("write", unix.EPIPE)) }))
			queuesIn("SendConn", 1)
			Expect(shut(a, b)).To(Succeed())
			for _, wait := range waits {
				wait()
			}
			Expect(a.Write([]byte("x"))).Error().To(opFails("write", unix.EPIPE))
		})

		It("by "+who+" ends what waits in SyscallConn to send", func() {
			a, b := pair(network)
			fill(a)
			raw, err := a.SyscallConn()
			Expect(err).NotTo(HaveOccurred())
			wait := goes(func() {
				Expect(raw.Write(func(fd uintptr) bool {
					err := unix.Send(int(fd), []byte("x"), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
					return errors.Is(err, unix.EPIPE)
				})).To(Succeed())
			})
			waitsIn("Write", 1)
			Expect(shut(a, b)).To(Succeed())
			wait()
		})
	}

	It("by CloseWrite calls a function that goes on waiting in SyscallConn a few times, and not all the time", func() {
		a, _ := pair(network)
		Expect(a.CloseWrite()).To(Succeed())
		raw, err := a.SyscallConn()
		Expect(err).NotTo(HaveOccurred())
		Expect(a.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))).To(Succeed())
		calls := 0
		err = raw.Write(func(uintptr) bool { calls++; return calls == 100 })
		Expect(err).To(MatchError(os.ErrDeadlineExceeded), "called %d times", calls)
	})

	It("by CloseWrite leaves the deadline as it is", func() {
		a, _ := pair(network)
		fill(a)
		wait := goes(func() { Expect(a.Write([]byte("x"))).Error().To(opFails("write", unix.EPIPE)) })
		waitsIn("Write", 1)
		Expect(a.CloseWrite()).To(Succeed())
		wait()
		Expect(a.SetWriteDeadline(time.Unix(1, 0))).To(Succeed())
		Expect(a.Write([]byte("x"))).Error().To(opFails("write", os.ErrDeadlineExceeded))
		Expect(a.SetWriteDeadline(time.Time{})).To(Succeed())
		Expect(a.Write([]byte("x"))).Error().To(opFails("write", unix.EPIPE))
	})
}, everyNetwork)

var _ = DescribeTableSubtree("a shutdown of receiving", func(network string) {
	ctx := context.Background()
	receives := map[string]func(c *scm.Conn) error{
		"Read":         func(c *scm.Conn) error { return Second(c.Read(make([]byte, 1))) },
		"ReadFiles":    func(c *scm.Conn) error { return Third(c.ReadFiles(make([]byte, 1), 1)) },
		"RecvFile":     func(c *scm.Conn) error { return Second(c.RecvFile()) },
		"RecvConn":     func(c *scm.Conn) error { return Second(c.RecvConn(ctx)) },
		"RecvListener": func(c *scm.Conn) error { return Second(c.RecvListener(ctx)) },
	}
	if network == "unixgram" { // elsewhere it receives nothing, and says so as recvmsg does
		for name, flags := range map[string]int{"Recv": 0, "Recv with MSG_DONTWAIT": unix.MSG_DONTWAIT} {
			receives[name] = func(c *scm.Conn) error {
				return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}}, flags)
			}
		}
	}

	It("ends the calls that come later, once what was sent is received", func() {
		for name, receive := range receives {
			a, b := pair(network)
			Expect(a.Write([]byte("x"))).To(Equal(1))
			Expect(b.CloseRead()).To(Succeed())
			Expect(b.Read(make([]byte, 1))).To(Equal(1))
			Expect(receive(b)).To(BeIdenticalTo(io.EOF), name)
			Expect(receive(b)).To(BeIdenticalTo(io.EOF), name)
		}
	})

	It("ends the call that waits, and those behind it", func() {
		for _, shut := range []func(c *scm.Conn) error{
			(*scm.Conn).CloseRead,
			func(c *scm.Conn) error { return unix.Shutdown(NumberOf(c), unix.SHUT_RD) },
		} {
			_, b := pair(network)
			var waits []func()
			waits = append(waits, goes(func() { Expect(receives["RecvFile"](b)).To(BeIdenticalTo(io.EOF)) }))
			waitsIn("RecvFile", 1)
			waits = append(waits, goes(func() { Expect(receives["RecvConn"](b)).To(BeIdenticalTo(io.EOF)) }))
			queuesIn("RecvConn", 1)
			Expect(shut(b)).To(Succeed())
			for _, wait := range waits {
				wait()
			}
		}
	})

	if network != "unixgram" {
		return // the other end of a stream or seqpacket socket receives the end
	}

	It("of sending does not end them on a datagram socket", func() {
		a, b := pair(network)
		Expect(a.CloseWrite()).To(Succeed())
		Expect(b.Write([]byte("x"))).To(Equal(1))
		Expect(a.Read(make([]byte, 1))).To(Equal(1))
		Expect(b.SetReadDeadline(time.Now().Add(time.Millisecond))).To(Succeed())
		Expect(b.Read(make([]byte, 1))).Error().To(opFails("read", os.ErrDeadlineExceeded))
	})
}, everyNetwork)
