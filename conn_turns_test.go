//go:build linux

package scm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A Conn's calls of one direction take turns. What ends one of them, its context,
// must not end another, and must not change the deadlines.

// queuesIn waits until n goroutines that called this method wait for their turn.
func queuesIn(method string, n int) {
	GinkgoHelper()
	Eventually(func() int {
		queued := 0
		for _, stack := range strings.Split(string(Stacks()), "\n\n") {
			head, _, _ := strings.Cut(stack, "\n")
			inTurn := strings.Contains(head, "[chan receive") || strings.Contains(head, "[select") || strings.Contains(head, "[semacquire")
			if inTurn && strings.Contains(stack, "."+method+"(") {
				queued++
			}
		}
		return queued
	}, Hang, time.Millisecond).Should(BeNumerically(">=", n))
}

var _ = DescribeTableSubtree("a context", func(network string) {
	background := context.Background()

	It("of a call that waits for its turn ends that call alone", func() {
		a, b := pair(network)
		near, _ := pair("unix")
		waits := goes(func() {
			got, err := b.RecvConn(background)
			Expect(err).NotTo(HaveOccurred())
			closing(got.(*scm.Conn))
		})
		waitsIn("RecvConn", 1)
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		ended := goes(func() { Expect(Second(b.RecvConn(ctx))).To(opFails("read", context.Canceled)) })
		queuesIn("RecvConn", 1)
		cancel()
		ended()
		Expect(a.SendConn(background, near)).To(Succeed())
		waits()
	})

	It("of the call whose turn it is ends that call alone", func() {
		a, b := pair(network)
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		ended := goes(func() { Expect(Second(b.RecvListener(ctx))).To(opFails("read", context.Canceled)) })
		waitsIn("RecvListener", 1)
		waits := []func(){
			goes(func() { Expect(b.Read(make([]byte, 5))).To(Equal(5)) }),
			goes(func() { Expect(Third(b.ReadFiles(make([]byte, 5), 1))).To(Succeed()) }),
			goes(func() { Expect(b.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 5)}}, 0)).To(Succeed()) }),
		}
		for _, method := range []string{"Read", "ReadFiles", "Recv"} {
			queuesIn(method, 1)
		}
		cancel()
		ended()
		for range waits {
			Expect(a.Write([]byte("hello"))).To(Equal(5))
		}
		for _, wait := range waits {
			wait()
		}
	})

	It("ends its own call, whatever the others' do", func() {
		a, b := pair(network)
		near, _ := pair("unix")
		for range 50 {
			var waits []func()
			var cancels []context.CancelFunc
			for i := range 2 {
				ctx, cancel := context.WithCancel(background)
				cancels = append(cancels, cancel)
				waits = append(waits, goes(func() {
					got, err := b.RecvConn(ctx)
					if i == 0 && err != nil {
						Expect(err).To(opFails("read", context.Canceled))
						return
					}
					Expect(err).NotTo(HaveOccurred())
					Expect(got.Close()).To(Succeed())
				}))
			}
			waitsIn("RecvConn", 1)
			queuesIn("RecvConn", 1)
			cancels[0]()
			waits[0]()
			Expect(a.SendConn(background, near)).To(Succeed())
			waits[1]()
			cancels[1]()
		}
	})

	It("ends a call that sends, and not the one before it", func() {
		a, b := pair(network)
		fill(a)
		waits := goes(func() { Expect(a.Write([]byte("x"))).To(Equal(1)) })
		waitsIn("Write", 1)
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		ended := goes(func() { Expect(a.SendConn(ctx, a)).To(opFails("write", context.Canceled)) })
		queuesIn("SendConn", 1)
		cancel()
		ended()
		for p := make([]byte, 1<<16); ; {
			n, err := b.Read(p)
			Expect(err).NotTo(HaveOccurred())
			if p[n-1] == 'x' { // behind the zeros of fill
				break
			}
		}
		waits()
	})

	It("leaves the deadlines as they are", func() {
		a, b := pair(network)
		ended := Or(MatchError(context.Canceled), MatchError(os.ErrDeadlineExceeded))
		fill(a)
		for range 2 {
			ctx, cancel := context.WithCancel(background)
			sends := goes(func() { Expect(a.SendConn(ctx, a)).To(ended) })
			waitsIn("SendConn", 1)
			Expect(a.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))).To(Succeed())
			cancel()
			sends()
			Expect(a.SendConn(background, a)).To(opFails("write", os.ErrDeadlineExceeded))

			drain(b)
			ctx, cancel = context.WithCancel(background)
			receives := goes(func() { Expect(Second(b.RecvConn(ctx))).To(ended) })
			waitsIn("RecvConn", 1)
			Expect(b.SetReadDeadline(time.Now().Add(100 * time.Millisecond))).To(Succeed())
			cancel()
			receives()
			Expect(b.Read(make([]byte, 1))).Error().To(opFails("read", os.ErrDeadlineExceeded))
			Expect(a.SetWriteDeadline(time.Time{})).To(Succeed())
			Expect(b.SetReadDeadline(time.Time{})).To(Succeed())
			fill(a)
		}
	})

	It("and a deadline that is set meanwhile both hold", func() {
		_, b := pair(network)
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		wait := goes(func() { Expect(Second(b.RecvConn(ctx))).To(opFails("read", os.ErrDeadlineExceeded)) })
		waitsIn("RecvConn", 1)
		Expect(b.SetReadDeadline(time.Now().Add(Hang / 2))).To(Succeed())
		Expect(b.SetReadDeadline(time.Unix(1, 0))).To(Succeed())
		wait()
		Expect(b.Read(make([]byte, 1))).Error().To(opFails("read", os.ErrDeadlineExceeded))
		Expect(b.SetReadDeadline(time.Time{})).To(Succeed())
		wait = goes(func() { Expect(Second(b.RecvConn(ctx))).To(opFails("read", context.Canceled)) })
		waitsIn("RecvConn", 1)
		Expect(b.SetReadDeadline(time.Now().Add(Hang / 2))).To(Succeed())
		cancel()
		wait()
	})

	It("does not end what the caller does by SyscallConn", func() {
		a, b := pair(network)
		raw, err := b.SyscallConn()
		Expect(err).NotTo(HaveOccurred())
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		ended := goes(func() { Expect(Second(b.RecvConn(ctx))).To(opFails("read", context.Canceled)) })
		waitsIn("RecvConn", 1)
		reads := goes(func() {
			Expect(raw.Read(func(fd uintptr) bool {
				_, err := unix.Read(int(fd), make([]byte, 1))
				return !errors.Is(err, unix.EAGAIN)
			})).To(Succeed())
		})
		queuesIn("Read", 1)
		cancel()
		ended()
		Expect(a.Write([]byte("x"))).To(Equal(1))
		reads()
	})

	It("and Close end all that wait", func() {
		_, b := pair(network)
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		closed := MatchError(os.ErrClosed)
		waits := []func(){goes(func() { Expect(Second(b.RecvConn(background))).To(closed) })}
		waitsIn("RecvConn", 1)
		for range 3 {
			waits = append(waits,
				goes(func() { Expect(Second(b.RecvConn(ctx))).To(closed) }),
				goes(func() { Expect(Second(b.RecvFile())).To(closed) }))
		}
		queuesIn("RecvConn", 3)
		queuesIn("RecvFile", 3)
		Expect(b.Close()).To(Succeed())
		for _, wait := range waits {
			wait()
		}
	})
}, everyNetwork)

