//go:build linux

package scm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
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
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// partners are the peers opposite the package under test in scenarios for pairs: C, Rust,
// and the package with its other backend. In other scenarios the runner is opposite.
var partners = []string{"csrc", "book", "qa", "libc", "nix", "rustix", "sendfd", "scmsocket", otherBackend()}

func otherBackend() string {
	if scm.Backend == "cgo" {
		return "scm-purego"
	}
	return "scm-cgo"
}

// builtPeers has the partners. Those that could not be built have the reason instead of a command.
// It is set before the specs run.
var builtPeers map[string]*scenario.Peer

// buildPeers builds the partners once for all processes of the suite.
func buildPeers(ctx context.Context) []byte {
	list := peers.Build(ctx, ".", "build/peers", partners, GinkgoWriter)
	text, err := json.Marshal(list)
	Expect(err).NotTo(HaveOccurred())
	return text
}

// takePeers sets builtPeers. It starts each partner once, to find out what it supports.
func takePeers(text []byte) {
	var list []peers.Built
	Expect(json.Unmarshal(text, &list)).To(Succeed())
	runner, err := process.Runner()
	Expect(err).NotTo(HaveOccurred())
	builtPeers = map[string]*scenario.Peer{scenario.RunnerName: runner}
	for _, b := range list {
		if b.Why != "" {
			Expect(os.Getenv("CI")).NotTo(Equal("true"), "CI=true, and peer %s could not be built: %s", b.Name, b.Why)
			builtPeers[b.Name] = scenario.Missing(b.Name, b.Why)
			continue
		}
		p := scenario.Program(b.Name, b.Command...)
		Expect(process.Probe(p, process.DefaultTimeout)).To(Succeed(), "peer %s", b.Name)
		builtPeers[b.Name] = p
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

// inInterop is true in .ci/run, whose make interop runs the same cases over cgo. The user and the modules of the run
// in Go differ from those of make interop.
var inInterop = os.Getenv("SCM_CATALOGUE") == "interop" && scm.Backend == "cgo"

var _ = Describe("catalogue", Label("catalogue"), func() {
	if inInterop {
		return
	}
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		panic(err)
	}
	expected, err := catalogue.Expected()
	if err != nil {
		panic(err)
	}
	expected = slices.DeleteFunc(expected, func(e scenario.Expectation) bool { return !e.On(witness.ThisKernel()) })
	for _, lib := range []peer.Library{inside.SCM(), inside.SCMPair()} {
		for _, s := range scenarios {
			for _, socketType := range s.Types {
				for _, name := range opposite(s) {
					us, partner := underTest(lib), scenario.Missing(name, "not built yet")
					if s.Play != scenario.PlayReceiver {
						specify(scenario.Case{Scenario: s, Type: socketType, A: us, B: partner}, expected)
					}
					if s.Play != scenario.PlaySender {
						specify(scenario.Case{Scenario: s, Type: socketType, A: partner, B: us}, expected)
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

// specify defines a spec for a case, unless the package under test does not support it. If the case
// is expected to fail, the spec's name begins with "expected:".
func specify(c scenario.Case, expected []scenario.Expectation) {
	role, partner := scenario.RoleA, &c.B
	if len(c.B.Command) > 0 { // partners have no command yet
		role, partner = scenario.RoleB, &c.A
	}
	if c.UnsupportedBy(role) != "" {
		return
	}
	name, want := c.Name(), scenario.Pass
	expected = slices.DeleteFunc(slices.Clone(expected), func(e scenario.Expectation) bool { return !e.Selects(c) })
	if len(expected) > 0 {
		name, want = "expected: "+name, scenario.Expected
	}
	It(name, Label((*partner).Name), func(ctx SpecContext) {
		*partner = builtPeers[(*partner).Name]
		if why := (*partner).Why; why != "" {
			Skip(why)
		}
		outcome := interop.Run(ctx, []scenario.Case{c}, &scenario.Expectations{List: expected}, interop.Options{})
		Expect(outcome.Results).To(HaveLen(1))
		r := outcome.Results[0]
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

// Print how many specs ran with each peer, and why the others were skipped.
var _ = ReportAfterSuite("specs per peer", func(r Report) {
	ran := map[string]int{}
	skipped := map[string]map[string]int{}
	for _, s := range r.SpecReports {
		for _, label := range s.Labels() {
			if !slices.Contains(partners, label) && label != scenario.RunnerName {
				continue
			}
			if s.State != types.SpecStateSkipped {
				ran[label]++
			} else if why := s.FailureMessage(); why != "" { // "" means that a filter excluded it
				if skipped[label] == nil {
					skipped[label] = map[string]int{}
				}
				skipped[label][why]++
			}
		}
	}
	fmt.Println() // end the line of Ginkgo's dots
	if inInterop {
		fmt.Println("skip: the catalogue: make interop runs it")
		return
	}
	for _, name := range append(slices.Clone(partners), scenario.RunnerName) {
		fmt.Printf("specs over %s with %s: %d\n", scm.Backend, name, ran[name])
		for _, why := range slices.Sorted(maps.Keys(skipped[name])) {
			fmt.Printf("    skipped %d: %s\n", skipped[name][why], why)
		}
	}
})
