//go:build linux

package wire_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("APUE", func() {
	DescribeTable("reports a failure as send_err does",
		func(status byte, text, payload string) {
			f := connect("unix")
			Expect(wire.SendAPUEError(wire.FD(f.a), status, text)).To(Succeed())
			got, fds := f.receives(f.b)
			Expect(got).To(Equal(payload))
			Expect(fds).To(BeEmpty())
		},
		Entry("with a text", byte(2), "can't open /x\n", "can't open /x\n\x00\x02"),
		Entry("without", byte(255), "", "\x00\xff"),
		Entry("with a status that cannot be", byte(0), "", "\x00\x01"),
	)

	It("does not report a text that would end early or is too long", func() {
		f := connect("unix")
		Expect(wire.SendAPUEError(wire.FD(f.a), 1, "a\x00b")).To(beFormatError(wire.APUE, "a 0 byte"))
		Expect(wire.SendAPUEError(wire.FD(f.a), 1, strings.Repeat("x", 65537))).To(beFormatError(wire.APUE, "text of 65537 bytes"))
		isEmpty(f.b)
	})

	It("receives a failure, of any length up to its limit", func() {
		for _, text := range []string{"", "can't open /x\n", strings.Repeat("x", 65536)} {
			f := connect("unix")
			done := make(chan error)
			go func() { done <- wire.SendAPUEError(wire.FD(f.a), 3, text) }()
			_, fds, err := wire.APUE.Recv(wire.FD(f.b))
			Expect(<-done).NotTo(HaveOccurred())
			Expect(fds).To(BeEmpty())
			Expect(err).To(Equal(&wire.APUEError{Status: 3, Text: text}))
			Expect(err).To(MatchError(HavePrefix("wire: apue: the other end reports status 3: ")))
		}
	})

	It("closes a descriptor that comes with a failure", func() {
		f := connect("unix")
		sends(f.a, "text\x00\x01", f.file(""))
		_, _, err := wire.APUE.Recv(wire.FD(f.b))
		Expect(err).To(Equal(&wire.APUEError{Status: 1, Text: "text"}))
	})

	It("receives text before a descriptor", func() {
		f := connect("unix")
		sent := f.file("")
		sends(f.a, "a warning")
		Expect(wire.APUE.Send(wire.FD(f.a), "", sent)).To(Succeed())
		Expect(f.from(wire.APUE, f.b, sent)).To(Equal("a warning"))
	})
})
