//go:build linux

package scm_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
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
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// partners are the peers that run against the package under test in scenarios for pairs: C, Rust, the package with its
// other backend, and the peers that only the list in $SCM_PARTNERS names. In other scenarios, the package runs against
// the runner. load appends those of the list: a child that reads a file before main has the runtime's poller already.
var partners = append(slices.Clone(peers.Partners), otherBackend())

func otherBackend() string {
	if scm.Backend == "cgo" {
		return "scm-purego"
	}
	return "scm-cgo"
}

// peerNamed has the partners and the runner. The first batch of a partner builds it.
var peerNamed = map[string]*scenario.Peer{}

// built has the partners that this process has built, or has taken from the list in $SCM_PARTNERS.
var built = map[string]peers.Built{}

// runner returns the runner's own peer.
var runner = sync.OnceValues(process.Runner)

// underTest returns the package under test as a peer. The test binary starts itself as that peer.
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

// expectVariable is the environment variable that names the files of expected failures, separated by colons.
const expectVariable = "SCM_EXPECT"

var (
	scenarios []*scenario.Scenario
	failures  scenario.Expectations // expected on this kernel, by the built-in list and the files of expectVariable
	unmatched []error               // the lines of these files that apply to no case
)

// load sets these variables, partners and peerNamed, and defines the spec for unmatched. Its error says what is wrong
// with the user's input to the suite.
func load() error {
	listed, err := peers.ReadPartners(scenario.RunnerName, scenario.KernelName, inside.SCMPair().Name)
	if err != nil {
		return err // a filter for their names would select no spec
	}
	var strangers []string
	for _, b := range listed {
		if !slices.Contains(append([]string{"scm-cgo", "scm-purego"}, peers.Partners...), b.Name) {
			strangers = append(strangers, b.Name)
		}
	}
	partners = append(partners, strangers...)
	for _, name := range append(slices.Clone(partners), scenario.RunnerName) {
		peerNamed[name] = scenario.Missing(name, "")
	}
	if allFailuresErr != nil {
		return fmt.Errorf("%s: %w", allVariable, allFailuresErr)
	}
	all, list, err := libcases.Load()
	if err != nil {
		return err
	}
	given, err := readExpected(os.Getenv(expectVariable))
	if err != nil {
		return fmt.Errorf("%s: %w", expectVariable, err)
	}
	kernel, known := witness.ThisKernel(), append(slices.Collect(maps.Values(peerNamed)), underTest(inside.SCM()), underTest(inside.SCMPair()))
	_, unmatched = scenario.Expect(given.All(), kernel, all, known, nil, peerNamed[scenario.RunnerName])
	scenarios, failures = all, scenario.Expectations{List: append(list, given.All()...), System: kernel}
	It("each expected failure in the files of "+expectVariable+" applies to a case", Label(strangers...), func() {
		if err := errors.Join(unmatched...); err != nil {
			Fail(err.Error())
		}
	})
	return nil
}

// readExpected reads files of expected failures. Their names are separated by colons.
func readExpected(names string) (given scenario.Lists, err error) {
	files := filepath.SplitList(names)
	if slices.Contains(files, "") {
		return given, fmt.Errorf("%q begins or ends with a colon, or has two in a row: a file name is missing there", names)
	}
	if given, err = scenario.ReadLists(nil, files, false, "scm interop expect --update creates it"); err == nil {
		err = expected.ValidateReasons(given.All())
	}
	return given, err
}

// A batch has the specs with one peer. The peers keep running from one spec to the next, because starting them
// takes longer than most cases. They end with the batch, so that no other spec sees them.
type batch struct {
	peer    *scenario.Peer
	cases   []scenario.Case
	session *interop.Session
}

// Ginkgo runs the specs of an ordered container in one process. It runs those of a serial one while no other process
// runs specs. It shuffles the outermost containers, so a single one has all cases. Those with the runner are run first,
// because they show most faults. Ginkgo keeps this order because the inner containers have the same text.
var _ = Describe("catalogue", Label("catalogue"), func() {
	for _, alone := range [][]any{nil, {Serial}} {
		for _, name := range append([]string{scenario.RunnerName}, partners...) {
			cases := func() { describeCases(peerNamed[name], alone != nil) }
			Describe("runs", append(alone, Label(name), Ordered, ContinueOnFailure, cases)...)
		}
	}
})

var _ = It("the cases with the runner are run first", func() {
	suite := runSuite(untilItsEnd, nil, "-ginkgo.v", "-ginkgo.dry-run", "-ginkgo.seed=1", "-ginkgo.focus= basics/pass-one-fd/")
	_, order, _ := strings.Cut(suite.output, "\ncatalogue ")
	Expect(strings.Index(order, "/runner")).To(BeNumerically("<", strings.Index(order, "/"+partners[0])))
})

// describeCases defines the specs with a peer, either those that run alone or the others.
func describeCases(with *scenario.Peer, alone bool) {
	b := &batch{peer: with}
	for _, lib := range []peer.Library{inside.SCM(), inside.SCMPair()} {
		for _, c := range libcases.With(scenarios, underTest(lib), with, peerNamed[scenario.RunnerName]) {
			if c.Scenario.RunsAlone() == alone {
				b.specify(c)
			}
		}
	}
	BeforeAll(b.open)
}

