//go:build linux

package wire_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// A receiver cannot see the length of the control data that was sent, but strace can. Each format passes the
// same arguments to sendmsg as its program, except that all formats add MSG_NOSIGNAL to the flags.

// The child sends a message of the format through socket 3, with the descriptors from 4 on.
var _ = child("send", func(args []string) error {
	format, _ := wire.Lookup(args[0])
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	fds := make([]int, n)
	for i := range fds {
		fds[i] = 4 + i
	}
	return format.Send(wire.FD(3), args[1], fds...)
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

// sending returns the command of a program that sends the message with package wire.
func (s sendmsgCase) sending(ctx SpecContext) *exec.Cmd {
	GinkgoHelper()
	line := reexec.CommandLine("send", s.format.Name(), s.text, strconv.Itoa(s.fds))
	return exec.CommandContext(ctx, line[0], line[1:]...)
}

// varying matches what may differ between two programs: the descriptors, a field that sendmsg does not
// read, and the address of an empty array.
var varying = regexp.MustCompile(`cmsg_data=\[[^]]*\]|msg_flags=[^}]*|msg_iov=(NULL|\[\])`)

var sendmsgLine = regexp.MustCompile(`(?m)^(?:\d+ +)?(sendmsg\(3, .*\)) += \d+$`)

// traced runs the command and returns the line that strace prints for its only sendmsg on descriptor 3.
func (s sendmsgCase) traced(ctx SpecContext, cmd *exec.Cmd) string {
	GinkgoHelper()
	CannotEmulate(fdtest.Traced)
	strace := FindStrace()
	f := connect(s.format.Network())
	file := filepath.Join(GinkgoT().TempDir(), "strace")
	traced := exec.CommandContext(ctx, strace, append([]string{"-f", "-v", "-e", "trace=sendmsg", "-e", "signal=none", "-o", file}, cmd.Args...)...)
	traced.Env, traced.Stdin = cmd.Env, cmd.Stdin
	runWithFDs(traced, append([]int{f.b}, f.files(s.fds)...)...)
	text := ok(os.ReadFile(file))
	lines := sendmsgLine.FindAllStringSubmatch(string(text), -1)
	Expect(lines).To(HaveLen(1), "%s", text)
	return varying.ReplaceAllStringFunc(lines[0][1], func(field string) string {
		name, _, _ := strings.Cut(field, "=")
		return name + "=…"
	})
}

var _ = Describe("in the", func() {
	for _, s := range sendmsgCases {
		name := quoted(s.format) + ", sending " + Count(s.fds, "descriptor")

		It(name+" calls sendmsg with exactly as much control data as the format defines", func(ctx SpecContext) {
			line := s.traced(ctx, s.sending(ctx))
			Expect(line).To(ContainSubstring("msg_controllen=%d,", s.control(4*s.fds)))
			Expect(line).To(HaveSuffix(", MSG_NOSIGNAL)"))
			if s.fds > 0 {
				Expect(line).To(ContainSubstring("cmsg_len=%d,", unix.CmsgLen(4*s.fds)))
			}
		}, NodeTimeout(patience))

		if s.program != "" {
			It(name+" calls sendmsg with the same arguments as "+s.program, Label("real"), func(ctx SpecContext) {
				our, their := s.traced(ctx, s.sending(ctx)), s.traced(ctx, s.command(ctx))
				Expect(their).To(Equal(strings.TrimSuffix(our, "MSG_NOSIGNAL)") + s.flags + ")"))
			}, NodeTimeout(buildTime))
		}
	}
})
