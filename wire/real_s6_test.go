//go:build linux

package wire_test

import (
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

// The spec takes the part of the daemon that s6-fdholder-store and s6-fdholder-retrieve connect to.
var _ = Describe("in the "+quoted(wire.SkalibsUnixmessage)+",", Label("real"), func() {
	It("s6-fdholder-store sends a descriptor that Recv receives", func(ctx SpecContext) {
		store := program("s6-fdholder-store", "s6")
		f := connect("unix")
		path, accept := f.listen()
		sent := f.file("")
		p := begin(exec.CommandContext(ctx, store, "-d", "3", path, "the name"), sent)
		client := accept()
		text := f.from(wire.SkalibsUnixmessage, client, sent)
		// S, a time of 12 bytes, the length of the name, the name and a zero byte.
		Expect(text).To(HavePrefix("S"))
		Expect(text[13:]).To(Equal("\x08the name\x00"))
		Expect(wire.SkalibsUnixmessage.Send(client, "\x00")).To(Succeed())
		exits(p, 0)
	}, NodeTimeout(timeout))

	It("s6-fdholder-retrieve receives a descriptor from Send", func(ctx SpecContext) {
		retrieve := program("s6-fdholder-retrieve", "s6")
		f := connect("unix")
		path, accept := f.listen()
		p := begin(exec.CommandContext(ctx, retrieve, path, "the name", "cat"))
		client := accept()
		Expect(f.from(wire.SkalibsUnixmessage, client)).To(Equal("R\x00\x08the name\x00"))
		Expect(wire.SkalibsUnixmessage.Send(client, "\x00", f.file("content"))).To(Succeed())
		Expect(exits(p, 0)).To(Equal("content"))
	}, NodeTimeout(timeout))
})
