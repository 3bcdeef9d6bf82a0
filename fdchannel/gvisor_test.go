//go:build linux

package fdchannel_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/spectest"
)

// departure is the line of docs/trust.md that is visible in the output of strace, and undo takes it back.
const departure = "| `recvmsg`: `flags` | MSG_TRUNC | MSG_TRUNC and MSG_CMSG_CLOEXEC |"

var undo = strings.NewReplacer(
	"MSG_TRUNC|MSG_CMSG_CLOEXEC)", "MSG_TRUNC)",
	"MSG_TRUNC|MSG_DONTWAIT|MSG_CMSG_CLOEXEC)", "MSG_TRUNC|MSG_DONTWAIT)",
	"msg_flags=MSG_CMSG_CLOEXEC", "msg_flags=0",
)

// A module that requires both packages contains the program of testdata/gvisor twice: as it is, and with the
// import changed.
var _ = Describe("a program written for gVisor's package", Label("gvisor"), Ordered, func() {
	var dir, theirs, ours string // the programs

	BeforeAll(func() {
		dir = GinkgoT().TempDir()
		peerModule := filepath.Join("..", "interop", "peers", "go", "libraries")
		root := spectest.OK(filepath.Abs(".."))
		gomod := contents(filepath.Join(peerModule, "go.mod"))
		Expect(gomod).To(ContainSubstring("=> ../../../..\n"))
		write(filepath.Join(dir, "go.mod"), strings.Replace(gomod, "=> ../../../..\n", "=> "+strconv.Quote(root)+"\n", 1))
		write(filepath.Join(dir, "go.sum"), contents(filepath.Join(peerModule, "go.sum")))
		if out, err := command(dir, "go", "mod", "download", "gvisor.dev/gvisor"); err != nil {
			fdtest.Missing(GinkgoTB(), "gVisor's module", "gVisor's module cannot be downloaded here: "+strings.TrimSpace(out))
		}

		text := contents(filepath.Join("testdata", "gvisor", "main.go"))
		build := func(path string) string {
			name := path[:strings.Index(path, ".")]
			program := strings.Replace(text, `"gvisor.dev/gvisor/pkg/fdchannel"`, `"`+path+`"`, 1)
			Expect(program).To(ContainSubstring(path))
			Expect(os.Mkdir(filepath.Join(dir, name), 0o700)).To(Succeed())
			write(filepath.Join(dir, name, "main.go"), program)
			tags := map[string]string{"cgo": "-tags=", "purego": "-tags=scm_purego"}[scm.Backend]
			for _, args := range [][]string{{"vet", tags, "./" + name}, {"build", tags, "-o", name, "./" + name}} {
				out, err := command(dir, "go", args...)
				Expect(err).NotTo(HaveOccurred(), "go %v\n%s", args, out)
			}
			return filepath.Join(dir, name, name)
		}
		theirs, ours = build("gvisor.dev/gvisor/pkg/fdchannel"), build("github.com/scm-rights/scm/fdchannel")
	})

	It("prints the same results with our package", func() {
		want, err := command(dir, theirs)
		Expect(err).NotTo(HaveOccurred(), want)
		Expect(strings.Split(want, "\n")).To(HaveLen(18))
		Expect(command(dir, ours)).To(Equal(want))
	})

	It("makes the same system calls with our package, except for the documented differences", func() {
		want, got := trace(theirs), trace(ours)
		Expect(len(want)).To(BeNumerically(">", 20))
		Expect(contents(filepath.Join("..", "docs", "trust.md"))).To(ContainSubstring(departure))
		for i, line := range got {
			Expect(line).NotTo(And(HavePrefix("recvmsg("), Not(ContainSubstring("MSG_CMSG_CLOEXEC)"))))
			got[i] = undo.Replace(line)
		}
		Expect(got).To(Equal(want))
	})
})

// number matches the descriptors in a line of strace's output.
var number = regexp.MustCompile(`^\w+\(\d+|cmsg_data=\[\d+|\[\d+, \d+\]`)

// trace returns the system calls that the main thread of a program makes on sockets, from the first socketpair
// on. Descriptors are numbered in the order in which they appear.
func trace(program string) (lines []string) {
	GinkgoHelper()
	logs := GinkgoT().TempDir()
	out, err := command(logs, spectest.FindStrace(), "-ff", "-e", "trace=%network,close,fcntl,ioctl,poll,ppoll",
		"-e", "signal=none", "-o", "thread", program)
	Expect(err).NotTo(HaveOccurred(), out)
	threads := spectest.OK(filepath.Glob(filepath.Join(logs, "thread.*")))
	for _, thread := range threads {
		_, text, found := strings.Cut(contents(thread), "socketpair(")
		if !found {
			continue
		}
		names := map[string]string{"2": "2"}
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
	}
	return lines
}

func command(dir, name string, args ...string) (string, error) {
	GinkgoHelper()
	limit := fdtest.Limit(5 * time.Minute) // so that no program hangs
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	Expect(ctx.Err()).NotTo(HaveOccurred(), "%q reached the time limit of %v\n%s", cmd.Args, limit, out)
	return string(out), err
}

func contents(name string) string {
	GinkgoHelper()
	text := spectest.OK(os.ReadFile(name))
	return string(text)
}

func write(name, text string) {
	GinkgoHelper()
	Expect(os.WriteFile(name, []byte(text), 0o600)).To(Succeed())
}
