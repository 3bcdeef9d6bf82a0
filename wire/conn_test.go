//go:build linux

package wire_test

import (
	"fmt"
	"io"
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

// oneReceive are the stream formats for which one receive is one message.
var oneReceive = []wire.Format{wire.Book, wire.Conmon, wire.Runc}

// sendByteByByte sends the payload one byte at a time, and the descriptors with the first byte.
func sendByteByByte(c *scm.Conn, payload string, fds []int) error {
	for i := range len(payload) {
		if _, err := c.WriteFDs([]byte(payload[i:i+1]), fds...); err != nil {
			return err
		}
		fds = nil
	}
	return nil
}

var _ = Describe("on a Conn,", func() {
	for _, g := range golden {
		if g.format.Network() != "unix" || slices.Contains(oneReceive, g.format) {
			continue
		}
		It("Recv in the "+quoted(g.format)+" receives "+g.content()+" if the payload arrives byte by byte", func() {
			f := connect("unix")
			a, b := conns("unix")
			sent := f.files(g.fds)
			done := make(chan error, 1)
			go func() { done <- sendByteByByte(a, g.payload, sent) }()
			Expect(f.from(g.format, b, sent...)).To(Equal(g.text))
			Expect(<-done).NotTo(HaveOccurred())
		})
	}

	// expires receives until the deadline has passed. No received descriptor may stay open. The conversation can
	// continue unless it is a stream.
	expires := func(format wire.Format, payload string, number int) {
		GinkgoHelper()
		cannotEmulateFormat(format)
		f := connect("unix")
		a, b := conns(format.Network())
		if payload != "" {
			Expect(sendByteByByte(a, payload, f.files(number))).To(Succeed())
		}
		before := fdtest.Take()
		Expect(b.SetReadDeadline(time.Now().Add(20 * time.Millisecond))).To(Succeed())
		Expect(failed(format, b)).To(MatchError(os.ErrDeadlineExceeded))
		Expect(before.NewSince()).To(BeEmpty())
		if format.Network() != "unix" {
			Expect(b.SetReadDeadline(time.Now().Add(timeout))).To(Succeed())
			f.passes(format, a, b)
		}
	}
	for _, format := range wire.Formats() {
		It("Recv in the "+quoted(format)+" returns at the deadline if no message has arrived", func() {
			expires(format, "", 0)
		})
	}
	for _, c := range beginnings {
		It("Recv in the "+quoted(c.format)+" returns at the deadline after "+Count(len(c.payload), "byte"), func() {
			expires(c.format, c.payload, c.fds)
		})
	}

	It("Send returns at the deadline if the socket buffer is full", func() {
		f := connect("unix")
		a, _ := conns("unix")
		Expect(a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))).To(Succeed())
		err := wire.SkalibsUnixmessage.Send(a, string(make([]byte, 1<<24)), f.file(""))
		Expect(err).To(MatchError(os.ErrDeadlineExceeded))
	})

	// Config.Expect.Min applies to Notify and GVisor, which receive a message in one call on a socket that keeps
	// messages apart, and not to the formats for streams.
	It("Config.Expect.Min does not reject a message in the \"qmp\" format that arrives byte by byte", func() {
		f := connect("unix")
		a, b := expecting(scm.Expect{Min: 1, Max: 1}, "unix")
		for _, wait := range []bool{false, true} { // in one piece, and with the descriptor after white space
			sent := f.file("")
			if wait {
				Expect(a.Write([]byte("\n "))).To(Equal(2))
			}
			Expect(wire.QMP.Send(a, `{"execute": "getfd"}`, sent)).To(Succeed())
			Expect(f.from(wire.QMP, b, sent)).To(Equal(`{"execute": "getfd"}`))
		}
	})

	It("Recv checks the kind of each descriptor against Config.Expect in every format", func() {
		for _, format := range wire.Formats() {
			cannotEmulateFormat(format)
			f := connect("unix")
			a, b := expecting(scm.Expect{Max: scm.MaxFDs, Kind: scm.KindSocket}, format.Network())
			g := firstGolden(format)
			before := fdtest.Take()
			sent := f.files(g.fds)
			Expect(format.Send(a, g.text, sent...)).To(Succeed())
			for _, fd := range sent {
				f.CloseNow(fd)
			}
			Expect(failed(format, b)).To(Satisfy(isExpectError))
			Expect(before.NewSince()).To(BeEmpty(), format.Name())
		}
	})

	It("Config.Expect.Min applies to Recv in the \"notify\" format", func() {
		f := connect("unix")
		a, b := expecting(scm.Expect{Min: 1, Max: 2}, "unixgram")
		Expect(wire.Notify.Send(a, "READY=1")).To(Succeed())
		err := failed(wire.Notify, b)
		Expect(err).To(Satisfy(isExpectError))
		Expect(err).To(MatchError("wire: notify: scm: wanted at least 1 and at most 2 descriptors, got no descriptor"))

		sent := f.files(2) // the conversation can continue
		Expect(wire.NotifyStore(a, "foo", sent...)).To(Succeed())
		Expect(f.from(wire.Notify, b, sent...)).To(Equal("FDSTORE=1\nFDNAME=foo"))
	})

	It("Config.Expect.Min applies to Recv in the \"gvisor\" format, which still returns io.EOF at the end", func() {
		cannotEmulateFormat(wire.GVisor)
		f := connect("unix")
		a, b := expecting(scm.Expect{Min: 1, Max: 1}, "unixpacket")
		Expect(a.Write([]byte("a payload alone"))).To(Equal(15))
		Expect(failed(wire.GVisor, b)).To(Satisfy(isExpectError))
		f.passes(wire.GVisor, a, b)

		strict := ok(scm.Config{Expect: &scm.Expect{Min: 2, Max: 2}}.NewConn(b.UnixConn))
		Expect(failed(wire.GVisor, strict)).To(MatchError(unix.EINVAL), "it receives one descriptor")

		Expect(a.Close()).To(Succeed())
		Expect(failed(wire.GVisor, b)).To(BeIdenticalTo(io.EOF))
	})
})

