//go:build unix && !aix

package wire_test

import (
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("in the", func() {
	for _, g := range golden {
		It(quoted(g.format)+", Send sends "+g.content()+" as one message with the payload that the format defines", func() {
			cannotEmulateFormat(g.format)
			f := connect(g.format.Network())
			sent := f.files(g.fds)
			Expect(g.format.Send(wire.FD(f.a), g.text, sent...)).To(Succeed())
			payload, fds := f.receives(f.b)
			Expect(payload).To(Equal(g.payload))
			Expect(len(fds)).To(Equal(len(sent)))
			isEmpty(f.b)
		})

		It(quoted(g.format)+", Recv receives "+g.content()+" from the payload that the format defines", func() {
			cannotEmulateFormat(g.format)
			f := connect(g.format.Network())
			sent := f.files(g.fds)
			sends(f.a, g.payload, sent...)
			Expect(f.from(g.format, f.b, sent...)).To(Equal(g.text))
			isEmpty(f.b)
		})
	}
})

var _ = It("Formats returns every format that has test cases, sorted by name, and Lookup finds each", func() {
	var names []string
	for _, format := range wire.Formats() {
		names = append(names, format.Name())
		found, ok := wire.Lookup(format.Name())
		Expect(ok).To(BeTrue())
		Expect(found).To(Equal(format))
		Expect(format.Network()).To(BeElementOf("unix", "unixgram", "unixpacket"))
		known := slices.ContainsFunc(golden, func(g message) bool { return g.format == format })
		Expect(known).To(BeTrue(), "%s has a row in golden", format.Name())
	}
	Expect(slices.IsSorted(names)).To(BeTrue(), "%v", names)
	_, ok := wire.Lookup("unknown")
	Expect(ok).To(BeFalse())
})
