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

// A stream takes a payload in pieces. Descriptors go with the first of them.

const tenMegabytes = 10 << 20

// paged is n bytes of which no two neighbouring pages are the same.
func paged(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i%251 + i>>12)
	}
	return p
}

// narrow makes a stream with the smallest buffers that there are.
func narrow() (a, b *scm.Conn) {
	GinkgoHelper()
	a, b = pair("unix")
	for _, c := range []*scm.Conn{a, b} {
		fd := NumberOf(c)
		Expect(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 0)).To(Succeed())
		Expect(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0)).To(Succeed())
	}
	size, err := unix.GetsockoptInt(NumberOf(a), unix.SOL_SOCKET, unix.SO_SNDBUF)
	Expect(err).NotTo(HaveOccurred())
	Expect(size).To(BeNumerically("<", 8192))
	return a, b
}

// received is what came until the end, and with which byte the files began.
type received struct {
	payload []byte
	files   []*os.File
	before  int // bytes before the receive that brought files
	with    int // receives that brought files
}

func receiveAll(c *scm.Conn) (r received) {
	GinkgoHelper()
	p := make([]byte, 1<<16)
	for {
		n, files, err := c.ReadFiles(p, scm.MaxFDs)
		lentAll(files)
		if err != nil {
			Expect(err).To(BeIdenticalTo(io.EOF))
			return r
		}
		if len(files) > 0 {
			r.with, r.before = r.with+1, len(r.payload)
		}
		r.payload, r.files = append(r.payload, p[:n]...), append(r.files, files...)
	}
}

var _ = Describe("a payload that goes in pieces", func() {
	It("arrives whole, once and in order, and 253 files with it", func() {
		a, b := narrow()
		sent, payload := pipes(scm.MaxFDs), paged(tenMegabytes)
		wait := goes(func() {
			Expect(a.WriteFiles(payload, sent...)).To(Equal(tenMegabytes))
			Expect(a.CloseWrite()).To(Succeed())
		})
		got := receiveAll(b)
		wait()
		Expect(bytes.Equal(got.payload, payload)).To(BeTrue(), "%d bytes came", len(got.payload))
		Expect(got.with).To(Equal(1))
		Expect(got.before).To(BeZero())
		areSame(got.files, sent)
	})

	It("does not mix with others'", func() {
		a, b := narrow()
		const writers, size = 8, 100_000
		f := pipes(1)[0]
		var waits []func()
		for i := range writers {
			waits = append(waits, goes(func() {
				Expect(a.WriteFiles(bytes.Repeat([]byte{byte('a' + i)}, size), f)).To(Equal(size))
			}))
		}
		closed := goes(func() {
			for _, wait := range waits {
				wait()
			}
			Expect(a.CloseWrite()).To(Succeed())
		})
		got := receiveAll(b)
		closed()
		Expect(got.payload).To(HaveLen(writers * size))
		for i := 0; i < len(got.payload); i += size {
			Expect(got.payload[i : i+size]).To(Equal(bytes.Repeat(got.payload[i:i+1], size)))
		}
		Expect(got.files).To(HaveLen(writers))
	})

	It("tells, when the deadline ends it in the middle, how much went, and the files went", func() {
		a, b := narrow()
		sent, payload := pipes(scm.MaxFDs), paged(tenMegabytes)
		n := 0
		wait := goes(func() {
			var err error
			n, err = a.WriteFiles(payload, sent...)
			Expect(err).To(opFails("write", os.ErrDeadlineExceeded))
		})
		waitsIn("WriteFiles", 1)
		// Some of it is read, so that the write goes on and waits again.
		first := make([]byte, 100_000)
		count, files, err := b.ReadFiles(first, scm.MaxFDs)
		lentAll(files)
		Expect(err).NotTo(HaveOccurred())
		more, err := io.ReadFull(b, first[count:])
		Expect(err).NotTo(HaveOccurred())
		count += more
		waitsIn("WriteFiles", 1)
		Expect(a.SetWriteDeadline(time.Now())).To(Succeed())
		wait()
		Expect(n).To(And(BeNumerically(">", 0), BeNumerically("<", tenMegabytes)))
		areSame(files, sent)

		// The caller goes on from there, without the files.
		Expect(a.SetWriteDeadline(time.Now().Add(Hang))).To(Succeed())
		wait = goes(func() {
			Expect(a.Write(payload[n:])).To(Equal(tenMegabytes - n))
			Expect(a.CloseWrite()).To(Succeed())
		})
		rest := receiveAll(b)
		wait()
		Expect(bytes.Equal(append(first[:count:count], rest.payload...), payload)).To(BeTrue())
		Expect(rest.files).To(BeEmpty())
	})

	It("tells, when the other end closes in the middle, how much went", func() {
		a, b := narrow()
		f := pipes(1)[0]
		wait := goes(func() {
			n, err := a.WriteFiles(paged(tenMegabytes), f)
			Expect(err).To(opFails("write", unix.EPIPE))
			Expect(n).To(And(BeNumerically(">", 0), BeNumerically("<", tenMegabytes)))
		})
		waitsIn("WriteFiles", 1)
		Expect(b.Close()).To(Succeed())
		wait()
	})

	It("tells, when it is closed in the middle, how much went", func() {
		a, b := narrow()
		f := pipes(1)[0]
		n := 0
		wait := goes(func() {
			var err error
			n, err = a.WriteFiles(paged(tenMegabytes), f)
			Expect(err).To(MatchError(os.ErrClosed))
		})
		waitsIn("WriteFiles", 1)
		Expect(a.Close()).To(Succeed())
		wait()
		got := receiveAll(b)
		Expect(bytes.Equal(got.payload, paged(tenMegabytes)[:n])).To(BeTrue())
		areSame(got.files, []*os.File{f})
	})
})