var _ = Describe("a payload that goes in pieces", func() {
	It("is not torn by the context of a call behind it", func() {
		a, b := narrow()
		payload := paged(1 << 20)
		writes := goes(func() {
			Expect(a.Write(payload)).To(Equal(len(payload)))
			Expect(a.CloseWrite()).To(Succeed())
		})
		waitsIn("Write", 1)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := goes(func() { Expect(a.SendConn(ctx, a)).To(opFails("write", context.Canceled)) })
		queuesIn("SendConn", 1)
		cancel()
		ended()
		got := receiveAll(b)
		writes()
		Expect(bytes.Equal(got.payload, payload)).To(BeTrue(), "%d bytes came", len(got.payload))
		Expect(got.files).To(BeEmpty())
	})
})

var _ = Describe("turns", func() {
	It("go to the calls in the order in which they came, and not back to the last one", func() {
		a, b := pair("unixpacket")
		raw, err := a.SyscallConn()
		Expect(err).NotTo(HaveOccurred())
		begun, all := make(chan struct{}), make(chan struct{})
		const calls = 8
		hogs := goes(func() {
			Expect(raw.Write(func(uintptr) bool {
				close(begun)
				<-all
				return true
			})).To(Succeed())
			Expect(a.Write([]byte{calls})).To(Equal(1)) // at once
		})
		<-begun
		waits := []func(){hogs}
		for i := range calls {
			waits = append(waits, goes(func() { Expect(a.WriteFiles([]byte{byte(i)})).To(Equal(1)) }))
			queuesIn("WriteFiles", i+1)
		}
		close(all)
		var order []byte
		for p := make([]byte, 1); len(order) <= calls; order = append(order, p...) {
			Expect(b.Read(p)).To(Equal(1))
		}
		for _, wait := range waits {
			wait()
		}
		Expect(order).To(Equal([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8}))
	})

	It("pass by the calls that have ended", func() {
		a, b := pair("unixpacket")
		raw, err := a.SyscallConn()
		Expect(err).NotTo(HaveOccurred())
		for range 200 {
			begun, all := make(chan struct{}), make(chan struct{})
			waits := []func(){goes(func() {
				Expect(raw.Write(func(uintptr) bool {
					close(begun)
					<-all
					return true
				})).To(Succeed())
			})}
			<-begun
			ctx, cancel := context.WithCancel(context.Background())
			for range 3 {
				waits = append(waits, goes(func() {
					Expect(a.SendConn(ctx, a)).To(Or(Succeed(), opFails("write", context.Canceled)))
				}))
			}
			waits = append(waits, goes(func() { Expect(a.WriteFiles([]byte("x"))).To(Equal(1)) }))
			queuesIn("SendConn", 3)
			queuesIn("WriteFiles", 1)
			go cancel() // while the turn is given on
			close(all)
			for _, wait := range waits {
				wait()
			}
			drain(b)
		}
	})
})
