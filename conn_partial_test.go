//go:build linux

package scm_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A stream can accept a payload in pieces. The first piece carries the descriptors.

const tenMegabytes = 10 << 20

// paged returns n bytes in which no two adjacent pages are equal.
func paged(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i%251 + i>>12)
	}
	return p
}

// narrow makes a stream with the smallest possible buffers.
func narrow() (a, b *scm.Conn) {
	GinkgoHelper()
	a, b = pair("unix")
	for _, c := range []*scm.Conn{a, b} {
		Expect(c.SetWriteBuffer(0)).To(Succeed())
		Expect(c.SetReadBuffer(0)).To(Succeed())
	}
	Expect(unix.GetsockoptInt(FDOf(a), unix.SOL_SOCKET, unix.SO_SNDBUF)).To(BeNumerically("<", 8192))
	return a, b
}

// receiveAll receives until the end. with is the number of receives that returned files, and before the number of
// bytes received before the last of them.
func receiveAll(c *scm.Conn) (payload []byte, files []*os.File, before, with int) {
	GinkgoHelper()
	p := make([]byte, 1<<16)
	for {
		n, received, err := c.ReadFiles(p, scm.MaxFDs)
		closeAllLater(received)
		if err != nil {
			Expect(err).To(BeIdenticalTo(io.EOF))
			return payload, files, before, with
		}
		if len(received) > 0 {
			with, before = with+1, len(payload)
		}
		payload, files = append(payload, p[:n]...), append(files, received...)
	}
}

var _ = Describe("on a stream with a small buffer,", func() {
	It("WriteFiles sends 10 MiB in order, and the 253 files only once", func() {
		a, b := narrow()
		sent, payload := pipes(scm.MaxFDs), paged(tenMegabytes)
		wait := start(func() {
			Expect(a.WriteFiles(payload, sent...)).To(Equal(tenMegabytes))
			Expect(a.CloseWrite()).To(Succeed())
		})
		got, files, before, with := receiveAll(b)
		wait()
		Expect(bytes.Equal(got, payload)).To(BeTrue(), "%d bytes were received", len(got))
		Expect([]int{before, with}).To(Equal([]int{0, 1}))
		areSame(files, sent)
	})

	It("payloads of concurrent WriteFiles and Write calls do not mix", func() {
		a, b := narrow()
		const writers, size = 8, 100_000
		f := pipes(1)[0]
		var waits []func()
		for i := range writers {
			p := bytes.Repeat([]byte{byte('a' + i)}, size)
			waits = append(waits, start(func() {
				if i%2 == 0 {
					Expect(a.Write(p)).To(Equal(size))
				} else {
					Expect(a.WriteFiles(p, f)).To(Equal(size))
				}
			}))
		}
		closed := start(func() {
			for _, wait := range waits {
				wait()
			}
			Expect(a.CloseWrite()).To(Succeed())
		})
		got, files, _, _ := receiveAll(b)
		closed()
		Expect(got).To(HaveLen(writers * size))
		for i := 0; i < len(got); i += size {
			Expect(got[i : i+size]).To(Equal(bytes.Repeat(got[i:i+1], size)))
		}
		Expect(files).To(HaveLen(writers / 2))
	})

	for _, c := range []struct {
		what string
		end  func(a, b *scm.Conn) error
		want error
	}{
		{"the deadline", func(a, _ *scm.Conn) error { return a.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"Close", func(a, _ *scm.Conn) error { return a.Close() }, net.ErrClosed},
		{"the other end's Close", func(_, b *scm.Conn) error { return b.Close() }, unix.EPIPE},
	} {
		It("WriteFiles has sent the files, and returns the number of bytes sent, when "+c.what+" stops it", func() {
			a, b := narrow()
			sent, payload := pipes(scm.MaxFDs), paged(tenMegabytes)
			n := 0
			wait := start(func() {
				var err error
				n, err = a.WriteFiles(payload, sent...)
				Expect(err).To(opFails("write", c.want))
			})
			waitsIn("WriteFiles", 1)
			// A part is read, so that the write continues and waits again.
			got := make([]byte, 100_000)
			count, files, err := b.ReadFiles(got, scm.MaxFDs)
			Expect(err).NotTo(HaveOccurred())
			areSame(closeAllLater(files), sent)
			Expect(io.ReadFull(b, got[count:])).To(Equal(len(got) - count))
			waitsIn("WriteFiles", 1)
			Expect(c.end(a, b)).To(Succeed())
			wait()
			Expect(n).To(And(BeNumerically(">=", len(got)), BeNumerically("<", tenMegabytes)))
			if c.want == unix.EPIPE {
				return
			}
			finish := func() {}
			if c.want == os.ErrDeadlineExceeded { // the caller sends the rest, without the files
				Expect(a.SetWriteDeadline(time.Now().Add(Hang))).To(Succeed())
				finish = start(func() {
					Expect(a.Write(payload[n:])).To(Equal(tenMegabytes - n))
					Expect(a.CloseWrite()).To(Succeed())
				})
			} else {
				payload = payload[:n]
			}
			rest, files, _, _ := receiveAll(b)
			finish()
			Expect(bytes.Equal(append(got, rest...), payload)).To(BeTrue())
			Expect(files).To(BeEmpty())
		})
	}
})

var _ = Describe("on a stream with a small buffer,", func() {
	// A stream accepts a message of any size while its buffer is not full: after these bytes it accepts one more.
	almostFull := func() (a, b *scm.Conn, bytes int) {
		GinkgoHelper()
		a, b = narrow()
		from, to := FDOf(a), FDOf(b)
		for most := 0; ; most++ {
			if _, err := unix.Write(from, []byte("x")); err != nil {
				Expect(err).To(MatchError(unix.EAGAIN))
				Expect(unix.Read(to, make([]byte, most+1))).To(Equal(most))
				for range most - 1 {
					Expect(unix.Write(from, []byte("x"))).To(Equal(1))
				}
				return a, b, most - 1
			}
		}
	}

	DescribeTable("SendFile fails with io.ErrShortWrite if it has sent the file but only part of the name",
		func(end func(a, b *scm.Conn) error, timeout bool, causes ...error) {
			caused := func(err error) bool {
				return slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(err, cause) })
			}
			a, b, before := almostFull()
			to, f := FDOf(b), pipes(1)[0]
			wait := start(func() {
				err := a.SendFile(strings.Repeat("n", 4095), f)
				Expect(err).To(And(opFails("write", io.ErrShortWrite), Satisfy(caused)))
				Expect(err.(net.Error).Timeout()).To(Equal(timeout))
				Expect(err.Error()).To(MatchRegexp("sent the file but only [0-9]+ of 4095 bytes of its name: "))
			})
			queued := func() (uint32, error) { return unix.IoctlGetUint32(to, unix.TIOCINQ) }
			Eventually(queued).WithTimeout(Hang).Should(BeNumerically(">", before))
			Expect(end(a, b)).To(Succeed())
			wait()

			// Nothing of this one is sent.
			err := a.SendFile("name", f)
			Expect(err).To(Satisfy(caused))
			Expect(err).NotTo(MatchError(io.ErrShortWrite))
		},
		Entry("when the partner closes the connection", func(_, b *scm.Conn) error { return b.Close() }, false, unix.EPIPE, unix.ECONNRESET),
		Entry("when a deadline passes", func(a, _ *scm.Conn) error { return a.SetWriteDeadline(time.Unix(1, 0)) }, true, os.ErrDeadlineExceeded),
	)
})
