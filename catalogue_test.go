//go:build linux

package scm_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/libcases"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// partners are the peers opposite the package under test in scenarios for pairs: C, Rust, the package with its other
// backend, and strangers. In other scenarios the runner is opposite.
var partners = append(append(slices.Clone(peers.Partners), otherBackend()), strangers()...)

// strangers returns the peers that only the list of $SCM_PARTNERS has.
func strangers() (names []string) {
	file := os.Getenv(peers.PartnersVariable)
	list, err := peers.ReadList(file)
	if file != "" && err != nil && !errors.Is(err, fs.ErrPermission) { // children of other users need no list
		panic(peers.PartnersVariable + ": " + err.Error()) // a filter for their names would select no spec, and pass
	}
	for _, b := range list {
		if slices.Contains(append([]string{scenario.RunnerName, scenario.KernelName, inside.SCMPair().Name}, names...), b.Name) {
			panic(peers.PartnersVariable + ": two peers are named " + b.Name)
		}
		if !slices.Contains(append([]string{"scm-cgo", "scm-purego"}, peers.Partners...), b.Name) {
			names = append(names, b.Name)
		}
	}
	return names
}

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

// broken says why the build of a partner failed although all tools are installed, and lacking what a partner needs and
// the machine does not have. takePeers sets them.
var broken, lacking = map[string]string{}, map[string]string{}

// buildPeers builds the partners once for all processes of the suite, unless make test has built them or a filter
// leaves them out.
func buildPeers(ctx context.Context) []byte {
	names := slices.DeleteFunc(chosen(), func(name string) bool { return name == scenario.RunnerName })
	list := peers.BuildPartners(ctx, ".", names, GinkgoWriter)
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
			} else {
				lacking[b.Name] = b.Why
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

// expectVariable is an environment variable with the names of files with expected failures, separated by colons.
const expectVariable = "SCM_EXPECT"

var (
	scenarios []*scenario.Scenario
	failures  scenario.Expectations // expected on this kernel, by the built-in list and the files of expectVariable
	unmatched []error               // the lines of these files that apply to no case
)

// load sets these variables.
func load() error {
	all, list, err := libcases.Load()
	files := filepath.SplitList(os.Getenv(expectVariable))
	given, unread := scenario.ReadLists(nil, files, false, "scm interop expect --update creates it")
	kernel, known := witness.ThisKernel(), append(slices.Collect(maps.Values(opponents)), underTest(inside.SCM()), underTest(inside.SCMPair()))
	_, unmatched = scenario.Expect(given.All(), kernel, all, known, nil, opponents[scenario.RunnerName])
	scenarios, failures = all, scenario.Expectations{List: append(list, given.All()...), System: kernel}
	return errors.Join(err, unread, expected.ValidateReasons(given.All()))
}

var _ = It("each expected failure in the files of "+expectVariable+" applies to a case", Label(strangers()...), func() {
	Expect(errors.Join(unmatched...)).To(Succeed())
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
// runs specs. It shuffles the outermost containers, so a single one has all cases: those with the runner first, which
// show most faults. Ginkgo keeps this order because the inner containers have the same text.
var _ = Describe("catalogue", Label("catalogue"), func() {
	for _, alone := range [][]any{nil, {Serial}} {
		for _, name := range append([]string{scenario.RunnerName}, partners...) {
			cases := func() { describeCases(opponents[name], alone != nil) }
			Describe("runs", append(alone, Label(name), Ordered, ContinueOnFailure, cases)...)
		}
	}
})

var _ = It("the cases with the runner come first", func() {
	suite := exec.Command("/proc/self/exe", "-test.run=^TestSuite$", "-ginkgo.no-color", "-ginkgo.v", "-ginkgo.dry-run", "-ginkgo.seed=1", "-ginkgo.focus= basics/pass-one-fd/")
	_, order, _ := strings.Cut(RunChild(suite), "\ncatalogue ")
	Expect(strings.Index(order, "/runner")).To(BeNumerically("<", strings.Index(order, "/"+partners[0])))
})

// describeCases defines the specs with an opponent, either those that run alone or the others.
func describeCases(opponent *scenario.Peer, alone bool) {
	b := &batch{opponent: opponent, expected: &failures}
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
	partner, self := opponents[partners[0]], opponents[scenario.RunnerName]
	saved, why := *partner, self.Why
	DeferCleanup(func() {
		*partner, self.Why = saved, why
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
	name := c.Name()
	if len(b.expected.For(c)) > 0 {
		name = "expected: " + name
	}
	It(name, func(ctx SpecContext) {
		if b.opponent.Why != "" {
			if why := lacking[b.opponent.Name]; why != "" {
				fdtest.Lacks(GinkgoTB(), why)
			}
			Skip(b.opponent.Why)
		}
		Expect(CurrentSpecReport().IsSerial).To(Equal(c.Scenario.RunsAlone()))
		r := b.session.Run(ctx, c)
		if r.Unexpected() || r.Verdict == scenario.NotRun {
			AddReportEntry(CaseEntry, outcome{r}, ReportEntryVisibilityNever)
			Fail(example(r))
		}
		AddReportEntry(CaseEntry, outcome{r}, ReportEntryVisibilityFailureOrVerbose)
		if r.Verdict == scenario.Unsupported {
			if r.Obstacle.Reason == scenario.ReasonRoot {
				fdtest.Lacks(GinkgoTB(), "root")
			}
			Skip(r.Why)
		}
	})
}
