//go:build linux

package scm_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/faulty/fault"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// allVariable is an environment variable. If it is true, or with -ginkgo.v, every failed case fails its spec, with its
// whole transcript. Otherwise, a case whose causes an earlier one has shown is skipped.
const allVariable = "SCM_ALL_FAILURES"

// allFailures is the value of allVariable.
var allFailures, allFailuresErr = strconv.ParseBool(cmp.Or(os.Getenv(allVariable), "false"))

func printsAll() bool {
	_, reporter := GinkgoConfiguration()
	return allFailures || reporter.Verbosity().GTE(types.VerbosityLevelVerbose)
}

var firstCases = report.FirstCases{}

// failCase ends the spec of a case that failed. The summary counts the case as failed even if it is skipped here.
func failCase(r scenario.Result) {
	same := firstCases.Add(r.Name, r)
	switch {
	case printsAll():
		Fail(report.Example(r, 0))
	case same != "":
		Skip(same)
	}
	Fail(report.Example(r, report.ExampleLines))
}

// caseEntry is the name of the report entry with the result of a case.
const caseEntry = "transcript"

// An outcome is the result of a case in the report of its spec. Its text is the transcript.
type outcome struct{ scenario.Result }

func (o outcome) String() string { return strings.Join(o.Transcript, "\n") }

// resultOf returns the result of the case that a spec ran, if any. With ginkgo -p, another process may have run it.
func resultOf(s SpecReport) (r scenario.Result, ok bool) {
	for _, e := range s.ReportEntries {
		if e.Name != caseEntry {
			continue
		}
		o, isHere := e.GetRawValue().(outcome)
		if r, ok = o.Result, isHere; !ok {
			ok = json.Unmarshal([]byte(e.Value.AsJSON), &r) == nil
		}
	}
	return r, ok
}

// casesOf returns a report of the cases that ran, and the names of their specs. For each peer, it counts the cases that
// have no verdict by the reason, unless a filter left out all of them.
func casesOf(r Report) (all *report.Report, specs map[string]string) {
	missing := scenario.ReasonFilter
	if len(r.SpecialSuiteFailureReasons) > 0 {
		missing = scenario.ReasonCut
	}
	all, specs = &report.Report{Asked: map[string]scenario.Asked{}, NotAsked: map[string]string{}}, map[string]string{}
	ran := map[string]bool{}
	for _, s := range r.SpecReports {
		if !slices.Contains(s.Labels(), "catalogue") {
			continue
		}
		c, ok := resultOf(s)
		why := s.FailureMessage()
		if ok {
			all.Cases, specs[c.Name], why = append(all.Cases, c), s.FullText(), c.Why
		}
		name, reason := s.Labels()[1], missing // after "catalogue"
		switch {
		case ok && c.Verdict != scenario.Unsupported && c.Verdict != scenario.NotRun:
			reason = ""
		case Ran(s) && !s.State.Is(types.SpecStateInterrupted|types.SpecStateAborted):
			why, _, _ = strings.Cut(why, "\n")
			reason = scenario.Reason(strings.TrimPrefix(why, name+": "))
		}
		asked := all.Asked[name]
		asked.Cases++
		asked.Count(scenario.NotAsked{Reason: reason, Cases: 1})
		all.Asked[name] = asked
		if ran[name] = ran[name] || reason != missing; ran[name] {
			all.NotAsked[name] = asked.String()
			if asked.Verdicts == 0 && len(asked.NotAsked) == 1 {
				all.NotAsked[name] = string(asked.NotAsked[0].Reason)
			}
		}
	}
	return all, specs
}

// maxPartners is the number of partners that a report of failures names although they are not at fault.
const maxPartners = 3