var _ = Describe("a file with a name that a stream takes in part", func() {
	// A stream takes a message while its buffer is not full, however large it is:
	// after these bytes it takes one more.
	almostFull := func() (a, b *scm.Conn, bytes int) {
		GinkgoHelper()
		a, b = narrow()
		from, to := NumberOf(a), NumberOf(b)
		most := 0
		for {
			if _, err := unix.Write(from, []byte("x")); err != nil {
				Expect(err).To(MatchError(unix.EAGAIN))
				break
			}
			most++
		}
		Expect(unix.Read(to, make([]byte, most+1))).To(Equal(most))
		for range most - 1 {
			Expect(unix.Write(from, []byte("x"))).To(Equal(1))
		}
		return a, b, most - 1
	}

	DescribeTable("has gone where SendFile fails with io.ErrShortWrite",
		func(end func(a, b *scm.Conn) error, timeout bool, causes ...error) {
			a, b, before := almostFull()
			to, f := NumberOf(b), pipes(1)[0]
			done := make(chan error, 1)
			go func() { done <- a.SendFile(strings.Repeat("n", 4095), f) }()
			queued := func() (int, error) { return unix.IoctlGetInt(to, unix.TIOCINQ) }
			Eventually(queued).WithTimeout(Hang).Should(BeNumerically(">", before))
			Expect(end(a, b)).To(Succeed())
			var err error
			Eventually(done).WithTimeout(Hang).Should(Receive(&err))
			Expect(err).To(opFails("write", io.ErrShortWrite))
			Expect(slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(err, cause) })).To(BeTrue(), "%v", err)
			Expect(err.(net.Error).Timeout()).To(Equal(timeout))
			Expect(err.Error()).To(MatchRegexp("the file went, and [0-9]+ bytes of 4095 of its name: "))

			// Of this one nothing goes.
			err = a.SendFile("name", f)
			Expect(slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(err, cause) })).To(BeTrue(), "%v", err)
			Expect(err).NotTo(MatchError(io.ErrShortWrite))
		},
		Entry("when the partner closes", func(_, b *scm.Conn) error { return b.Close() }, false, unix.EPIPE, unix.ECONNRESET),
		Entry("at a deadline", func(a, _ *scm.Conn) error { return a.SetWriteDeadline(time.Unix(1, 0)) }, true, os.ErrDeadlineExceeded),
	)
})
