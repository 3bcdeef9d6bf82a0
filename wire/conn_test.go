//go:build linux

package wire_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// conns is a connected pair of Conns of the network, which end with the spec.
func conns(network string) (a, b *scm.Conn) {
	GinkgoHelper()
	a, b, err := scm.Pair(network)
	Expect(err).NotTo(HaveOccurred())
	for _, c := range []*scm.Conn{a, b} {
		DeferCleanup(func() { _ = c.Close() }) // a spec can have closed it
		Expect(c.SetDeadline(time.Now().Add(patience))).To(Succeed())
	}
	return a, b
}

// inOneCall are the formats whose receiver takes what one call gives: they do not come in parts.
var inOneCall = []wire.Format{wire.Book, wire.Conmon, wire.Runc}

// drips sends the payload byte by byte, and the descriptors with the first.
func drips(c *scm.Conn, payload string, fds []int) error {
	for i := range len(payload) {
		if _, err := c.WriteFDs([]byte(payload[i:i+1]), fds...); err != nil {
			return err
		}
		fds = nil
	}
	return nil
}

var _ = Describe("on a Conn", func() {
	for _, g := range golden {
		format, ok := wire.Lookup(g.format.Name())
		what := fmt.Sprintf("%s, %d bytes of text and %d descriptors,", g.format.Name(), len(g.text), g.fds)

		It(what+" is passed", func() {
			Expect(ok).To(BeTrue())
			cannotEmulateFormat(format)
			f := connect("unix")
			a, b := conns(format.Network())
			sent := f.files(g.fds)
			done := make(chan error, 1)
			go func() { done <- format.Send(a, g.text, sent...) }()
			text, fds, err := format.Recv(b)
			Expect(err).NotTo(HaveOccurred())
			f.takes(fds, sent...)
			Expect(text).To(Equal(g.text))
			Expect(<-done).NotTo(HaveOccurred())
		})

		if format.Network() != "unix" || slices.Contains(inOneCall, format) {
			continue
		}
		It(what+" is received byte by byte", func() {
			f := connect("unix")
			a, b := conns("unix")
			sent := f.files(g.fds)
			done := make(chan error, 1)
			go func() { done <- drips(a, g.payload, sent) }()
			text, fds, err := format.Recv(b)
			Expect(err).NotTo(HaveOccurred())
			f.takes(fds, sent...)
			Expect(text).To(Equal(g.text))
			Expect(<-done).NotTo(HaveOccurred())
		})
	}

	// ends receives until the deadline is over: no descriptor is left of what came.
	ends := func(format wire.Format, payload string, number int) {
		GinkgoHelper()
		f := connect("unix")
		a, b := conns(format.Network())
		if payload != "" {
			Expect(drips(a, payload, f.files(number))).To(Succeed())
		}
		before := fdtest.Take()
		Expect(b.SetReadDeadline(time.Now().Add(20 * time.Millisecond))).To(Succeed())
		text, fds, err := format.Recv(b)
		Expect(err).To(And(MatchError(os.ErrDeadlineExceeded), MatchError(HavePrefix("wire: "+format.Name()+": "))))
		Expect(text).To(BeEmpty())
		Expect(fds).To(BeEmpty())
		Expect(before.NewSince()).To(BeEmpty())
	}
	for _, format := range wire.Formats() {
		It("a deadline ends "+format.Name(), func() { ends(format, "", 0) })
	}
	for _, c := range cut {
		It(fmt.Sprintf("a deadline ends %s after %d bytes and %d descriptors, which are closed", c.format.Name(), len(c.payload), c.fds),
			func() { ends(c.format, c.payload, c.fds) })
	}

	It("a deadline ends a send that has no room, and the rest of one", func() {
		f := connect("unix")
		a, _ := conns("unix")
		Expect(a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))).To(Succeed())
		err := wire.SkalibsUnixmessage.Send(a, string(make([]byte, 1<<24)), f.file(""))
		Expect(err).To(MatchError(os.ErrDeadlineExceeded))
	})

	It("the service manager is notified, and answers a barrier", func(ctx SpecContext) {
		f := connect("unix")
		a, b := conns("unixgram")
		sent := f.files(2)
		Expect(wire.NotifyStore(a, "foo", sent...)).To(Succeed())
		text, fds, err := wire.Notify.Recv(b)
		Expect(text, err).To(Equal("FDSTORE=1\nFDNAME=foo"))
		f.takes(fds, sent...)
		done := make(chan error, 1)
		go func() { done <- wire.NotifyBarrier(ctx, a) }()
		text, fds, err = wire.Notify.Recv(b)
		Expect(text, err).To(Equal("BARRIER=1"))
		f.owns(fds...)
		f.CloseNow(fds[0])
		Expect(<-done).NotTo(HaveOccurred())
	}, NodeTimeout(patience))

	It("the end is io.EOF where the kernel cuts credentials of nobody", func() {
		a, b := conns("unix")
		if err := b.PassCred(true); errors.Is(err, errors.ErrUnsupported) {
			Skip(err.Error())
		} else {
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(a.Close()).To(Succeed())
		Expect(Third(wire.OpenSSH.Recv(b))).To(BeIdenticalTo(io.EOF))
	})
})
