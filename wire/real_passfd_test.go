//go:build linux

package wire_test

import (
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/wire"
)

// buildPassfd returns a program that is the crate and no more.
func buildPassfd(ctx SpecContext) []string {
	GinkgoHelper()
	cargo := program("cargo", "cargo-web rustc-web")
	program("cc", "gcc") // rustc's linker
	target, err := filepath.Abs("../build/wire/passfd")
	Expect(err).NotTo(HaveOccurred())
	out, err := exec.CommandContext(ctx, cargo, "build", "--quiet", "--release", "--locked",
		"--manifest-path", "testdata/passfd/Cargo.toml", "--target-dir", target).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return []string{filepath.Join(target, "release", "passfd-peer")}
}

var _ = Describe("the crate passfd", Label("real"), func() {
	var passfd []string
	BeforeEach(func(ctx SpecContext) { passfd = buildPassfd(ctx) }, NodeTimeout(buildTime))

	It("sends what Passfd receives", func(ctx SpecContext) {
		f := connect("unix")
		sent := f.file("")
		hands(commandOf(ctx, passfd, "send", "4"), f.b, sent)
		_, fds, err := wire.Passfd.Recv(f.a)
		Expect(err).NotTo(HaveOccurred())
		f.takes(fds, sent)
		isEmpty(f.a)
	}, NodeTimeout(patience))

	It("receives what Passfd sends", func(ctx SpecContext) {
		f := connect("unix")
		Expect(wire.Passfd.Send(f.a, "", f.file("content"))).To(Succeed())
		Expect(hands(commandOf(ctx, passfd, "recv"), f.b)).To(Equal("content\n"))
		isEmpty(f.b)
	}, NodeTimeout(patience))
})
