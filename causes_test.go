//go:build linux

package scm_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/formatter"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/internal/testrecord"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/faulty/fault"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// allVariable is an environment variable. If it is true, or with -ginkgo.v, Ginkgo prints all failures. Otherwise, the
// suite prints the first failure for each cause.
const allVariable = "SCM_ALL_FAILURES"

// allFailures is the value of allVariable.
var allFailures, allFailuresErr = readBool(allVariable)

func readBool(variable string) (bool, error) {
	text := os.Getenv(variable)
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s is %q, which is neither true nor false", variable, text)
	}
	return value, nil
}

func printsAll() bool {
	_, reporter := GinkgoConfiguration()
	return allFailures || reporter.Verbosity().GTE(types.VerbosityLevelVerbose)
}

func inParallel() bool {
	suite, _ := GinkgoConfiguration()
	return suite.ParallelTotal > 1
}

// example describes a failed case. With ginkgo -p, another program prints each failure, so the description is one line,
// and the causes follow at the end.
func example(r scenario.Result) string {
	switch {
	case printsAll():
		return report.Example(r, 0)
	case inParallel():
		causes := report.FirstCases{}
		causes.Add(r.Name, r)
		return cmp.Or(strings.Join(slices.Sorted(maps.Keys(causes)), "; "), r.Why)
	}
	return report.Example(r, report.ExampleLines)
}

// silenced is true if the suite prints failed specs instead of Ginkgo. Ginkgo does if all failures are wanted, with
// ginkgo -p, or with -ginkgo.poll-progress-after. Reports in files contain all failures.
var silenced bool

// silenceGinkgo must be called before RunSpecs, which then writes nothing itself. Ginkgo exports the variable that it
// writes to, but its documentation does not mention it.
func silenceGinkgo() {
	suite, _ := GinkgoConfiguration()
	if silenced = !printsAll() && !inParallel() && suite.PollProgressAfter == 0; silenced {
		formatter.ColorableStdOut = io.Discard
	}
}

// explainFailure explains why the suite failed if nothing else does. If a report file cannot be written, Ginkgo's
// message about it is discarded.
func explainFailure() {
	if silenced && len(failedSpecs) == 0 && !explained {
		fmt.Println("The suite failed after its specs, perhaps because a report could not be written. -ginkgo.v prints why.")
	}
}

// failedSpecs contains the names of failed specs and nodes of the suite. Others is how many of them are specs outside
// the catalogue, which are taken to have the same cause. Explained is true if the suite failed for another reason,
// which it has printed.
var (
	failedSpecs = map[string]bool{}
	others      int
	explained   bool
	shown       = report.NewFailures(1)
)

var _ = ReportAfterEach(show)

// show prints a failed spec or node of the suite, unless its cause is known. It prints each only once, although the
// report of the suite repeats it.
func show(s SpecReport) {
	name := Title(s)
	if !s.Failed() || failedSpecs[name] || WasReported(s) {
		return
	}
	failedSpecs[name] = true
	f := report.Failure{Name: name, Why: Why(s), Again: again(s.FullText())}
	r, ok := resultOf(s)
	switch {
	case ok:
		f.Name, f.Again, f.Case = r.Name, again(r.Name), &r
	case isCase(s): // it could not run
		f.Part = s.FailureMessage()
	case s.LeafNodeType == types.NodeTypeIt && !isInterrupted(s):
		others++
	}
	if silenced {
		fmt.Print(shown.Text(f))
	}
}

// again returns the command that runs a spec again.
func again(name string) string {
	if scm.Backend == "purego" {
		return "go test -tags scm_purego ." + testrecord.Focus(name)
	}
	return "go test ." + testrecord.Focus(name)
}

// An outcome is the result of a case in the report of its spec. Its text is the transcript.
type outcome struct{ scenario.Result }

func (o outcome) String() string { return strings.Join(o.Transcript, "\n") }

// resultOf returns the result of the case that a spec ran, if any. With ginkgo -p, another process may have run it.
func resultOf(s SpecReport) (r scenario.Result, ok bool) {
	for _, e := range s.ReportEntries {
		if e.Name != CaseEntry {
			continue
		}
		o, isHere := e.GetRawValue().(outcome)
		if r, ok = o.Result, isHere; !ok {
			ok = json.Unmarshal([]byte(e.Value.AsJSON), &r) == nil
		}
	}
	return r, ok
}

