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

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
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
	"github.com/scm-rights/scm/interop/peers/go/peer"
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

// buildPeers builds the partners once for all processes of the suite, unless make test has built them.
func buildPeers(ctx context.Context) []byte {
	list := peers.BuildPartners(ctx, ".", partners, GinkgoWriter)
	text, err := json.Marshal(list)
	Expect(err).NotTo(HaveOccurred())
	return text
}

// takePeers sets the opponents. It starts each partner once, to find out what it supports.
func takePeers(text []byte) {
	var list []peers.Built
	Expect(json.Unmarshal(text, &list)).To(Succeed())
	runner, err := process.Runner()
	Expect(err).NotTo(HaveOccurred())
	*opponents[scenario.RunnerName] = *runner
	for _, b := range list {
		if b.Why != "" {
			Expect(os.Getenv("CI")).NotTo(Equal("true"), "CI=true, and peer %s could not be built: %s", b.Name, b.Why)
			*opponents[b.Name] = *scenario.Missing(b.Name, b.Why)
			continue
		}
		p := scenario.Program(b.Name, b.Command...)
		Expect(process.Probe(p, process.DefaultTimeout)).To(Succeed(), "peer %s", b.Name)
		*opponents[b.Name] = *p
	}
}

// underTest returns the package under test as a peer, for which the test binary starts itself.
func underTest(lib peer.Library) *scenario.Peer {
	p := scenario.Program(lib.Name, "/proc/self/exe", inside.Argument, lib.Name)
	if _, asked := hellos[lib.Name]; !asked {
		if err := process.Probe(p, process.DefaultTimeout); err != nil {
			panic(err)
		}
		hellos[lib.Name] = p.Hello
	}
	p.Hello = hellos[lib.Name]
	return p
}

// hellos has the answers of the peers under test to hello.
var hellos = map[string]contract.Hello{}

// A batch has the cases with one opponent. They run together, because starting the two peers takes longer than most
// cases.
type batch struct {
	expected *scenario.Expectations
	cases    []scenario.Case
	results  map[string]scenario.Result // by the name of the case
}

// result returns the result of a case. The first call runs the whole batch, unless a filter chose specs by name.
func (b *batch) result(ctx context.Context, c scenario.Case) scenario.Result {
	if b.results == nil {
		b.results = map[string]scenario.Result{}
		if suite, _ := GinkgoConfiguration(); len(suite.FocusStrings)+len(suite.SkipStrings) == 0 {
			b.run(ctx, b.cases...)
		}
	}
	if _, ran := b.results[c.Name()]; !ran {
		b.run(ctx, c)
	}
	r := b.results[c.Name()]
	delete(b.results, c.Name()) // another attempt of the spec runs the case again
	return r
}

func (b *batch) run(ctx context.Context, cases ...scenario.Case) {
	GinkgoHelper()
	outcome := interop.Run(ctx, cases, b.expected, interop.Options{})
	Expect(outcome.Broken).NotTo(HaveOccurred())
	Expect(outcome.Results).To(HaveLen(len(cases)))
	for _, r := range outcome.Results {
		b.results[r.Name] = r
	}
}

var _ = Describe("catalogue", Label("catalogue"), func() {
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		panic(err)
	}
	expected, err := catalogue.Expected()
	if err != nil {
		panic(err)
	}
	expected = slices.DeleteFunc(expected, func(e scenario.Expectation) bool { return !e.On(witness.ThisKernel()) })
	batches := map[string]*batch{}
	for name := range opponents {
		batches[name] = &batch{expected: &scenario.Expectations{List: expected}}
	}
	for _, lib := range []peer.Library{inside.SCM(), inside.SCMPair()} {
		us := underTest(lib)
		for _, s := range scenarios {
			for _, socketType := range s.Types {
				for _, name := range opposite(s) {
					if s.Play != scenario.PlayReceiver {
						specify(scenario.Case{Scenario: s, Type: socketType, A: us, B: opponents[name]}, scenario.RoleA, name, batches[name])
					}
					if s.Play != scenario.PlaySender {
						specify(scenario.Case{Scenario: s, Type: socketType, A: opponents[name], B: us}, scenario.RoleB, name, batches[name])
					}
				}
			}
		}
	}
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
func specify(c scenario.Case, us scenario.Role, opponent string, b *batch) {
	if c.UnsupportedBy(us) != "" {
		return
	}
	b.cases = append(b.cases, c)
	name, want := c.Name(), scenario.Pass
	if slices.ContainsFunc(b.expected.List, func(e scenario.Expectation) bool { return e.Selects(c) }) {
		name, want = "expected: "+name, scenario.Expected
	}
	It(name, Label(opponent), func(ctx SpecContext) {
		if why := opponents[opponent].Why; why != "" {
			Skip(why)
		}
		r := b.result(ctx, c)
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

var _ = DescribeTable("the suite needs a partner if make test has built them,", Label("catalogue"), func(focus string, passes bool) {
	list := filepath.Join(GinkgoT().TempDir(), "list.json")
	var none []peers.Built
	for _, name := range partners {
		none = append(none, peers.Built{Name: name, Why: "not built for this spec"})
	}
	Expect(peers.WriteList(list, none)).To(Succeed())
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSuite$", "-ginkgo.no-color", "-ginkgo.focus="+focus)
	cmd.Env = append(os.Environ(), "CI=", fdtest.AloneVariable+"=", peers.PartnersVariable+"="+list)
	out, _ := cmd.CombinedOutput()
	Expect(string(out)).To(ContainSubstring(" 0 Failed "))
	Expect(cmd.ProcessState.Success()).To(Equal(passes), "%s", out)
	if !passes {
		Expect(string(out)).To(And(ContainSubstring(": not built for this spec"), ContainSubstring("no spec ran with a partner")))
	}
},
	Entry("and fails without one", "catalogue basics/pass-one-fd/stream/.*scm-(cgo|purego)", false),
	Entry("and passes if a filter leaves the catalogue out", "Pair makes|PassCred", true),
	Entry("and passes if a filter leaves only the runner", "catalogue basics/pass-one-fd/.*/runner/", true),
)
