//go:build linux

package scm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// partners are the peers opposite the package under test in scenarios for pairs: C, Rust,
// and the package with its other backend. In other scenarios the runner is opposite.
var partners = append(slices.Clone(peers.Partners), otherBackend())

func otherBackend() string {
	if scm.Backend == "cgo" {
		return "scm-purego"
	}
	return "scm-cgo"
}

// opponents are the partners and the runner, by name. takePeers sets the command of each, or the reason why it has
// none, before the specs run.
var opponents = func() map[string]*scenario.Peer {
	all := map[string]*scenario.Peer{}
	for _, name := range append(slices.Clone(partners), scenario.RunnerName) {
		all[name] = scenario.Missing(name, "not built yet")
	}
	return all
}()

// broken says why the build of a partner failed although all tools are installed. takePeers sets it.
var broken = map[string]string{}

// buildPeers builds the partners once for all processes of the suite, unless make test has built them.
func buildPeers(ctx context.Context) []byte {
	list := peers.BuildPartners(ctx, ".", partners, GinkgoWriter)
	text, err := json.Marshal(list)
	Expect(err).NotTo(HaveOccurred())
	return text
}

// takePeers sets the opponents. It starts none: a filter may leave them out.
func takePeers(text []byte) {
	var list []peers.Built
	Expect(json.Unmarshal(text, &list)).To(Succeed())
	opponents[scenario.RunnerName].Why = ""
	for _, b := range list {
		if b.Why != "" {
			Expect(os.Getenv("CI")).NotTo(Equal("true"), "CI=true, and peer %s could not be built: %s", b.Name, b.Why)
			*opponents[b.Name] = *scenario.Missing(b.Name, b.Why)
			if b.Broken {
				broken[b.Name] = b.Why
			}
			continue
		}
		*opponents[b.Name] = *scenario.Program(b.Name, b.Command...)
	}
}

// runner returns the runner's own peer.
var runner = sync.OnceValues(process.Runner)

// underTest returns the package under test as a peer, for which the test binary starts itself.
func underTest(lib peer.Library) *scenario.Peer {
	p := scenario.Program(lib.Name, "/proc/self/exe", inside.Argument, lib.Name)
	var answer strings.Builder
	err := peer.Serve(lib, strings.NewReader("hello\n"), &answer)
	if err == nil {
		p.Hello, err = contract.ParseHello(strings.TrimSpace(answer.String()))
	}
	if err != nil {
		panic(err)
	}
	return p
}

// load returns the scenarios, and the failures that are expected on this kernel.
var load = sync.OnceValues(func() ([]*scenario.Scenario, *scenario.Expectations) {
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		panic(err)
	}
	expected, err := catalogue.Expected()
	if err != nil {
		panic(err)
	}
	expected = slices.DeleteFunc(expected, func(e scenario.Expectation) bool { return !e.On(witness.ThisKernel()) })
	return scenarios, &scenario.Expectations{List: expected}
})

// A batch has the specs with one opponent. The peers keep running from one spec to the next, because starting them
// takes longer than most cases. They end with the batch, so that no other spec sees them.
type batch struct {
	opponent *scenario.Peer
	expected *scenario.Expectations
	cases    []scenario.Case
	session  *interop.Session
}

// Ginkgo runs the specs of an ordered container in one process. It runs those of a serial one while no other process
// runs specs.
func init() {
	for _, name := range append(slices.Clone(partners), scenario.RunnerName) {
		labels := Label("catalogue", name)
		Describe("catalogue", labels, Ordered, ContinueOnFailure, func() { describeCases(opponents[name], false) })
		Describe("catalogue", labels, Ordered, ContinueOnFailure, Serial, func() { describeCases(opponents[name], true) })
	}
}

// describeCases defines the specs with an opponent, either those that run alone or the others.
func describeCases(opponent *scenario.Peer, alone bool) {
	scenarios, expected := load()
	b := &batch{opponent: opponent, expected: expected}
	for _, lib := range []peer.Library{inside.SCM(), inside.SCMPair()} {
		us := underTest(lib)
		for _, s := range scenarios {
			if s.RunsAlone() != alone || !slices.Contains(opposite(s), opponent.Name) {
				continue
			}
			for _, socketType := range s.Types {
				if s.Play != scenario.PlayReceiver {
					b.specify(scenario.Case{Scenario: s, Type: socketType, A: us, B: opponent}, scenario.RoleA)
				}
				if s.Play != scenario.PlaySender {
					b.specify(scenario.Case{Scenario: s, Type: socketType, A: opponent, B: us}, scenario.RoleB)
				}
			}
		}
	}
	BeforeAll(b.open)
}

