//go:build linux

package wire_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/wire"
)

var _ = Describe("the "+quoted(wire.Book), func() {
	It("receives bytes without a descriptor, as read_fd does", func() {
		f := connect("unix")
		sends(f.a, "plain")
		Expect(f.from(wire.Book, f.b)).To(Equal("plain"))
	})

	It("is compatible with scm.WriteFD and scm.ReadFD", func() {
		f := connect("unix")
		sent := f.file("")
		Expect(wire.Book.Send(wire.FD(f.a), "", sent)).To(Succeed())
		p := make([]byte, 10)
		n, fd, err := scm.ReadFD(f.b, p)
		Expect(err).NotTo(HaveOccurred())
		Expect(p[:n]).To(Equal([]byte{0}))
		f.takes([]int{fd}, sent)

		ok(scm.WriteFD(f.a, []byte("more"), sent))
		Expect(f.from(wire.Book, f.b, sent)).To(Equal("more"))
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
