//go:build linux

package wire_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("the "+quoted(wire.Book), func() {
	It("receives bytes without a descriptor, as read_fd does", func() {
		f := connect("unix")
		sends(f.a, "plain")
		Expect(f.from(wire.Book, f.b)).To(Equal("plain"))
	})
})

var _ = Describe("Recv in the "+quoted(wire.Conmon), func() {
	It("receives the messages of runc and crun", func() {
		f := connect("unix")
		sent := f.file("")
		Expect(wire.Runc.Send(wire.FD(f.a), "/dev/ptmx", sent)).To(Succeed())
		Expect(f.from(wire.Conmon, f.b, sent)).To(Equal("/dev/ptmx"))

		Expect(wire.Crun.Send(wire.FD(f.a), "", sent)).To(Succeed())
		Expect(f.from(wire.Conmon, f.b, sent)).To(Equal(" "))
	})
})
