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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/formatter"
	"github.com/onsi/ginkgo/v2/reporters"
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

// example describes a failed case. Its transcript is limited so that the causes of a run fit on a page or two. With
// ginkgo -p, another program prints each failure, so the description is one line, and the causes follow at the end.
func example(r scenario.Result) string {
	switch {
	case printsAll():
		return report.Example(r, 0)
	case inParallel():
		causes := report.FirstCases{}
		causes.Add(r.Name, r)
		return cmp.Or(strings.Join(slices.Sorted(maps.Keys(causes)), "; "), r.Why)
	case len(firstCases) > 0:
		return report.Example(r, report.ExampleLines/2)
	}
	return report.Example(r, report.ExampleLines)
}

// page prints failed specs. It is nil if Ginkgo prints them itself: if all failures are wanted, with ginkgo -p, or with
// -ginkgo.poll-progress-after. Reports in files contain all failures.
var page *reporters.DefaultReporter

// openPage must be called before RunSpecs, which then writes nothing itself. Ginkgo exports the variable that it
// writes to, but its documentation does not mention it.
func openPage() {
	suite, reporter := GinkgoConfiguration()
	if printsAll() || inParallel() || suite.PollProgressAfter > 0 {
		return
	}
	formatter.ColorableStdOut = io.Discard
	page = reporters.NewDefaultReporter(reporter, os.Stdout)
}

// closePage explains why the suite failed if nothing else does. If a report file cannot be written, Ginkgo's message
// about it is discarded.
func closePage() {
	if page != nil && len(failedSpecs) == 0 && !explained {
		fmt.Println("The suite failed after its specs, perhaps because a report could not be written. -ginkgo.v prints why.")
	}
}

// failedSpecs contains the names of failed specs and nodes of the suite. explained is true if the suite failed for
// another reason, which it has printed.
var (
	failedSpecs = map[string]bool{}
	explained   bool
)

var _ = ReportAfterEach(show)

// show prints a failed spec or node of the suite, unless its cause is known. It prints each only once, although the
// report of the suite repeats it.
func show(s SpecReport) {
	name := s.LeafNodeType.String() + " " + s.FullText()
	if !s.Failed() || failedSpecs[name] || WasReported(s) {
		return
	}
	failedSpecs[name] = true
	if !isKnown(s) && page != nil {
		page.DidRun(shorten(s))
	}
}

// These limit the lines of a message, and of the stack of a spec that hangs or panics.
const (
	messageLines = 30
	stackLines   = 15
)

// shorten returns a report that fits on a page.
func shorten(s SpecReport) SpecReport {
	others := len(s.AdditionalFailures)
	s.Failure = shortenFailure(s.Failure)
	if others > 0 {
		s.Failure.Message += fmt.Sprintf("\n%s followed, which -ginkgo.v prints.", Count(others, "more failure"))
	}
	s.CapturedGinkgoWriterOutput = withoutMiddle(s.CapturedGinkgoWriterOutput)
	s.ProgressReports, s.SpecEvents, s.ReportEntries, s.AdditionalFailures = nil, nil, nil, nil
	return s
}

func shortenFailure(f types.Failure) types.Failure {
	f.Message, f.ForwardedPanic = withoutMiddle(f.Message), withoutMiddle(f.ForwardedPanic)
	lines := strings.SplitAfter(f.Location.FullStackTrace, "\n")
	f.Location.FullStackTrace = strings.Join(lines[:min(len(lines), stackLines)], "")
	stack := f.ProgressReport.SpecGoroutine().Stack
	f.ProgressReport = types.ProgressReport{}
	if more := f.AdditionalFailure; more != nil { // the spec did not hang
		f.AdditionalFailure = &types.AdditionalFailure{State: more.State, Failure: shortenFailure(more.Failure)}
		return f
	}
	for _, call := range stack[:min(len(stack), stackLines/2)] {
		f.Message += fmt.Sprintf("\n  %s\n    %s:%d", call.Function, call.Filename, call.Line)
	}
	return f
}

func withoutMiddle(text string) string {
	lines := strings.SplitAfter(text, "\n")
	more := len(lines) - messageLines
	if more <= 0 {
		return text
	}
	return strings.Join(lines[:messageLines/2], "") + fmt.Sprintf("… %d more lines\n", more) + strings.Join(lines[messageLines/2+more:], "")
}

