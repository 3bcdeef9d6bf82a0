//go:build linux

package wire_test

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

var _ = Describe("a program that uses runc's real library", Label("real"), func() {
	var command []string
	BeforeEach(func(ctx SpecContext) { command = build(ctx, "runc") }, NodeTimeout(buildTime))

	It("receives a file from SendFile, and sends a file to RecvFile", func(ctx SpecContext) {
		f := connect("unix")
		sent := f.file("")
		own := ok(unix.Dup(f.a))
		c := ok(scm.NewConnFD(own))
		DeferCleanup(c.Close)
		Expect(c.SetDeadline(time.Now().Add(timeout))).To(Succeed())
		p := newPeer(commandOf(ctx, command), f.b, sent)
		Expect(p.ask("use sock=3 fds=4")).To(Equal("ok"))

		Expect(p.ask("send payload=2f6465762f70746d78 fds=4")).To(Equal("ok n=9"))
		file := ok(c.RecvFile())
		DeferCleanup(file.Close)
		Expect(file.Name()).To(Equal("/dev/ptmx"))

		Expect(c.SendFile("/dev/ptmx", file)).To(Succeed())
		before, number, _ := strings.Cut(p.ask("recv bytes=4096 fds=1"), " fds=")
		Expect(before).To(Equal("ok n=9 payload=2f6465762f70746d78"))
		Expect(p.file(number)).To(Equal(fdtest.Name(sent)))
		p.quit()
	}, NodeTimeout(timeout))
})
