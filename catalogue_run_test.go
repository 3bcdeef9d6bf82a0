//go:build linux

package scm_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	"github.com/scm-rights/scm/interop/peers/faulty/fault"

	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// thisSuite is the beginning of a command that runs the suite in another process.
var thisSuite = []string{"/proc/self/exe", "-test.run=^TestSuite$", "-ginkgo.no-color"}

// runSuite runs a command that runs the suite, and returns its output. The partners have these commands, and those without
// one are missing.
func runSuite(commands map[string][]string, words ...string) (string, error) {
	GinkgoHelper()
	list := filepath.Join(GinkgoT().TempDir(), "list.json")
	var built []peers.Built
	for _, name := range partners {
		b := peers.Built{Name: name, Command: commands[name]}
		if b.Command == nil {
			b.Why = "not built for this spec"
		}
		built = append(built, b)
	}
	Expect(peers.WriteList(list, built)).To(Succeed())
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "CI=", fdtest.AloneVariable+"=", peers.PartnersVariable+"="+list)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var _ = DescribeTable("the suite needs a partner if make test has built them,", Label("catalogue"), func(focus string, passes bool) {
	out, err := runSuite(nil, append(thisSuite, "-ginkgo.focus="+focus)...)
	Expect(out).To(ContainSubstring(" 0 Failed "))
	Expect(err == nil).To(Equal(passes), out)
	if !passes {
		Expect(out).To(And(ContainSubstring(": not built for this spec"), ContainSubstring("no spec ran with a partner")))
	}
},
	Entry("and fails without one", "catalogue basics/pass-one-fd/stream/.*scm-(cgo|purego)", false),
	Entry("and passes if a filter leaves the catalogue out", "Pair makes|PassCred", true),
	Entry("and passes if a filter leaves only the runner", "catalogue basics/pass-one-fd/.*/runner/", true),
)

// A counter is the package under test as a partner that adds a line with its name to a file when it starts, and in each
// case.
const counter = "counter"

var _ = Child(counter, func(args []string) {
	note := func(what string) {
		f, err := os.OpenFile(args[0], os.O_APPEND|os.O_WRONLY, 0)
		Expect(err).NotTo(HaveOccurred())
		defer f.Close()
		Expect(Second(fmt.Fprintln(f, args[1], what))).To(Succeed())
	}
	note("starts")
	lib := inside.SCM()
	open := lib.Open
	lib.Open = func(sock int) (peer.Socket, error) {
		note("runs")
		return open(sock)
	}
	peer.Main(lib)
})

// counters returns the commands of counters for all partners, and a function that returns how often each line is in
// their file.
func counters() (commands map[string][]string, count func() map[string]int) {
	file := filepath.Join(GinkgoT().TempDir(), "count")
	Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
	commands = map[string][]string{}
	for _, name := range partners {
		commands[name] = reexec.CommandLine(counter, file, name)
	}
	return commands, func() map[string]int {
		text, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		lines := map[string]int{}
		for line := range strings.Lines(string(text)) {
			lines[strings.TrimSpace(line)]++
		}
		return lines
	}
}

var _ = Describe("the specs of the catalogue", Label("catalogue"), func() {
	It("start only the partners that they need", func() {
		commands, count := counters()
		out, err := runSuite(commands, append(thisSuite, "-ginkgo.focus=catalogue basics/pass-one-fd/stream/scm-pair-[a-z]+/csrc$")...)
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(count()).To(Equal(map[string]int{"csrc starts": 2, "csrc runs": 1})) // it also starts to say what it supports
	})

	It("run each case once in two processes of Ginkgo", func() {
		dir := GinkgoT().TempDir()
		ginkgo, suite := filepath.Join(dir, "ginkgo"), filepath.Join(dir, "scm.test")
		if out, err := exec.Command("go", "build", "-o", ginkgo, "github.com/onsi/ginkgo/v2/ginkgo").CombinedOutput(); err != nil {
			fdtest.Missing(GinkgoTB(), fmt.Sprintf("cannot build the command ginkgo: %v\n%s", err, out))
		}
		Expect(os.Symlink(fmt.Sprintf("/proc/%d/exe", os.Getpid()), suite)).To(Succeed())
		commands, count := counters()
		out, err := runSuite(commands, ginkgo, "--procs=2", "--no-color", "--label-filter=csrc",
			"--output-dir="+dir, "--json-report=report.json", suite)
		Expect(err).NotTo(HaveOccurred(), out)
		text, err := os.ReadFile(filepath.Join(dir, "report.json"))
		Expect(err).NotTo(HaveOccurred())
		var reports []types.Report
		Expect(json.Unmarshal(text, &reports)).To(Succeed())
		ran := 0
		for _, s := range reports[0].SpecReports {
			if s.LeafNodeType == types.NodeTypeIt && s.State == types.SpecStatePassed {
				ran++
			}
		}
		Expect(ran).To(BeNumerically(">", 100))
		Expect(count()).To(HaveKeyWithValue("csrc runs", ran))
	})

	It("blame a partner for its faults", func() {
		commands := map[string][]string{"csrc": reexec.CommandLine(faultyPartner, "reopen")}
		out, err := runSuite(commands, append(thisSuite, "-ginkgo.label-filter=csrc", "-ginkgo.focus=catalogue basics/pass-one-fd/")...)
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("file@csrc: "))
		Expect(out).NotTo(ContainSubstring("file@scm-"))
	})

	It("blame a partner for a fault that depends on earlier cases", func() {
		commands := map[string][]string{"csrc": reexec.CommandLine(faultyPartner, "reuse")}
		out, err := runSuite(commands, append(thisSuite, "-ginkgo.label-filter=csrc")...)
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("answer@csrc: "))
		Expect(out).NotTo(MatchRegexp("[a-z]+@scm-"))
	})
})

// faultyPartner is a partner with a fault, which its argument names.
const faultyPartner = "faulty partner"

var _ = Child(faultyPartner, func(args []string) {
	f := fault.All()[args[0]]
	Expect(peer.Serve(fault.Library("csrc", f, false), os.Stdin, fault.Answers(os.Stdout, f))).To(Succeed())
})
