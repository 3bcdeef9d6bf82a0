//go:build linux

package wire_test

import (
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

// buildPassfd builds a program that only calls the crate passfd, and returns its command.
func buildPassfd(ctx SpecContext) []string {
	GinkgoHelper()
	cargo := program("cargo", "cargo-web rustc-web")
	program("cc", "gcc") // for linking
	target := ok(filepath.Abs("../build/wire/passfd"))
	out, err := exec.CommandContext(ctx, cargo, "build", "--quiet", "--release", "--locked",
		"--manifest-path", "testdata/passfd/Cargo.toml", "--target-dir", target).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return []string{filepath.Join(target, "release", "passfd-peer")}
}

// A program calls each library. It sends descriptor 4, or prints the content of the file that it received.
var _ = DescribeTableSubtree("a program that uses", Label("real"),
	func(command func(SpecContext) []string, format wire.Format, text, sends string, words ...string) {
		It("sends a message that Recv receives", func(ctx SpecContext) {
			f := connect("unix")
			sent := f.file("")
			out := runWithFDs(commandOf(ctx, command(ctx), append(append([]string{"send"}, words...), "4")...), f.b, sent)
			Expect(out).To(Equal(sends))
			Expect(f.from(format, f.a, sent)).To(Equal(text))
			isEmpty(f.a)
		}, NodeTimeout(buildTime))

		It("receives a message from Send", func(ctx SpecContext) {
			f := connect("unix")
			Expect(format.Send(wire.FD(f.a), text, f.file("content"))).To(Succeed())
			Expect(runWithFDs(commandOf(ctx, command(ctx), append([]string{"recv"}, words...)...), f.b)).To(Equal("content\n"))
			isEmpty(f.b)
		}, NodeTimeout(buildTime))
	},
	Entry("GLib's real g_unix_connection_send_fd and g_unix_connection_receive_fd",
		func(SpecContext) []string { return script("glib.py", "gio-2.0", "libglib2.0-0") }, wire.OpenSSH, "", "1\n"),
	Entry("skalibs' real ancil_send_fd and ancil_recv_fd",
		func(SpecContext) []string { return script("skalibs.py", "skarnet", "s6") }, wire.SkalibsAncil, "|", "1\n", "|"),
	Entry("the real passfd crate", buildPassfd, wire.Passfd, "", ""),
)
