//go:build linux

package fdchannel_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"

	"github.com/scm-rights/scm"
	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/peers"
)

const (
	theirs = "gvisor.dev/gvisor/pkg/fdchannel"
	ours   = "github.com/scm-rights/scm/fdchannel"
)

// tags selects the backend under test in the programs that these specs build.
var tags = map[string]string{"cgo": "-tags=", "purego": "-tags=scm_purego"}[scm.Backend]

// A module that requires both packages contains the program of testdata/gvisor twice: as it is, and with the
// import changed.
var _ = Describe("a program written for gVisor's package", Label("gvisor"), Ordered, func() {
	var dir string
	programs := map[string]string{} // by import path

	BeforeAll(func() {
		dir = GinkgoT().TempDir()
		peerModule := filepath.Join("..", "interop", "peers", "go", "libraries")
		root, err := filepath.Abs("..")
		Expect(err).NotTo(HaveOccurred())
		gomod := contents(filepath.Join(peerModule, "go.mod"))
		Expect(gomod).To(ContainSubstring("=> ../../../..\n"))
		gomod = strings.Replace(gomod, "=> ../../../..\n", "=> "+root+"\n", 1)
		write(filepath.Join(dir, "go.mod"), gomod)
		write(filepath.Join(dir, "go.sum"), contents(filepath.Join(peerModule, "go.sum")))
		if out, err := command(dir, "go", "mod", "download", "gvisor.dev/gvisor"); err != nil {
			fdtest.Missing(GinkgoTB(), "gVisor's module cannot be downloaded here: "+strings.TrimSpace(out))
		}

		text := contents(filepath.Join("testdata", "gvisor", "main.go"))
		Expect(strings.Count(text, `"`+theirs+`"`)).To(Equal(1))
		for name, path := range map[string]string{"theirs": theirs, "ours": ours} {
			folder := filepath.Join(dir, name)
			Expect(os.Mkdir(folder, 0o700)).To(Succeed())
			write(filepath.Join(folder, "main.go"), strings.Replace(text, `"`+theirs+`"`, `"`+path+`"`, 1))
			programs[path] = filepath.Join(folder, name)
		}
	})

	It("compiles with our package after only the import was changed", func() {
		for _, path := range []string{theirs, ours} {
			folder := "./" + filepath.Base(filepath.Dir(programs[path]))
			for _, args := range [][]string{{"vet", tags, folder}, {"build", tags, "-o", programs[path], folder}} {
				out, err := command(dir, "go", args...)
				Expect(err).NotTo(HaveOccurred(), "go %v\n%s", args, out)
			}
		}
	})

	It("prints the same results with our package", func() {
		want, err := command(dir, programs[theirs])
		Expect(err).NotTo(HaveOccurred(), want)
		Expect(strings.Split(want, "\n")).To(HaveLen(18))
		Expect(command(dir, programs[ours])).To(Equal(want))
	})

	It("makes the same system calls with our package, except for the documented differences", func() {
		strace, err := exec.LookPath("strace")
		if err != nil {
			fdtest.Missing(GinkgoTB(), "strace: "+err.Error())
		}
		if out, err := command(dir, strace, "-o", os.DevNull, "true"); err != nil {
			reason, _, _ := strings.Cut(out, "\n")
			fdtest.Missing(GinkgoTB(), "strace cannot trace here: "+reason)
		}
		want, got := trace(strace, dir, programs[theirs]), trace(strace, dir, programs[ours])
		Expect(len(want)).To(BeNumerically(">", 20))
		Expect(contents(filepath.Join("..", "docs", "trust.md"))).To(ContainSubstring(departure))
		Expect(undo(got)).To(Equal(want))
	})

	It("passes descriptors to our package and back", func() {
		c := connect()
		file := os.NewFile(uintptr(c.duplicate(c.bs)), "socket")
		defer func() { _ = file.Close() }()
		cmd := exec.Command(programs[theirs], "echo")
		cmd.ExtraFiles = []*os.File{file}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		Expect(cmd.Start()).To(Succeed())
		for range 100 {
			sent := c.file()
			Expect(c.a.SendFD(sent)).To(Succeed())
			fd, err := c.a.RecvFD()
			c.receives(fd, err, sent)
		}
		c.a.Shutdown()
		Expect(cmd.Wait()).To(Succeed(), "standard error: %s", &stderr)
	})
})

// departure is the line of docs/trust.md that is visible in the output of strace.
const departure = "| `recvmsg`: `flags` | MSG_TRUNC | MSG_TRUNC and MSG_CMSG_CLOEXEC |"

// undo returns the lines of a trace without that departure.
func undo(lines []string) []string {
	GinkgoHelper()
	undo := strings.NewReplacer(
		"MSG_TRUNC|MSG_CMSG_CLOEXEC)", "MSG_TRUNC)",
		"MSG_TRUNC|MSG_DONTWAIT|MSG_CMSG_CLOEXEC)", "MSG_TRUNC|MSG_DONTWAIT)",
		"msg_flags=MSG_CMSG_CLOEXEC", "msg_flags=0",
	)
	var without []string
	for _, line := range lines {
		Expect(line).NotTo(And(HavePrefix("recvmsg("), Not(ContainSubstring("MSG_CMSG_CLOEXEC)"))))
		without = append(without, undo.Replace(line))
	}
	return without
}

