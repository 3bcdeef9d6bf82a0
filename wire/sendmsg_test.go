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
	"github.com/scm-rights/scm/wire"
)

// A receiver cannot see how long the control data was on send: strace can. What a
// format says to the kernel is what its program says, but for the flags, which have
// MSG_NOSIGNAL in every format.

// The child sends a message of the format, as our own programs do, on socket 3, with
// descriptors from 4 on.
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
	return format.Send(3, args[1], fds...)
})

// said is a message, whether its msg_controllen is CMSG_LEN or CMSG_SPACE, and the
// program that sends the same.
type said struct {
	message
	control func(int) int
	program string
	flags   string // the program's
	command func(ctx SpecContext) *exec.Cmd
}

var cmsgLen, cmsgSpace = unix.CmsgLen, unix.CmsgSpace

// noControl is said without descriptors.
func noControl(int) int { return 0 }

var everythingSaid = []said{
	{message{wire.APUE, "", 1, ""}, cmsgLen, "", "", nil},
	{message{wire.Book, "", 1, ""}, cmsgSpace, "the book", "0", toldTo("book", "send payload=00 fds=4")},
	{message{wire.Conmon, "name", 1, ""}, cmsgSpace, "", "", nil},
	{message{wire.Crun, "", 1, ""}, cmsgSpace, "", "", nil},
	{message{wire.GVisor, "", 1, ""}, cmsgLen, "gVisor", "0", toldTo("fdchannel", "send payload=- fds=4")},
	{message{wire.HAProxySockpair, "", 1, ""}, cmsgSpace, "", "", nil},
	{message{wire.Notify, "READY=1", 0, ""}, noControl, "", "", nil},
	{message{wire.Notify, "FDSTORE=1\nFDNAME=foo", 3, ""}, cmsgSpace, "", "", nil},
	{message{wire.OpenSSH, "", 1, ""}, cmsgSpace, "GLib", "MSG_NOSIGNAL", scripted("glib.py", "gio-2.0", "libglib2.0-0", "send", "4")},
	{message{wire.Passfd, "", 1, ""}, cmsgSpace, "the crate passfd", "0", func(ctx SpecContext) *exec.Cmd { return commandOf(ctx, buildPassfd(ctx), "send", "4") }},
	{message{wire.Python, "", 1, ""}, cmsgSpace, "Python", "0", scripted("reduction.py", "", "", "sendfds", "1")},
	{message{wire.Python, "", 4, ""}, cmsgSpace, "Python", "0", scripted("reduction.py", "", "", "sendfds", "4")},
	{message{wire.Runc, "name", 1, ""}, cmsgSpace, "runc", "0", toldTo("runc", "send payload=6e616d65 fds=4")},
	{message{wire.SkalibsAncil, "|", 1, ""}, cmsgSpace, "skalibs", "MSG_NOSIGNAL", scripted("skalibs.py", "skarnet", "s6", "send", "|", "4")},
	{message{wire.SkalibsUnixmessage, "text", 3, ""}, cmsgSpace, "", "", nil},
	{message{wire.SkalibsUnixmessage, "text", 0, ""}, noControl, "", "", nil},
}

// scripted is a script of testdata that sends.
func scripted(name, library, debian string, words ...string) func(ctx SpecContext) *exec.Cmd {
	return func(ctx SpecContext) *exec.Cmd {
		GinkgoHelper()
		return commandOf(ctx, script(name, library, debian), words...)
	}
}

// toldTo is a peer that sends.
func toldTo(peer, line string) func(ctx SpecContext) *exec.Cmd {
	return func(ctx SpecContext) *exec.Cmd {
		GinkgoHelper()
		cmd := commandOf(ctx, build(ctx, peer))
		cmd.Stdin = strings.NewReader("use sock=3 fds=4\n" + line + "\n")
		return cmd
	}
}

// sending is ours.
func (s said) sending(ctx SpecContext) *exec.Cmd {
	GinkgoHelper()
	self, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	cmd := exec.CommandContext(ctx, self, s.format.Name(), s.text, strconv.Itoa(s.fds))
	cmd.Env = append(os.Environ(), childEnvironment("send")...)
	return cmd
}

// unsaid is what tells nothing: which number a program has for a file, what is in a
// field that sendmsg does not read, and where an empty array lies.
var unsaid = regexp.MustCompile(`cmsg_data=\[[^]]*\]|msg_flags=[^}]*|msg_iov=(NULL|\[\])`)

var sendmsgLine = regexp.MustCompile(`(?m)^(?:\d+ +)?(sendmsg\(3, .*\)) += \d+$`)

// traced is how strace writes the program's one sendmsg on descriptor 3.
func (s said) traced(ctx SpecContext, cmd *exec.Cmd) string {
	GinkgoHelper()
	cannotEmulate(fdtest.Traced)
	strace := program("strace", "strace")
	if out, err := exec.CommandContext(ctx, strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		Skip("strace may not trace here: " + string(out))
	}
	f := connect(s.format.Network())
	file := filepath.Join(GinkgoT().TempDir(), "strace")
	traced := exec.CommandContext(ctx, strace, append([]string{"-f", "-v", "-e", "trace=sendmsg", "-e", "signal=none", "-o", file}, cmd.Args...)...)
	traced.Env, traced.Stdin = cmd.Env, cmd.Stdin
	hands(traced, append([]int{f.b}, f.files(s.fds)...)...)
	text, err := os.ReadFile(file)
	Expect(err).NotTo(HaveOccurred())
	lines := sendmsgLine.FindAllStringSubmatch(string(text), -1)
	Expect(lines).To(HaveLen(1), "%s", text)
	return unsaid.ReplaceAllStringFunc(lines[0][1], func(field string) string {
		name, _, _ := strings.Cut(field, "=")
		return name + "=…"
	})
}

var _ = Describe("sendmsg", func() {
	for _, s := range everythingSaid {
		name := s.format.Name() + ", " + strconv.Itoa(s.fds) + " descriptors"

		It("of "+name+", has so much control data", func(ctx SpecContext) {
			line := s.traced(ctx, s.sending(ctx))
			Expect(line).To(ContainSubstring("msg_controllen=%d,", s.control(4*s.fds)))
			Expect(line).To(HaveSuffix(", MSG_NOSIGNAL)"))
			if s.fds > 0 {
				Expect(line).To(ContainSubstring("cmsg_len=%d,", unix.CmsgLen(4*s.fds)))
			}
		}, NodeTimeout(patience))

		if s.program != "" {
			It("of "+name+", is that of "+s.program, Label("real"), func(ctx SpecContext) {
				our, their := s.traced(ctx, s.sending(ctx)), s.traced(ctx, s.command(ctx))
				Expect(their).To(Equal(strings.TrimSuffix(our, "MSG_NOSIGNAL)") + s.flags + ")"))
			}, NodeTimeout(buildTime))
		}
	}
})
