//go:build linux

package wire_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("GLib", Label("real"), func() {
	var glib []string
	BeforeEach(func() { glib = script("glib.py", "gio-2.0", "libglib2.0-0") })

	It("sends by g_unix_connection_send_fd what OpenSSH receives", func(ctx SpecContext) {
		f := connect("unix")
		sent := f.file("")
		Expect(hands(commandOf(ctx, glib, "send", "4"), f.b, sent)).To(Equal("1\n"))
		_, fds, err := wire.OpenSSH.Recv(f.a)
		Expect(err).NotTo(HaveOccurred())
		f.takes(fds, sent)
		isEmpty(f.a)
	}, NodeTimeout(patience))

	It("receives by g_unix_connection_receive_fd what OpenSSH sends", func(ctx SpecContext) {
		f := connect("unix")
		Expect(wire.OpenSSH.Send(f.a, "", f.file("content"))).To(Succeed())
		Expect(hands(commandOf(ctx, glib, "recv"), f.b)).To(Equal("content\n"))
		isEmpty(f.b)
	}, NodeTimeout(patience))
})