// An outcome is the result of a case in the report of its spec. Its text is the transcript.
type outcome struct{ scenario.Result }

func (o outcome) String() string { return strings.Join(o.Transcript, "\n") }

// outcomeOf returns the result of the case that a spec ran, if any. With ginkgo -p, another process may have run it.
func outcomeOf(s SpecReport) (o outcome, ok bool) {
	for _, e := range s.ReportEntries {
		if e.Name != CaseEntry {
			continue
		}
		if o, ok = e.GetRawValue().(outcome); !ok {
			ok = json.Unmarshal([]byte(e.Value.AsJSON), &o) == nil
		}
	}
	return o, ok
}

// firstCases maps each cause to its first failed case, and "" to the first failed spec outside the catalogue.
var firstCases = report.FirstCases{}

// isKnown reports whether a spec failed like an earlier one. All specs outside the catalogue have the same cause.
func isKnown(s SpecReport) bool {
	if !s.State.Is(types.SpecStateFailed | types.SpecStatePanicked | types.SpecStateTimedout) {
		return false // it was interrupted
	}
	if o, ok := outcomeOf(s); ok {
		return firstCases.Add(s.LeafNodeText, o.Result) != ""
	}
	why := ""
	if slices.Contains(s.Labels(), "catalogue") {
		why = s.FailureMessage()
	}
	_, known := firstCases[why]
	firstCases[why] = s.LeafNodeText
	return known
}

// writeCauses prints why specs failed.
func writeCauses(r Report) {
	all, others := &report.Report{}, 0
	for _, s := range r.SpecReports.WithLeafNodeType(types.NodeTypeIt) {
		if s.State.Is(types.SpecStateInterrupted | types.SpecStateAborted) {
			continue
		}
		if o, ok := outcomeOf(s); ok {
			all.Cases = append(all.Cases, o.Result)
		} else if s.Failed() && !slices.Contains(s.Labels(), "catalogue") {
			others++
		}
	}
	code, again := "csrc", "go test . -ginkgo.v -ginkgo.focus='"
	if scm.Backend == "purego" {
		code, again = "internal/pure", "go test -tags scm_purego . -ginkgo.v -ginkgo.focus='"
	}
	table := all.CauseTable(func(c scenario.Result) string { return again + regexp.QuoteMeta(c.Name) + "'" })
	if others > 0 {
		explain := ""
		if table != "" {
			explain = " First fix the causes below, which may explain them."
		}
		fmt.Printf("\n%s outside the catalogue failed.%s %s=1 prints all, and runs the examples.\n", Count(others, "spec"), explain, allVariable)
	}
	if table != "" {
		fmt.Printf("\n%s is package scm's Send and Recv, and %s its WriteFD and ReadFD: see %s.\n\n%s\n", inside.SCM().Name, inside.SCMPair().Name, code, table)
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
	Expect(strings.Count(once.output, "[FAILED]")).To(Equal(2), "twice in each failure, in:\n%s", once.output)
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
	Expect(strings.Count(ended.output, "\n")).To(BeNumerically("<", 16+stackLines), ended.output) // the second may cut the spec off
	Expect(ended.output).NotTo(ContainSubstring("rustix"))
},
	Entry("once", 1),
	Entry("twice", 2),
)

var _ = It("a failure is shortened to fit on a page", func() {
	var calls []types.FunctionCall
	for range 99 {
		calls = append(calls, types.FunctionCall{Function: "f", Filename: "f.go", Line: 1})
	}
	s := shorten(SpecReport{AdditionalFailures: []types.AdditionalFailure{{}}, Failure: types.Failure{
		Message:        strings.Repeat("x\n", 99) + "end",
		ProgressReport: types.ProgressReport{Goroutines: []types.Goroutine{{IsSpecGoroutine: true, Stack: calls}, {Stack: calls}}},
	}})
	Expect(s.Failure.Message).To(HavePrefix(strings.Repeat("x\n", messageLines/2) + "… 70 more lines\nx\n"))
	Expect(s.Failure.Message).To(HaveSuffix("\nend\n  f\n    f.go:1" + strings.Repeat("\n  f\n    f.go:1", 6) + "\n1 more failure followed, which -ginkgo.v prints."))
})
