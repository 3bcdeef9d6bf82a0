//go:build linux

package wire_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/wire"
)

// realSender is a program that sends a message, and the flags of its sendmsg.
type realSender struct {
	message
	program, flags string
	command        func(ctx SpecContext) *exec.Cmd
}

var realSenders = []realSender{
	{message{wire.Book, "", 1, ""}, "UNP", "0", peerSends("book", "send payload=00 fds=4")},
	{message{wire.GVisor, "", 1, ""}, "gVisor", "0", peerSends("fdchannel", "send payload=- fds=4")},
	{message{wire.OpenSSH, "", 1, ""}, "GLib", "MSG_NOSIGNAL",
		scriptSends("glib.py", "gio-2.0", "libglib2.0-0", "4")},
	{message{wire.Passfd, "", 1, ""}, "the passfd crate", "0", passfdSends},
	{message{wire.Python, "", 1, ""}, "Python", "0", scriptSends("reduction.py", "", "", "sendfds", "1")},
	{message{wire.Python, "", 4, ""}, "Python", "0", scriptSends("reduction.py", "", "", "sendfds", "4")},
	{message{wire.QEMUBridgeHelper, "", 1, ""}, "qemu-bridge-helper", "0", bridgeHelper},
	{message{wire.Runc, "name", 1, ""}, "runc", "0", peerSends("runc", "send payload=6e616d65 fds=4")},
	{message{wire.SkalibsAncil, "|", 1, ""}, "skalibs", "MSG_NOSIGNAL",
		scriptSends("skalibs.py", "skarnet", "s6", "|", "4")},
}

// control returns the msg_controllen of the message.
func (m message) control() int {
	switch {
	case m.fds == 0:
		return 0
	case slices.Contains(unpadded, m.format):
		return unix.CmsgLen(4 * m.fds)
	}
	return unix.CmsgSpace(4 * m.fds)
}

// A receiver cannot see the length of the control data that was sent, but strace can. Each format passes the
// same arguments to sendmsg as its program, except that all formats add MSG_NOSIGNAL to the flags.

// The child sends a message of the format through socket 3, with the descriptors from 4 on.
var _ = Child("send", func(args []string) {
	format, _ := wire.Lookup(args[0])
	fds := make([]int, ok(strconv.Atoi(args[2])))
	for i := range fds {
		fds[i] = 4 + i
	}
	Expect(format.Send(wire.FD(3), args[1], fds...)).To(Succeed())
})

// scriptSends returns a function that makes the command of a script in testdata that sends a message.
func scriptSends(name, library, debian string, words ...string) func(ctx SpecContext) *exec.Cmd {
	return func(ctx SpecContext) *exec.Cmd {
		GinkgoHelper()
		return commandOf(ctx, script(name, library, debian), words...)
	}
}

// peerSends returns a function that makes the command of a peer that sends a message.
func peerSends(peer, line string) func(ctx SpecContext) *exec.Cmd {
	return func(ctx SpecContext) *exec.Cmd {
		GinkgoHelper()
		cmd := commandOf(ctx, build(ctx, peer))
		cmd.Stdin = strings.NewReader("use sock=3 fds=4\n" + line + "\n")
		return cmd
	}
}

// build builds a peer and returns its command. The first build is slow.
func build(ctx SpecContext, name string) []string {
	GinkgoHelper()
	built := peers.BuildPartner(ctx, "..", name, GinkgoWriter)
	if built.Why != "" {
		fdtest.Missing(GinkgoTB(), built.Lacks, "peer "+name+": "+built.Why)
	}
	return built.Command
}

