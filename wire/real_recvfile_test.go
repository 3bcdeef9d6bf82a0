//go:build linux

package wire_test

import (
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

// Conn.RecvFile is what package scm has for the same.
var _ = Describe("the terminal of a container", Label("real"), func() {
	for _, from := range []struct{ runtime, name string }{{"runc", "/dev/ptmx"}, {"crun", " "}} {
		runtime, name := from.runtime, from.name
		It("comes through --console-socket from "+runtime+" to RecvFile", func(ctx SpecContext) {
			r := newRuntime(runtime)
			path := filepath.Join(GinkgoT().TempDir(), "console")
			l, err := scm.Config{Mode: 0o600}.Listen(ctx, "unix", path)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(l.Close)
			p := begin(r.command(ctx, "run", "--detach", "--bundle", bundle("echo hello from the container"), "--console-socket", path, r.container))
			Expect(l.SetDeadline(time.Now().Add(patience))).To(Succeed())
			c, err := l.AcceptConn()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(c.Close)
			Expect(c.SetDeadline(time.Now().Add(patience))).To(Succeed())

			master, err := c.RecvFile()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(master.Close)
			Expect(master.Name()).To(Equal(name))
			raw, err := master.SyscallConn()
			Expect(err).NotTo(HaveOccurred())
			Expect(raw.Control(func(fd uintptr) {
				Expect(fdtest.Name(int(fd))).To(HaveSuffix("ptmx"))
				Expect(fdtest.CloseOnExec(int(fd))).To(BeTrue())
				Expect(readTerminal(int(fd))).To(Equal("hello from the container\r\n"))
			})).To(Succeed())
			p.succeeds()
		}, NodeTimeout(patience))
	}
})

var _ = Describe("runc's library", Label("real"), func() {
	var command []string
	BeforeEach(func(ctx SpecContext) { command = build(ctx, "runc") }, NodeTimeout(buildTime))

	It("receives what SendFile sends, and sends what RecvFile receives", func(ctx SpecContext) {
		f := connect("unix")
		sent := f.file("")
		own, err := unix.Dup(f.a)
		Expect(err).NotTo(HaveOccurred())
		c, err := scm.NewConnFD(own)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(c.Close)
		Expect(c.SetDeadline(time.Now().Add(patience))).To(Succeed())
		p := newPeer(commandOf(ctx, command), f.b, sent)
		Expect(p.asked("use sock=3 fds=4")).To(Equal("ok"))

		Expect(p.asked("send payload=2f6465762f70746d78 fds=4")).To(Equal("ok n=9"))
		file, err := c.RecvFile()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(file.Close)
		Expect(file.Name()).To(Equal("/dev/ptmx"))

		Expect(c.SendFile("/dev/ptmx", file)).To(Succeed())
		before, number, _ := strings.Cut(p.asked("recv bytes=4096 fds=1"), " fds=")
		Expect(before).To(Equal("ok n=9 payload=2f6465762f70746d78"))
		Expect(p.file(number)).To(Equal(fdtest.Name(sent)))
		p.quits()
	}, NodeTimeout(patience))
})
