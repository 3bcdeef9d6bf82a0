//go:build linux

package scm_test

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/libcases"
	"github.com/scm-rights/scm/interop"
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
	scenarios, expected, err := libcases.Load()
	if err != nil {
		panic(err)
	}
	return scenarios, &scenario.Expectations{List: expected, System: witness.ThisKernel()}
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
		for _, c := range libcases.With(scenarios, underTest(lib), opponent, opponents[scenario.RunnerName]) {
			if c.Scenario.RunsAlone() == alone {
				b.specify(c)
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

// specify defines a spec for a case. If the case is expected to fail, the spec's name begins with "expected:".
func (b *batch) specify(c scenario.Case) {
	b.cases = append(b.cases, c)
	name, want := c.Name(), scenario.Pass
	if len(b.expected.For(c)) > 0 {
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
		Expect(r.Verdict).To(Equal(want), "%s\n%s", r.Why, libcases.Wrong(r))
	})
}