// passfdSends builds a program that only calls the crate passfd, and returns the command that sends.
func passfdSends(ctx SpecContext) *exec.Cmd {
	GinkgoHelper()
	cargo := program("cargo", "cargo-web rustc-web")
	program("cc", "gcc") // for linking
	target := ok(filepath.Abs("../build/wire/passfd"))
	out, err := exec.CommandContext(ctx, cargo, "build", "--quiet", "--release", "--locked",
		"--manifest-path", "testdata/passfd/Cargo.toml", "--target-dir", target).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	return exec.CommandContext(ctx, filepath.Join(target, "release", "passfd-peer"), "4")
}

// sending returns the command of a program that sends the message with package wire.
func (m message) sending(ctx SpecContext) *exec.Cmd {
	return commandOf(ctx, reexec.CommandLine("send", m.format.Name(), m.text, strconv.Itoa(m.fds)))
}

// varying matches what may differ between two programs: the descriptors, a field that sendmsg does not
// read, and the address of an empty array.
var varying = regexp.MustCompile(`cmsg_data=\[[^]]*\]|msg_flags=[^}]*|msg_iov=(NULL|\[\])`)

var sendmsgLine = regexp.MustCompile(`(?m)^(?:\d+ +)?(sendmsg\(3, .*\)) += \d+$`)

// traced runs the command and returns the line that strace prints for its only sendmsg on descriptor 3.
func (m message) traced(ctx SpecContext, cmd *exec.Cmd) string {
	GinkgoHelper()
	CannotEmulate(fdtest.Traced)
	strace := FindStrace()
	f := connect(m.format.Network())
	file := filepath.Join(GinkgoT().TempDir(), "strace")
	words := []string{strace, "-f", "-v", "-e", "trace=sendmsg", "-e", "signal=none", "-o", file}
	traced := commandOf(ctx, words, cmd.Args...)
	traced.Env, traced.Stdin = cmd.Env, cmd.Stdin
	runWithFDs(traced, append([]int{int(f.b)}, f.files(m.fds)...)...)
	text := ok(os.ReadFile(file))
	lines := sendmsgLine.FindAllStringSubmatch(string(text), -1)
	Expect(lines).To(HaveLen(1), "%s", text)
	return varying.ReplaceAllStringFunc(lines[0][1], func(field string) string {
		name, _, _ := strings.Cut(field, "=")
		return name + "=…"
	})
}

var _ = Describe("in the", func() {
	for _, g := range golden {
		name := quoted(g.format) + ", sending " + g.content()
		It(name+" calls sendmsg with exactly as much control data as the format defines", func(ctx SpecContext) {
			line := g.traced(ctx, g.sending(ctx))
			Expect(line).To(ContainSubstring("msg_controllen=%d,", g.control()))
			Expect(line).To(HaveSuffix(", MSG_NOSIGNAL)"))
			if g.fds > 0 {
				Expect(line).To(ContainSubstring("cmsg_len=%d,", unix.CmsgLen(4*g.fds)))
			}
		}, NodeTimeout(timeout))
	}

	for _, s := range realSenders {
		name := quoted(s.format) + ", sending " + s.content()
		It(name+" calls sendmsg with the same arguments as "+s.program, Label("real"), func(ctx SpecContext) {
			our, their := s.traced(ctx, s.sending(ctx)), s.traced(ctx, s.command(ctx))
			if data := 4 * s.fds; unix.SizeofPtr == 4 { // the program may be a 64-bit one, with longer control data
				their = strings.NewReplacer(
					fmt.Sprintf("cmsg_len=%d,", 16+data), fmt.Sprintf("cmsg_len=%d,", unix.CmsgLen(data)),
					fmt.Sprintf("msg_controllen=%d,", 16+data), fmt.Sprintf("msg_controllen=%d,", s.control()),
					fmt.Sprintf("msg_controllen=%d,", 16+(data+7)&^7), fmt.Sprintf("msg_controllen=%d,", s.control()),
				).Replace(their)
			}
			Expect(their).To(Equal(strings.TrimSuffix(our, "MSG_NOSIGNAL)") + s.flags + ")"))
		}, NodeTimeout(buildTime))
	}
})