func isCase(s SpecReport) bool { return slices.Contains(s.Labels(), "catalogue") }

func isInterrupted(s SpecReport) bool {
	return s.State.Is(types.SpecStateInterrupted | types.SpecStateAborted)
}

// casesOf returns a report of the cases that ran. For each peer, it counts those that have no verdict by the reason,
// unless a filter left out all of them.
func casesOf(r Report) *report.Report {
	missing := scenario.ReasonFilter
	if len(r.SpecialSuiteFailureReasons) > 0 {
		missing = scenario.ReasonCut
	}
	all := &report.Report{Asked: map[string]scenario.Asked{}, NotAsked: map[string]string{}}
	ran := map[string]bool{}
	for _, s := range r.SpecReports {
		if !isCase(s) {
			continue
		}
		c, ok := resultOf(s)
		if ok {
			all.Cases = append(all.Cases, c)
		}
		name, reason := s.Labels()[1], missing // after "catalogue"
		switch {
		case ok && c.Verdict != scenario.Unsupported && c.Verdict != scenario.NotRun:
			reason = ""
		case Ran(s) && !isInterrupted(s):
			reason = scenario.Reason(strings.TrimPrefix(firstLine(s.FailureMessage()), name+": "))
		}
		asked := all.Asked[name]
		asked.Cases++
		asked.Count(scenario.NotAsked{Reason: reason, Cases: 1})
		all.Asked[name] = asked
		if ran[name] = ran[name] || reason != missing; ran[name] {
			all.NotAsked[name] = cmp.Or(firstLine(peerNamed[name].Why), asked.String())
		}
	}
	return all
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// writeCases prints how many other specs failed, why cases failed, and how those of each peer ended.
func writeCases(all *report.Report) {
	failed := len(all.Causes()) > 0
	if others > 0 {
		explain := ""
		if failed {
			explain = " First fix the causes below, which may explain them."
		}
		fmt.Printf("%s outside the catalogue failed.%s %s=1 prints all, and runs the examples.\n\n", Count(others, "spec"), explain, allVariable)
	}
	if failed {
		code := map[string]string{"cgo": "csrc", "purego": "internal/pure"}[scm.Backend]
		fmt.Printf("%s is package scm's Send and Recv, and %s its WriteFD and ReadFD: see %s.\n\n", inside.SCM().Name, inside.SCMPair().Name, code)
	}
	if table := all.CauseTable(func(c scenario.Result) string { return again(c.Name) }); table != "" {
		fmt.Println(table)
	}
}

// This stranger does not make the descriptors that it receives close-on-exec.
var _ = Child("stranger", func([]string) { peer.Main(fault.Library("mine", fault.All()["cloexec"])) })

// An endedSuite describes a suite that ran in another process.
type endedSuite struct {
	output string
	states map[string]int // how many of its specs ended in each state
	err    error
}

// runSuite runs the suite in another process, and passes that process to the given function while the suite runs.
func runSuite(meanwhile func(*os.Process), env []string, args ...string) endedSuite {
	GinkgoHelper()
	var out bytes.Buffer
	folder := GinkgoT().TempDir()
	limit, cancel := context.WithTimeout(context.Background(), fdtest.Limit(5*time.Minute))
	defer cancel()
	cmd := exec.CommandContext(limit, "/proc/self/exe", append([]string{"-test.run=^TestSuite$", "-ginkgo.no-color"}, args...)...)
	cmd.Env = slices.Concat(os.Environ(), []string{allVariable + "=", testrecord.Variable + "=" + folder}, env)
	cmd.Stdout, cmd.Stderr = &out, &out
	Expect(cmd.Start()).To(Succeed())
	meanwhile(cmd.Process)
	ended := endedSuite{err: cmd.Wait(), output: out.String(), states: map[string]int{}}
	records, err := testrecord.ReadFolder(folder)
	Expect(err).NotTo(HaveOccurred())
	for _, r := range records {
		if r.Kind == testrecord.Spec {
			ended.states[r.State]++
		}
	}
	return ended
}

func untilItsEnd(*os.Process) {}

// listOf writes a list with a partner named mine, and returns the environment variable that names the list.
func listOf(command ...string) string {
	GinkgoHelper()
	list := filepath.Join(GinkgoT().TempDir(), "list.json")
	Expect(peers.WriteList(list, []peers.Built{{Name: "mine", Command: command}})).To(Succeed())
	return peers.PartnersVariable + "=" + list
}

// runWithStranger runs specs in which the stranger receives, in a process that cannot build the other partners.
func runWithStranger(expected, all string) endedSuite {
	GinkgoHelper()
	if why := peerNamed[scenario.RunnerName].Why; why != "" {
		Skip(why)
	}
	file := filepath.Join(GinkgoT().TempDir(), "expected.txt")
	Expect(os.WriteFile(file, []byte(expected), 0o600)).To(Succeed())
	env := []string{listOf(reexec.CommandLine("stranger")...), "CI=true", "CC=no-such-compiler", expectVariable + "=" + file, allVariable + "=" + all}
	return runSuite(untilItsEnd, env, "-test.v", "-test.run=^(TestSuite|ExamplePair)$", "-ginkgo.label-filter=mine", `-ginkgo.focus= basics/pass-one-fd/\w+/scm-\w+/mine|applies to a case`)
}

var _ = It("a stranger in the list is a partner that may have expected failures", func() {
	ended := runWithStranger("** cloexec@mine planted\n", "")
	Expect(ended.err).NotTo(HaveOccurred(), ended.output)
	Expect(ended.states).To(And(HaveKey("passed"), Not(HaveKey("failed"))))
})

var _ = It("a stranger in the list is a partner, and an expected failure of no peer fails a spec", func() {
	ended := runWithStranger("** cloexec@mine planted\n** cloexec@mien planted\n", "")
	Expect(ended.states).To(HaveKeyWithValue("failed", 1))
	Expect(ended.output).To(And(ContainSubstring(`did you mean "mine"?`), ContainSubstring("1 spec outside the catalogue failed")))
})

var _ = It("failures with the same cause are printed once", func() {
	once, all := runWithStranger("", ""), runWithStranger("", "true")
	Expect(once.output).To(MatchRegexp(`scm-pair-\w+ its WriteFD and ReadFD: see [/\w]+\.\n\nmine receives descriptors without close-on-exec`))
	Expect(once.output).To(MatchRegexp(`(?m)^\d+ passed, [2-9] failed, `))
	Expect(strings.Count(once.output, "\nfailed: ")).To(Equal(1), "in:\n%s", once.output)
	Expect(once.output).NotTo(Or(ContainSubstring("outside the catalogue"), ContainSubstring("ExamplePair")))
	Expect(all.states).To(Equal(once.states))
	Expect(strings.Count(all.output, "[FAILED]")).To(Equal(2*all.states["failed"]), "in:\n%s", all.output)
	Expect(all.output).To(ContainSubstring("ExamplePair"))
})

var _ = It("a dry run says that nothing ran", func() {
	ended := runSuite(untilItsEnd, nil, "-ginkgo.dry-run", "-ginkgo.label-filter=runner")
	Expect(ended.err).NotTo(HaveOccurred(), ended.output)
	Expect(ended.output).To(MatchRegexp(`(?m)^nothing ran: this is a dry run of \d+ of \d+ specs$`))
	Expect(ended.output).NotTo(ContainSubstring("passed"))
	Expect(ended.states).To(BeEmpty())
})

var _ = DescribeTable("an interrupt ends the suite while a partner hangs, and accuses no other", func(signals int) {
	if why := peerNamed[scenario.RunnerName].Why; why != "" {
		Skip(why)
	}
	started := filepath.Join(GinkgoT().TempDir(), "started")
	ended := runSuite(func(p *os.Process) {
		Eventually(started).Should(BeAnExistingFile())
		for range signals {
			_ = p.Signal(os.Interrupt) // the process may have ended after the first
		}
	}, []string{listOf("sh", "-c", ": >"+started+"; exec sleep 600")}, "-ginkgo.label-filter=mine && catalogue")
	Expect(ended.err).To(MatchError("exit status 1"), ended.output)
	Expect(ended.states).To(Equal(map[string]int{"interrupted": 1}), ended.output)
	Expect(ended.output).To(MatchRegexp(`\nInterrupted by User: 0 passed, 0 failed, 0 skipped of \d+ specs in `))
	Expect(strings.Count(ended.output, "\n")).To(BeNumerically("<", 31), ended.output) // with the stack of a spec that the second cut off
	Expect(ended.output).NotTo(ContainSubstring("rustix"))
},
	Entry("once", 1),
	Entry("twice", 2),
)
