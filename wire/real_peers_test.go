//go:build linux

package wire_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/wire"
)

// peer is a peer of the interop suite: a program that executes commands with a library, one command a line.
type peer struct {
	*process
	lines  io.WriteCloser
	answer *bufio.Reader
}

// build builds a peer and returns its command. The first build is slow.
func build(ctx SpecContext, name string) []string {
	GinkgoHelper()
	built := peers.BuildPartners(ctx, "..", []string{name}, GinkgoWriter)[0]
	if built.Why != "" {
		fdtest.Missing(GinkgoTB(), "peer "+name+": "+built.Why)
	}
	return built.Command
}

// newPeer starts a peer, which gets the descriptors as 3, 4, 5 …
func newPeer(cmd *exec.Cmd, fds ...int) *peer {
	GinkgoHelper()
	lines := ok(cmd.StdinPipe())
	answers := ok(cmd.StdoutPipe())
	return &peer{begin(cmd, fds...), lines, bufio.NewReader(answers)}
}

// ask sends a command and returns the answer.
func (p *peer) ask(line string) string {
	GinkgoHelper()
	ok(fmt.Fprintln(p.lines, line))
	answer := ok(p.answer.ReadString('\n'))
	return strings.TrimSuffix(answer, "\n")
}

// file returns the kernel's name for the file that a descriptor of the peer refers to.
func (p *peer) file(fd string) string {
	GinkgoHelper()
	name := ok(os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.Process.Pid, fd)))
	return name
}

func (p *peer) quit() {
	GinkgoHelper()
	Expect(p.lines.Close()).To(Succeed())
	p.waitSuccess()
}

var _ = Describe("a program that uses", Label("real"), func() {
	for _, c := range []struct {
		peer, what    string
		format        wire.Format
		text, payload string
	}{
		{"fdchannel", "gVisor's real fdchannel", wire.GVisor, "", "-"},
		{"runc", "runc's real library", wire.Runc, "/dev/ptmx", "2f6465762f70746d78"},
		{"book", "the real write_fd and read_fd of UNP", wire.Book, "", "00"},
	} {
		Context(c.what, func() {
			var command []string
			BeforeEach(func(ctx SpecContext) { command = build(ctx, c.peer) }, NodeTimeout(buildTime))

			It("sends a message that Recv receives", func(ctx SpecContext) {
				f := connect(c.format.Network())
				sent := f.file("")
				p := newPeer(commandOf(ctx, command), f.b, sent)
				Expect(p.ask("use sock=3 fds=4")).To(Equal("ok"))
				Expect(p.ask("send payload=" + c.payload + " fds=4")).To(Equal(fmt.Sprintf("ok n=%d", len(c.payload)/2)))
				Expect(f.from(c.format, f.a, sent)).To(Equal(c.text))
				p.quit()
			}, NodeTimeout(timeout))

			It("receives a message from Send", func(ctx SpecContext) {
				f := connect(c.format.Network())
				sent := f.file("")
				Expect(c.format.Send(wire.FD(f.a), c.text, sent)).To(Succeed())
				p := newPeer(commandOf(ctx, command), f.b)
				Expect(p.ask("use sock=3")).To(Equal("ok"))
				answer := p.ask("recv bytes=4096 fds=1")
				before, number, _ := strings.Cut(answer, " fds=")
				number, _, _ = strings.Cut(number, " ")
				Expect(before).To(Equal(fmt.Sprintf("ok n=%d payload=%s", len(c.payload)/2, c.payload)))
				Expect(p.file(number)).To(Equal(fdtest.Name(sent)))
				isEmpty(f.b)
				p.quit()
			}, NodeTimeout(timeout))
		})
	}
})
