//go:build linux

package wire_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("SendAPUEError", func() {
	DescribeTable("sends the same bytes as send_err for an error",
		func(status byte, text, payload string) {
			f := connect("unix")
			Expect(wire.SendAPUEError(wire.FD(f.a), status, text)).To(Succeed())
			got, fds := f.receives(f.b)
			Expect(got).To(Equal(payload))
			Expect(fds).To(BeEmpty())
		},
		Entry("with text", byte(2), "can't open /x\n", "can't open /x\n\x00\x02"),
		Entry("without text", byte(255), "", "\x00\xff"),
		Entry("with status 0, which becomes 1", byte(0), "", "\x00\x01"),
	)

	It("rejects an error whose text contains a zero byte or is too long", func() {
		f := connect("unix")
		Expect(wire.SendAPUEError(wire.FD(f.a), 1, "a\x00b")).To(beFormatError(wire.APUE, "zero byte"))
		Expect(wire.SendAPUEError(wire.FD(f.a), 1, strings.Repeat("x", 65537))).To(beFormatError(wire.APUE, "text is 65537 bytes long"))
		isEmpty(f.b)
	})
})

var _ = Describe("Recv in the "+quoted(wire.APUE), func() {
	It("returns an APUEError with a text of any length up to the limit", func() {
		for _, text := range []string{"", "can't open /x\n", strings.Repeat("x", 65536)} {
			f := connect("unix")
			done := make(chan error)
			go func() { done <- wire.SendAPUEError(wire.FD(f.a), 3, text) }()
			err := failed(wire.APUE, wire.FD(f.b))
			Expect(<-done).NotTo(HaveOccurred())
			Expect(err).To(Equal(&wire.APUEError{Status: 3, Text: text}))
			Expect(err).To(MatchError(ContainSubstring("the other end reports status 3: ")))
			f.passes(wire.APUE, wire.FD(f.a), wire.FD(f.b)) // the conversation can continue
		}
	})

	It("closes a descriptor received with an APUEError", func() {
		f := connect("unix")
		sends(f.a, "text\x00\x01", f.file(""))
		Expect(failed(wire.APUE, wire.FD(f.b))).To(Equal(&wire.APUEError{Status: 1, Text: "text"}))
	})
})