// writeCases prints why cases failed, how those of each peer ended, and how many ran with programs in C and Rust. If
// cases failed and there are many partners, it names only those at fault.
func writeCases(w io.Writer, all *report.Report, specs map[string]string) {
	again := func(c scenario.Result) string { return allVariable + "=1 " + Again(specs[c.Name]) }
	causes, failed := all.Causes(), 0
	if len(causes) > 0 {
		code := map[string]string{"cgo": "csrc", "purego": "internal/pure"}[scm.Backend]
		fmt.Fprintf(w, "\n%s is package scm's Send and Recv, and %s its WriteFD and ReadFD: see %s.\n",
			inside.SCM().Name, inside.SCMPair().Name, code)
	}
	if len(causes) > 0 && len(all.NotAsked) > maxPartners {
		all.NotAsked = nil
	}
	if table := all.CauseTable(again); table != "" {
		fmt.Fprintln(w, "\n"+table)
	}
	passed := map[bool]int{}
	for _, c := range all.Cases {
		if c.Unexpected() || c.Verdict == scenario.NotRun {
			failed++
		} else if c.Verdict != scenario.Unsupported {
			passed[inCOrRust(c)]++
		}
	}
	if failed > 0 {
		fmt.Fprintf(w, "%s of %s failed.\n", Count(failed, "case"), Count(len(causes), "cause"))
	}
	if len(passed) > 0 {
		fmt.Fprintf(w, "%s against C and Rust passed over %s.\n", Count(passed[true], "spec"), scm.Backend)
	}
}

var _ = It("a report of failures names one of many partners only if it is at fault", func() {
	var few, many strings.Builder
	failed := scenario.Result{Name: "a/b/stream/book/nix", Verdict: scenario.Fail}
	failed.Case.Scenario = &scenario.Scenario{Name: "a/b"}
	failed.Findings = []scenario.Finding{{Check: scenario.CheckHang, Peer: "nix"}}
	all := &report.Report{Cases: []scenario.Result{failed}, NotAsked: map[string]string{"book": "", "nix": "", "csrc": ""}}
	writeCases(&few, all, nil)
	all.NotAsked["qa"] = ""
	writeCases(&many, all, nil)
	Expect(few.String()).To(ContainSubstring("csrc: "))
	Expect(many.String()).To(And(ContainSubstring("nix breaks 1 rule"), Not(ContainSubstring("csrc: "))))
})

func inCOrRust(c scenario.Result) bool {
	return slices.ContainsFunc(peers.Partners, func(name string) bool { return strings.Contains(c.Name+"/", "/"+name+"/") })
}

// This stranger does not make the descriptors that it receives close-on-exec.
var _ = Child("stranger", func([]string) { peer.Main(fault.Library("mine", fault.All()["cloexec"])) })

// An endedSuite describes a suite that ran in another process.
type endedSuite struct {
	output string
	states map[string]int // how many of its specs ended as PASS, FAIL or SKIP
	err    error
}

var specEnded = regexp.MustCompile(`--- (PASS|FAIL|SKIP): TestSuite/`)

// runSuite runs the suite in another process, and passes that process to the given function while the suite runs.
func runSuite(meanwhile func(*os.Process), env []string, args ...string) endedSuite {
	GinkgoHelper()
	CannotEmulate(fdtest.OwnProgram)
	var out bytes.Buffer
	limit, cancel := context.WithTimeout(context.Background(), fdtest.Limit(5*time.Minute))
	defer cancel()
	cmd := exec.CommandContext(limit, "/proc/self/exe", append([]string{"-test.v", "-test.run=^TestSuite$"}, args...)...)
	cmd.Env = slices.Concat(os.Environ(), []string{allVariable + "="}, env)
	cmd.Stdout, cmd.Stderr = &out, &out
	Expect(cmd.Start()).To(Succeed())
	meanwhile(cmd.Process)
	ended := endedSuite{err: cmd.Wait(), output: out.String(), states: map[string]int{}}
	for _, m := range specEnded.FindAllStringSubmatch(ended.output, -1) {
		ended.states[m[1]]++
	}
	return ended
}

func untilItsEnd(*os.Process) {}

// listOf writes a list with a partner named mine, and returns the environment variable that names the list.
func listOf(command ...string) string {
	GinkgoHelper()
	if isAlone() {
		Skip(alone)
	}
	list := filepath.Join(GinkgoT().TempDir(), "list.json")
	Expect(peers.WriteList(list, []peers.Built{{Name: "mine", Command: command}})).To(Succeed())
	return peers.PartnersVariable + "=" + list
}

