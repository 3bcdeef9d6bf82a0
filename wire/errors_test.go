//go:build linux

package wire_test

import (
	"os"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// These specs check which errors end a conversation, as the package documentation says, and so do the callers of
// passes in other files.

var _ = Describe("the conversation can continue", func() {
	for _, format := range wire.Formats() {
		if format.Network() == "unix" {
			continue
		}
		It("after Send in the "+quoted(format)+" times out without sending anything", func() {
			cannotEmulateFormat(format)
			f := connect("unix")
			a, b := conns(format.Network())
			g := firstGolden(format)
			Expect(a.SetWriteDeadline(time.Now().Add(-time.Second))).To(Succeed())
			Expect(format.Send(a, g.text, f.files(g.fds)...)).To(MatchError(os.ErrDeadlineExceeded))
			Expect(a.SetWriteDeadline(time.Now().Add(timeout))).To(Succeed())
			f.passes(format, a, b)
			Expect(b.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}}, unix.MSG_DONTWAIT)).To(MatchError(unix.EAGAIN))
		})
	}

	It("after RecvFiles fails to make a file", func() {
		for _, g := range golden {
			if g.format.Network() != "unix" || g.fds == 0 {
				continue
			}
			f := connect("unix")
			sent := f.files(g.fds)
			for range 2 {
				Expect(g.format.Send(wire.FD(f.a), g.text, sent...)).To(Succeed())
			}
			_, _, err := wire.RecvFiles(notOpen{g.format}, wire.FD(f.b))
			Expect(err).To(MatchError(unix.EBADF))
			Expect(f.from(g.format, f.b, sent...)).To(Equal(g.text))
		}
	})
})

var _ = Describe("the conversation cannot continue", func() {
	// lost checks that the next message does not arrive.
	lost := func(f *fixture, format wire.Format, a, b wire.Socket) {
		GinkgoHelper()
		g := firstGolden(format)
		Expect(format.Send(a, g.text, f.files(g.fds)...)).To(Succeed())
		text, fds, err := format.Recv(b)
		f.owns(fds...)
		Expect(err != nil || text != g.text).To(BeTrue(), "the next message was received: %q", text)
	}

	DescribeTable("if Recv rejects the beginning of a message on a stream, and leaves the rest unread, in the",
		func(format wire.Format, payload string, number int, reason string) {
			CannotEmulate(fdtest.NotCut)
			f := connect("unix")
			sends(f.a, payload, f.files(number)...)
			Expect(failed(format, wire.FD(f.b))).To(beFormatError(format, reason))
			lost(f, format, wire.FD(f.a), wire.FD(f.b))
		},
		Entry(quoted(wire.APUE), wire.APUE, strings.Repeat("x", 80_000), 1, "text is longer than"),
		Entry(quoted(wire.QMP), wire.QMP, getfd, 2, tooMany),
		Entry(quoted(wire.SkalibsUnixmessage), wire.SkalibsUnixmessage, "\x00\x00\x00\x04\x00\x02text", 1, "the message announces 2"),
	)

	It("after the beginning of a message on a stream causes an ExpectError", func() {
		for _, g := range golden {
			if g.format.Network() != "unix" || g.fds == 0 || len(g.text) == 0 || slices.Contains(oneReceive, g.format) || g.format == wire.SkalibsAncil {
				continue
			}
			f := connect("unix")
			a, b := expecting(scm.Expect{Max: scm.MaxFDs, Kind: scm.KindSocket}, "unix")
			sockets := slices.Repeat([]int{f.a}, g.fds)
			Expect(g.format.Send(a, g.text, f.files(g.fds)...)).To(Succeed())
			Expect(g.format.Send(a, g.text, sockets...)).To(Succeed())
			Expect(failed(g.format, b)).To(Satisfy(isExpectError))
			text, fds, err := g.format.Recv(b)
			f.owns(fds...)
			Expect(err != nil || text != g.text).To(BeTrue(), "%s: the next message was received: %q", g.format.Name(), text)
		}
	})

	DescribeTable("if Recv times out in the middle of a message on a stream, and closes its descriptors, in the",
		func(format wire.Format, first, rest string) {
			f := connect("unix")
			a, b := conns("unix")
			ok(a.WriteFDs([]byte(first), f.file("")))
			Expect(b.SetReadDeadline(time.Now().Add(20 * time.Millisecond))).To(Succeed())
			Expect(failed(format, b)).To(MatchError(os.ErrDeadlineExceeded))
			Expect(b.SetReadDeadline(time.Now().Add(timeout))).To(Succeed())
			Expect(f.Strays()).To(BeEmpty())
			ok(a.Write([]byte(rest)))
			lost(f, format, a, b)
		},
		Entry(quoted(wire.QMP), wire.QMP, getfd[:10], getfd[10:]),
		Entry(quoted(wire.SeccompListener), wire.SeccompListener, `{"fds":[`, `"a"]}`),
		Entry(quoted(wire.SkalibsUnixmessage), wire.SkalibsUnixmessage, "\x00\x00\x00\x04\x00\x01da", "ta"),
	)
})

var _ = It("Recv returns a FormatError for a message truncated by MSG_CTRUNC, even with KeepTruncated", func() {
	CannotEmulate(fdtest.NotCut)
	for _, format := range []wire.Format{wire.OpenSSH, wire.GVisor, wire.QMP} {
		f := connect("unix")
		a, b, err := scm.Config{KeepTruncated: true}.Pair(format.Network())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { _, _ = a.Close(), b.Close() })
		Expect(b.SetDeadline(time.Now().Add(timeout))).To(Succeed())
		payload := []byte("{}")
		if format == wire.GVisor {
			payload = nil
		}
		ok(a.WriteFDs(payload, f.files(2)...))
		Expect(failed(format, b)).To(beFormatError(format, tooMany)) // not a TruncatedError
	}
})