// open gets ready to run the cases. It starts the opponent once, to find out what it supports.
func (b *batch) open() {
	Expect(broken).NotTo(HaveKey(b.opponent.Name), "the build failed: repair it, or leave its specs out")
	if b.opponent.Why != "" {
		return // each spec shows the reason
	}
	self, err := runner()
	Expect(err).NotTo(HaveOccurred())
	if b.opponent.Name == scenario.RunnerName {
		*b.opponent = *self
	} else {
		Expect(process.Probe(b.opponent, process.DefaultTimeout)).To(Succeed(), "peer %s", b.opponent.Name)
	}
	b.session, err = interop.Open(b.cases, b.expected, interop.Options{Runner: self})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(b.session.Close)
}

var _ = It("a partner whose build is broken fails its specs", func() {
	partner := opponents[partners[0]]
	saved := *partner
	DeferCleanup(func() {
		*partner = saved
		delete(broken, partner.Name)
	})
	Expect(InterceptGomegaFailure(func() {
		takePeers([]byte(`[{"name": "` + partner.Name + `", "why": "undefined reference", "broken": true}]`))
		(&batch{opponent: partner}).open()
	})).To(MatchError(ContainSubstring("undefined reference")))
})

// opposite returns the names of the peers that run a scenario with the package under test.
func opposite(s *scenario.Scenario) []string {
	switch s.Play {
	case scenario.PlayKernel:
		return nil
	case scenario.PlayPair:
		return partners
	}
	return []string{scenario.RunnerName}
}

// specify defines a spec for a case, unless the package under test, which has this role, does not support it. If the
// case is expected to fail, the spec's name begins with "expected:".
func (b *batch) specify(c scenario.Case, us scenario.Role) {
	if c.UnsupportedBy(us) != "" {
		return
	}
	b.cases = append(b.cases, c)
	name, want := c.Name(), scenario.Pass
	if slices.ContainsFunc(b.expected.List, func(e scenario.Expectation) bool { return e.Selects(c) }) {
		name, want = "expected: "+name, scenario.Expected
	}
	It(name, func(ctx SpecContext) {
		if b.opponent.Why != "" {
			Skip(b.opponent.Why)
		}
		Expect(CurrentSpecReport().IsSerial).To(Equal(c.Scenario.RunsAlone()))
		r := b.session.Run(ctx, c)
		AddReportEntry("transcript", strings.Join(r.Transcript, "\n"), ReportEntryVisibilityFailureOrVerbose)
		if r.Verdict == scenario.Unsupported {
			Skip(r.Why)
		}
		Expect(r.Verdict).To(Equal(want), "%s%s", r.Why, findings(r))
	})
}

func findings(r scenario.Result) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n%s", f)
	}
	return b.String()
}

// Print how many specs ran with each peer, and why the others were skipped. If the partners must be there, the suite
// fails if no spec ran with them, or with one of them, unless a filter left these specs out.
var _ = ReportAfterSuite("specs per peer", func(r Report) {
	ran, leftOut := map[string]int{}, map[string]int{}
	skipped := map[string]map[string]int{}
	for _, s := range r.SpecReports {
		for _, label := range s.Labels() {
			if opponents[label] == nil {
				continue
			}
			if s.State != types.SpecStateSkipped {
				ran[label]++
			} else if why := s.FailureMessage(); why == "" {
				leftOut[label]++
			} else {
				if skipped[label] == nil {
					skipped[label] = map[string]int{}
				}
				skipped[label][why]++
			}
		}
	}
	fmt.Println() // end the line of Ginkgo's dots
	for _, name := range append(slices.Clone(partners), scenario.RunnerName) {
		fmt.Printf("specs over %s with %s: %d\n", scm.Backend, name, ran[name])
		for _, why := range slices.Sorted(maps.Keys(skipped[name])) {
			fmt.Printf("    skipped %d: %s\n", skipped[name][why], why)
		}
	}
	if os.Getenv(fdtest.AloneVariable) != "" || os.Getenv(peers.PartnersVariable) == "" && os.Getenv("CI") != "true" {
		return
	}
	some, filtered := false, true
	for _, name := range partners {
		some = some || ran[name] > 0
		filtered = filtered && leftOut[name] > 0 && len(skipped[name]) == 0
		if leftOut[name] == 0 && opponents[name].Why == "" {
			Expect(ran[name]).NotTo(BeZero(), "no spec ran with %s", name)
		}
	}
	Expect(some || filtered).To(BeTrue(), "no spec ran with a partner in C or Rust or with the other backend")
})

// thisSuite is the beginning of a command that runs the suite in another process.
var thisSuite = []string{"/proc/self/exe", "-test.run=^TestSuite$", "-ginkgo.no-color"}

// runSuite runs a command that runs the suite, and returns its output. The partners have these commands, and those
// without one are missing.
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
		// it also starts to say what it supports
		Expect(count()).To(Equal(map[string]int{"csrc starts": 2, "csrc runs": 1}))
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
})
