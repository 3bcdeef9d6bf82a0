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

// sendmsgCase is a message, the function that computes its msg_controllen (CMSG_LEN or CMSG_SPACE), and
// the program that sends the same message.
type sendmsgCase struct {
	message
	control func(int) int
	program string
	flags   string // of the program's sendmsg
	command func(ctx SpecContext) *exec.Cmd
}

// sendmsgCases are the arguments of sendmsg(2) for each format.
var sendmsgCases = []sendmsgCase{
	{message{wire.APUE, "", 1, ""}, cmsgLen, "", "", nil},
	{message{wire.Book, "", 1, ""}, cmsgSpace, "UNP", "0", peerSends("book", "send payload=00 fds=4")},
	{message{wire.Conmon, "name", 1, ""}, cmsgSpace, "", "", nil},
	{message{wire.Crun, "", 1, ""}, cmsgSpace, "", "", nil},
	{message{wire.Fusermount, "", 1, ""}, cmsgSpace, "", "", nil},
	{message{wire.GVisor, "", 1, ""}, cmsgLen, "gVisor", "0", peerSends("fdchannel", "send payload=- fds=4")},
	{message{wire.HAProxySockpair, "", 1, ""}, cmsgSpace, "", "", nil},
	{message{wire.Notify, "READY=1", 0, ""}, noControl, "", "", nil},
	{message{wire.Notify, "FDSTORE=1\nFDNAME=foo", 3, ""}, cmsgSpace, "", "", nil},
	{message{wire.OpenSSH, "", 1, ""}, cmsgSpace, "GLib", "MSG_NOSIGNAL", scriptSends("glib.py", "gio-2.0", "libglib2.0-0", "4")},
	{message{wire.Passfd, "", 1, ""}, cmsgSpace, "the passfd crate", "0", func(ctx SpecContext) *exec.Cmd { return commandOf(ctx, buildPassfd(ctx), "4") }},
	{message{wire.Python, "", 1, ""}, cmsgSpace, "Python", "0", scriptSends("reduction.py", "", "", "sendfds", "1")},
	{message{wire.Python, "", 4, ""}, cmsgSpace, "Python", "0", scriptSends("reduction.py", "", "", "sendfds", "4")},
	{message{wire.QEMUBridgeHelper, "", 1, ""}, cmsgLen, "qemu-bridge-helper", "0", bridgeHelper},
	{message{wire.QMP, getfd, 1, ""}, cmsgSpace, "", "", nil},
	{message{wire.Runc, "name", 1, ""}, cmsgSpace, "runc", "0", peerSends("runc", "send payload=6e616d65 fds=4")},
	{message{wire.SeccompListener, `{"fds":["a","b"]}`, 2, ""}, cmsgSpace, "", "", nil},
	{message{wire.SkalibsAncil, "|", 1, ""}, cmsgSpace, "skalibs", "MSG_NOSIGNAL", scriptSends("skalibs.py", "skarnet", "s6", "|", "4")},
	{message{wire.SkalibsUnixmessage, "text", 3, ""}, cmsgSpace, "", "", nil},
	{message{wire.SkalibsUnixmessage, "text", 0, ""}, noControl, "", "", nil},
}

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

// build builds a peer and returns its command. The first build is slow.
func build(ctx SpecContext, name string) []string {
	GinkgoHelper()
	built := peers.BuildPartners(ctx, "..", []string{name}, GinkgoWriter)[0]
	if built.Why != "" {
		fdtest.Missing(GinkgoTB(), "peer "+name+": "+built.Why)
	}
	return built.Command
}

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
		}, NodeTimeout(timeout))

		if s.program != "" {
			It(name+" calls sendmsg with the same arguments as "+s.program, Label("real"), func(ctx SpecContext) {
				our, their := s.traced(ctx, s.sending(ctx)), s.traced(ctx, s.command(ctx))
				if data := 4 * s.fds; unix.SizeofPtr == 4 { // the program may be a 64-bit one, with longer control data
					their = strings.NewReplacer(
						fmt.Sprintf("cmsg_len=%d,", 16+data), fmt.Sprintf("cmsg_len=%d,", unix.CmsgLen(data)),
						fmt.Sprintf("msg_controllen=%d,", 16+data), fmt.Sprintf("msg_controllen=%d,", s.control(data)),
						fmt.Sprintf("msg_controllen=%d,", 16+(data+7)&^7), fmt.Sprintf("msg_controllen=%d,", s.control(data)),
					).Replace(their)
				}
				Expect(their).To(Equal(strings.TrimSuffix(our, "MSG_NOSIGNAL)") + s.flags + ")"))
			}, NodeTimeout(buildTime))
		}
	}
})

var _ = It("every format has a row in sendmsgCases", func() {
	for _, format := range wire.Formats() {
		sent := slices.ContainsFunc(sendmsgCases, func(s sendmsgCase) bool { return s.format == format })
		Expect(sent).To(BeTrue(), format.Name())
	}
})
