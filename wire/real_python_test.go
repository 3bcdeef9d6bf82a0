//go:build linux

package wire_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("Python", Label("real"), func() {
	var reduction []string
	BeforeEach(func() { reduction = script("reduction.py", "", "") })

	It("acknowledges a message from Send in the macOS variant of the "+quoted(wire.Python), func(ctx SpecContext) {
		f := connect("unix")
		p := begin(commandOf(ctx, reduction, "recvfds", "2", "ACKNOWLEDGE"), f.b)
		Expect(wire.PythonOfMacOS.Send(wire.FD(f.a), "", f.file("a"), f.file("b"))).To(Succeed())
		Expect(p.waitSuccess()).To(Equal("['a', 'b']\n"))
		isEmpty(f.a)
	}, NodeTimeout(timeout))

	It("waits for the acknowledgement from Recv in the macOS variant of the "+quoted(wire.Python), func(ctx SpecContext) {
		f := connect("unix")
		sent := f.files(2)
		p := begin(commandOf(ctx, reduction, "sendfds", "2", "ACKNOWLEDGE"), append([]int{f.b}, sent...)...)
		f.from(wire.PythonOfMacOS, f.a, sent...)
		p.waitSuccess()
	}, NodeTimeout(timeout))
})