// number matches the descriptors in a line of strace's output.
var number = regexp.MustCompile(`^\w+\(\d+|cmsg_data=\[\d+|\[\d+, \d+\]`)

// trace returns the system calls that the main thread of a program makes on sockets, from the first socketpair
// on. Descriptors are numbered in the order in which they appear.
func trace(strace, dir, program string) []string {
	GinkgoHelper()
	logs, err := os.MkdirTemp(dir, "trace")
	Expect(err).NotTo(HaveOccurred())
	out, err := command(dir, strace, "-ff", "-e", "trace=%network,close,fcntl,ioctl,poll,ppoll", "-e", "signal=none",
		"-o", filepath.Join(logs, "thread"), program)
	Expect(err).NotTo(HaveOccurred(), out)
	threads, err := filepath.Glob(filepath.Join(logs, "thread.*"))
	Expect(err).NotTo(HaveOccurred())
	for _, thread := range threads {
		_, text, found := strings.Cut(contents(thread), "socketpair(")
		if !found {
			continue
		}
		names := map[string]string{"2": "2"}
		var lines []string
		for line := range strings.Lines("socketpair(" + text) {
			lines = append(lines, number.ReplaceAllStringFunc(line, func(match string) string {
				return regexp.MustCompile(`\d+`).ReplaceAllStringFunc(match, func(fd string) string {
					if names[fd] == "" {
						names[fd] = fmt.Sprintf("#%d", len(names))
					}
					return names[fd]
				})
			}))
		}
		return lines
	}
	Fail("no thread called socketpair")
	return nil
}

// These specs use the interop runner, which asks the kernel about each descriptor. They leave out the scenarios in
// which the runner is one side, because these need more calls than the two packages have.
var _ = Describe("gVisor's package at the other end", Label("gvisor"), Ordered, ContinueOnFailure, func() {
	lib := inside.FDChannel()
	us := scenario.Program(lib.Name, "/proc/self/exe", inside.Argument, lib.Name)
	gvisor := scenario.Program("fdchannel")
	us.Hello = contract.Hello{Can: strings.Split(lib.Can, ","), Room: lib.Room}
	gvisor.Hello = us.Hello
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		panic(err)
	}
	expected, err := catalogue.Expected(witness.ThisKernel().Kind)
	if err != nil {
		panic(err)
	}
	expectations := &scenario.Expectations{List: expected, System: witness.ThisKernel()}
	var cases []scenario.Case
	var session *interop.Session

	BeforeAll(func(ctx SpecContext) {
		b := peers.BuildPartners(ctx, "..", []string{gvisor.Name}, GinkgoWriter)[0]
		if b.Why != "" {
			fdtest.Missing(GinkgoTB(), "gVisor's peer was not built: "+b.Why)
		}
		gvisor.Command = b.Command
		for _, p := range []*scenario.Peer{us, gvisor} {
			assumed := p.Hello
			Expect(process.Probe(p, process.DefaultTimeout)).To(Succeed())
			Expect(p.Hello).To(And(HaveField("Can", assumed.Can), HaveField("Room", assumed.Room)))
		}
		runner, err := process.Runner()
		Expect(err).NotTo(HaveOccurred())
		session, err = interop.Open(cases, expectations, interop.Options{Runner: runner})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(session.Close)
	})

	for _, s := range scenarios {
		if s.Play != scenario.PlayPair && s.Play != scenario.PlaySolo {
			continue
		}
		for _, socketType := range s.Types {
			for _, c := range []scenario.Case{
				{Scenario: s, Type: socketType, A: us, B: gvisor},
				{Scenario: s, Type: socketType, A: gvisor, B: us},
			} {
				if c.Unsupported() != "" {
					continue
				}
				cases = append(cases, c)
				name, want := c.Name(), scenario.Pass
				if len(expectations.For(c)) > 0 {
					name, want = "expected: "+name, scenario.Expected
				}
				It(name, func(ctx SpecContext) {
					r := session.Run(ctx, c)
					AddReportEntry("transcript", strings.Join(r.Transcript, "\n"), ReportEntryVisibilityFailureOrVerbose)
					if r.Verdict == scenario.Unsupported {
						Skip(r.Why)
					}
					Expect(r.Verdict).To(Equal(want), "%s %v", r.Why, r.Findings)
				})
			}
		}
	}
	if len(cases) == 0 {
		panic("no scenario is for these packages")
	}
})

func command(dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // so that no program hangs
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func contents(name string) string {
	GinkgoHelper()
	text, err := os.ReadFile(name)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

func write(name, text string) {
	GinkgoHelper()
	Expect(os.WriteFile(name, []byte(text), 0o600)).To(Succeed())
}