// runWithStranger runs specs in which the stranger receives, in a process that cannot build the other partners.
func runWithStranger(expected, all string, args ...string) endedSuite {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "expected.txt")
	Expect(os.WriteFile(file, []byte(expected), 0o600)).To(Succeed())
	env := []string{listOf(reexec.CommandLine("stranger")...), "CI=true", "CC=no-such-compiler", expectVariable + "=" + file, allVariable + "=" + all}
	return runSuite(untilItsEnd, env, append(args, "-test.run=^(TestSuite|ExamplePair)$", "-ginkgo.label-filter=mine", `-ginkgo.focus= basics/pass-one-fd/\w+/scm-\w+/mine|applies to a case`)...)
}

var _ = It("a stranger in the list is a partner that may have expected failures", func() {
	ended := runWithStranger("** cloexec@mine planted\n", "")
	Expect(ended.err).NotTo(HaveOccurred(), ended.output)
	Expect(ended.states).To(And(HaveKey("PASS"), Not(HaveKey("FAIL"))))
})

var _ = It("a stranger in the list is a partner, and an expected failure of no peer fails a spec", func() {
	ended := runWithStranger("** cloexec@mine planted\n** cloexec@mien planted\n", "")
	Expect(ended.states).To(HaveKeyWithValue("FAIL", 1))
	Expect(ended.output).To(ContainSubstring(`did you mean "mine"?`))
})

var _ = It("the first case of a cause fails, and the others are skipped but counted as failed", func() {
	once, all := runWithStranger("", ""), runWithStranger("", "true")
	Expect(once.output).To(MatchRegexp(`scm-pair-\w+ its WriteFD and ReadFD: see [/\w]+\.\n\nmine receives descriptors without close-on-exec`))
	Expect(once.states).To(HaveKeyWithValue("FAIL", 1), once.output)
	Expect(once.output).To(MatchRegexp(`run\.go:\d+: fails as basics/pass-one-fd/\S+/mine does: cloexec@mine\n`))
	Expect(once.output).NotTo(ContainSubstring("ExamplePair"))
	Expect(all.output).To(ContainSubstring("ExamplePair"))
	failed := 1 + strings.Count(once.output, ": fails as ")
	Expect(failed).To(BeNumerically(">", 1), once.output)
	Expect(all.states).To(HaveKeyWithValue("FAIL", failed), all.output)
	for _, output := range []string{once.output, all.output} {
		_, end, _ := strings.Cut(output, "\nFAIL! -- ") // of Ginkgo's summary
		Expect(end).To(ContainSubstring(fmt.Sprintf("\n%d cases of 1 cause failed.\n", failed)), output)
	}
})

var _ = It("the number of failed cases follows go test's list of the specs that failed", func() {
	output := runWithStranger("", "", "-test.v=false").output
	_, end, _ := strings.Cut(output, "\n--- FAIL: TestSuite ")
	Expect(end).To(MatchRegexp(`\n    --- FAIL: TestSuite/(?s:.*)\n\d+ cases of 1 cause failed\.\n$`), output)
})

var _ = DescribeTable("an interrupt ends the suite while a partner hangs, and accuses no other", func(signals int) {
	started := filepath.Join(GinkgoT().TempDir(), "started")
	ended := runSuite(func(p *os.Process) {
		Eventually(started).Should(BeAnExistingFile())
		for range signals {
			_ = p.Signal(os.Interrupt) // the process may have ended after the first
		}
	}, []string{listOf("sh", "-c", ": >"+started+"; exec sleep 600"), "CI=true", "CC=no-such-compiler"}, "-ginkgo.focus=catalogue runs .*/mine") // and builds no other
	Expect(ended.err).To(MatchError("exit status 1"), ended.output)
	Expect(ended.states).To(Equal(map[string]int{"FAIL": 1}), ended.output)
	Expect(ended.output).To(ContainSubstring("Interrupted by User"))
	if signals == 1 { // at a second one, Ginkgo may stop waiting for the node
		Expect(ended.output).To(ContainSubstring("interrupted before partner mine had started"))
	}
	Expect(ended.output).NotTo(MatchRegexp("rustix[^,]"))
},
	Entry("once", 1),
	Entry("twice", 2),
)