// open starts the batch, or fails the spec.
func (b *batch) open(ctx SpecContext) {
	switch err := b.start(ctx); {
	case err == nil:
	case ctx.Err() != nil:
		Fail("interrupted before partner " + b.peer.Name + " had started")
	default:
		Fail(err.Error())
	}
}

// start gets ready to run the cases. It builds the peer, and starts it once, to find out what it supports.
func (b *batch) start(ctx context.Context) error {
	self, err := runner()
	switch name := b.peer.Name; {
	case isAlone():
		return nil // each spec shows the reason
	case err != nil:
		return err
	case name == scenario.RunnerName:
		*b.peer = *self
	default:
		if _, done := built[name]; !done {
			built[name] = peers.BuildPartner(ctx, ".", name, GinkgoWriter)
		}
		b.peer.Command, b.peer.Why = built[name].Command, built[name].Why
		if built[name].Broken || b.peer.Why != "" && os.Getenv("CI") == "true" {
			return fmt.Errorf("partner %s could not be built: %s. Repair it, or leave its specs out", name, b.peer.Why)
		}
		if b.peer.Why != "" {
			return nil // each spec shows the reason
		}
		if err := process.ProbeContext(ctx, b.peer, process.DefaultTimeout); err != nil {
			return fmt.Errorf("partner %s did not start: %w", name, err)
		}
	}
	b.session, err = interop.Open(b.cases, &failures, interop.Options{Runner: self})
	if err == nil {
		DeferCleanup(b.session.Close)
	}
	return err
}

var _ = DescribeTable("the suite says in one sentence that", func(variable, value, text, sentence string) {
	file := filepath.Join(GinkgoT().TempDir(), "file")
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	inFile := strings.NewReplacer("FILE", file, "FOLDER", filepath.Dir(file))
	env := []string{fdtest.AloneVariable + "=", peers.PartnersVariable + "=", expectVariable + "=", variable + "=" + inFile.Replace(value)}
	suite := runSuite(untilItsEnd, env, "-ginkgo.label-filter=mine")
	Expect(suite.err).To(MatchError("exit status 1"))
	Expect(suite.output).To(ContainSubstring(" " + inFile.Replace(sentence) + "\n"))
	Expect(suite.output).NotTo(Or(ContainSubstring("goroutine"), ContainSubstring("*fmt.")))
},
	Entry("a partner cannot be built", peers.PartnersVariable, "FILE", `[{"name": "mine", "why": "undefined reference", "broken": true}]`,
		"partner mine could not be built: undefined reference. Repair it, or leave its specs out"),
	Entry("a partner did not start", peers.PartnersVariable, "FILE", `[{"name": "mine", "command": ["./none"]}]`,
		"partner mine did not start: fork/exec FOLDER/none: no such file or directory"),
	Entry("there is no list", peers.PartnersVariable, "FILE.json", "", "SCM_PARTNERS: open FILE.json: no such file or directory"),
	Entry("a list is no JSON", peers.PartnersVariable, "FILE", `[{"name": "mine"`, "SCM_PARTNERS: FILE: unexpected end of JSON input"),
	Entry("a list has a name of the suite's", peers.PartnersVariable, "FILE", `[{"name": "runner", "command": ["true"]}]`,
		`SCM_PARTNERS: FILE: the peer name "runner" is reserved: choose another name`),
	Entry("a name is missing after a colon", expectVariable, "FILE:", "# none",
		`SCM_EXPECT: "FILE:" begins or ends with a colon, or has two in a row: a file name is missing there`),
	Entry("there is no file of expected failures", expectVariable, "FILE.txt", "",
		"SCM_EXPECT: open FILE.txt: no such file or directory (scm interop expect --update creates it)"),
	Entry("a variable is neither true nor false", allVariable, "maybe", "", `SCM_ALL_FAILURES: strconv.ParseBool: parsing "maybe": invalid syntax`),
	Entry("an expected failure has no reason", expectVariable, "FILE", "** cloexec@mine",
		"SCM_EXPECT: FILE:1: a line is SCENARIO CHECK@PEER REASON, and the reason is required"),
)

// specify defines a spec for a case. If the case is expected to fail, the spec's name begins with "expected:".
func (b *batch) specify(c scenario.Case) {
	b.cases = append(b.cases, c)
	name := c.Name()
	if len(failures.For(c)) > 0 {
		name = "expected: " + name
	}
	It(name, func(ctx SpecContext) {
		if isAlone() {
			Skip(alone)
		}
		if b.peer.Why != "" {
			fdtest.Missing(GinkgoTB(), built[b.peer.Name].Lacks, b.peer.Why)
		}
		Expect(CurrentSpecReport().IsSerial).To(Equal(c.Scenario.RunsAlone()))
		r := b.session.Run(ctx, c)
		if r.Unexpected() || r.Verdict == scenario.NotRun {
			AddReportEntry(caseEntry, outcome{r}, ReportEntryVisibilityNever)
			failCase(r)
		}
		AddReportEntry(caseEntry, outcome{r}, ReportEntryVisibilityFailureOrVerbose)
		if r.Verdict == scenario.Unsupported {
			if r.Obstacle.Reason == scenario.ReasonRoot {
				Skip("missing: root: " + r.Why)
			}
			Skip(r.Why)
		}
	})
}