// These specs check after which errors the conversation can continue, as the package documentation says. The
// callers of passes in other files do so too.

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
			more := scm.Message{Buffers: [][]byte{make([]byte, 1)}}
			Expect(b.Recv(&more, unix.MSG_DONTWAIT)).To(MatchError(unix.EAGAIN))
		})
	}

	It("after Recv in the "+quoted(wire.APUE)+" returns an APUEError and closes a descriptor", func() {
		long := strings.Repeat("x", 65536)
		for _, c := range []struct {
			status        byte
			text, payload string
		}{
			{2, "can't open /x\n", "can't open /x\n\x00\x02"},
			{255, "", "\x00\xff"},
			{0, "", "\x00\x01"}, // status 0 becomes 1
			{3, long, long + "\x00\x03"},
		} {
			By(fmt.Sprintf("status %d and %s of text", c.status, Count(len(c.text), "byte")))
			f := connect("unix")
			Expect(wire.SendAPUEError(f.a, c.status, c.text)).To(Succeed())
			got, fds := f.receives(f.b)
			Expect(got).To(Equal(c.payload))
			Expect(fds).To(BeEmpty())

			sends(f.a, c.payload, f.file(""))
			err := failed(wire.APUE, f.b)
			Expect(err).To(Equal(&wire.APUEError{Status: max(c.status, 1), Text: c.text}))
			Expect(err).To(MatchError(ContainSubstring("the other end reports status")))
			f.passes(wire.APUE, f.a, f.b)
		}
	})

	It("after SendAPUEError rejects a text", func() {
		f := connect("unix")
		Expect(wire.SendAPUEError(f.a, 1, "a\x00b")).To(beFormatError(wire.APUE, "zero byte"))
		long := strings.Repeat("x", 65537)
		Expect(wire.SendAPUEError(f.a, 1, long)).To(beFormatError(wire.APUE, "text is 65537 bytes long"))
		isEmpty(f.b)
	})
})

var _ = It("Recv returns a FormatError for truncated control data, even with KeepTruncated", func() {
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
