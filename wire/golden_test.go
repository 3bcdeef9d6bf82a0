//go:build linux

package wire_test

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

// message is what Send and Recv are called with and return, and its payload on the
// wire.
type message struct {
	format  wire.Format
	text    string
	fds     int
	payload string
}

// golden is what goes over the wire, byte for byte.
var golden = []message{
	{wire.APUE, "", 1, "\x00\x00"},
	{wire.Book, "", 1, "\x00"},
	{wire.Book, "some bytes", 1, "some bytes"},
	{wire.Conmon, "/dev/ptmx", 1, "/dev/ptmx\x00"},
	{wire.Conmon, "", 1, "\x00"},
	{wire.Crun, "", 1, " "},
	{wire.GVisor, "", 1, ""},
	{wire.HAProxySockpair, "", 1, "\x00\x00"},
	{wire.Notify, "FDSTORE=1\nFDNAME=x", 2, "FDSTORE=1\nFDNAME=x"},
	{wire.Notify, "READY=1", 0, "READY=1"},
	{wire.OpenSSH, "", 1, "\x00"},
	{wire.Passfd, "", 1, "\x00\x00\x00\x00"},
	{wire.Python, "", 1, "\x01"},
	{wire.Python, "", 253, "\xfd"},
	{wire.Runc, "/dev/ptmx", 1, "/dev/ptmx"},
	{wire.Runc, strings.Repeat("n", 4095), 1, strings.Repeat("n", 4095)},
	{wire.SkalibsAncil, "|", 1, "|"},
	{wire.SkalibsUnixmessage, "", 0, "\x00\x00\x00\x00\x00\x00"},
	{wire.SkalibsUnixmessage, "data", 2, "\x00\x00\x00\x04\x00\x02data"},
	{wire.SkalibsUnixmessage, strings.Repeat("d", 300), 253, "\x00\x00\x01\x2c\x00\xfd" + strings.Repeat("d", 300)},
}

var _ = Describe("each format", func() {
	for _, g := range golden {
		name := fmt.Sprintf("%s, %d bytes of text and %d descriptors,", g.format.Name(), len(g.text), g.fds)

		It(name+" is sent as these bytes in one message", func() {
			cannotEmulateFormat(g.format)
			f := connect(g.format.Network())
			sent := f.files(g.fds)
			Expect(g.format.Send(f.a, g.text, sent...)).To(Succeed())
			payload, fds := f.receives(f.b)
			Expect(payload).To(Equal(g.payload))
			Expect(len(fds)).To(Equal(len(sent)))
			isEmpty(f.b)
		})

		It(name+" is received from these bytes", func() {
			cannotEmulateFormat(g.format)
			f := connect(g.format.Network())
			sent := f.files(g.fds)
			sends(f.a, g.payload, sent...)
			text, fds, err := g.format.Recv(f.b)
			Expect(err).NotTo(HaveOccurred())
			Expect(text).To(Equal(g.text))
			f.takes(fds, sent...)
			isEmpty(f.b)
		})
	}

	It("is in the list, in the order of names, and is found by its name", func() {
		var names []string
		for _, format := range wire.Formats() {
			names = append(names, format.Name())
			found, ok := wire.Lookup(format.Name())
			Expect(ok).To(BeTrue())
			Expect(found).To(Equal(format))
			Expect(socketTypes).To(HaveKey(format.Network()))
			known := slices.ContainsFunc(golden, func(g message) bool { return g.format == format })
			Expect(known).To(BeTrue(), "%s has golden bytes", format.Name())
		}
		Expect(slices.IsSorted(names)).To(BeTrue(), "%v", names)
		_, ok := wire.Lookup("nobody's")
		Expect(ok).To(BeFalse())
	})
})
