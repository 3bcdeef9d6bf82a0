//go:build linux

package wire_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("skalibs", Label("real"), func() {
	var skalibs []string
	BeforeEach(func() { skalibs = script("skalibs.py", "skarnet", "s6") })

	It("sends by ancil_send_fd", func(ctx SpecContext) {
		f := connect("unix")
		sent := f.file("")
		Expect(hands(commandOf(ctx, skalibs, "send", "|", "4"), f.b, sent)).To(Equal("1\n"))
		text, fds, err := wire.SkalibsAncil.Recv(f.a)
		Expect(err).NotTo(HaveOccurred())
		Expect(text).To(Equal("|"))
		f.takes(fds, sent)
		isEmpty(f.a)
	}, NodeTimeout(patience))

	It("receives by ancil_recv_fd", func(ctx SpecContext) {
		f := connect("unix")
		Expect(wire.SkalibsAncil.Send(f.a, "|", f.file("content"))).To(Succeed())
		Expect(hands(commandOf(ctx, skalibs, "recv", "|"), f.b)).To(Equal("content\n"))
		isEmpty(f.b)
	}, NodeTimeout(patience))
})
