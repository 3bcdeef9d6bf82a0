//go:build linux

package scm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/formatter"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	inside "github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/reexec"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/faulty/fault"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// allVariable is an environment variable. If it is 1, or with -ginkgo.v, the suite prints all failures, and not only
// the first for each cause.
const allVariable = "SCM_ALL_FAILURES"

func printsAll() bool {
	_, reporter := GinkgoConfiguration()
	return os.Getenv(allVariable) == "1" || reporter.Verbosity().GTE(types.VerbosityLevelVerbose)
}

// example describes a failed case. Its transcript is limited so that the causes of a run fit on a page or two.
func example(r scenario.Result) string {
	switch {
	case printsAll():
		return report.Example(r, 0)
	case len(firstCases) > 0:
		return report.Example(r, report.ExampleLines/2)
	}
	return report.Example(r, report.ExampleLines)
}

// mostLines is the number of lines that a screen shows of the message of a failure.
const mostLines = 30

// A screen is where Ginkgo's reporter writes, except with ginkgo -p. It leaves out failures with known causes, the
// middle of long messages, and the list of all failures at the end. Reports in files have them.
type screen struct {
	io.Writer
	quiet atomic.Bool
}

var (
	printed   = &screen{Writer: os.Stdout}
	listBegin = regexp.MustCompile(`^(\x1b\[[^m]*m)*Summarizing \d+ Failure`)
	listEnd   = regexp.MustCompile(`^(\x1b\[[^m]*m)*Ran \d+ of `)
)

func (s *screen) Write(text []byte) (int, error) {
	if listBegin.Match(text) || listEnd.Match(text) {
		s.quiet.Store(listBegin.Match(text) && !printsAll())
	}
	shown := text
	if lines := bytes.SplitAfter(text, []byte("\n")); s.quiet.Load() {
		shown = nil
	} else if more := len(lines) - mostLines; more > 0 && !printsAll() {
		shown = fmt.Appendf(bytes.Join(lines[:mostLines/2], nil), "  … %d more lines\n%s", more, bytes.Join(lines[mostLines/2+more:], nil))
	}
	_, err := s.Writer.Write(shown)
	return len(text), err
}

func init() { formatter.ColorableStdOut = printed }

// Ginkgo prints a failure between the two.
var (
	_ = ReportAfterEach(func(s SpecReport) { printed.quiet.Store(isKnown(s) && !printsAll()) })
	_ = ReportBeforeEach(func(SpecReport) { printed.quiet.Store(false) })
	_ = AfterSuite(func() { printed.quiet.Store(false) })
)

// An outcome is the result of a case in the report of its spec. Its text is the transcript.
type outcome struct{ scenario.Result }

func (o outcome) String() string { return strings.Join(o.Transcript, "\n") }

// outcomeOf returns the result of the case that a spec ran, if it ran one. With ginkgo -p, another process may have run
// it.
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

// firstCases has the first failed case of each cause, and of "" the first failed spec outside the catalogue.
var firstCases = report.FirstCases{}

// isKnown reports whether a spec failed like an earlier one. All specs outside the catalogue have the same cause.
func isKnown(s SpecReport) bool {
	if !s.State.Is(types.SpecStateFailed | types.SpecStatePanicked | types.SpecStateTimedout) {
		return false
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
	all, others, unopened := &report.Report{}, 0, map[string]bool{}
	for _, s := range r.SpecReports.WithLeafNodeType(types.NodeTypeIt) {
		if o, ok := outcomeOf(s); ok {
			all.Cases = append(all.Cases, o.Result)
		} else if s.Failed() && slices.Contains(s.Labels(), "catalogue") {
			unopened[s.FailureMessage()] = true
		} else if s.Failed() {
			others++
		}
	}
	for _, why := range slices.Sorted(maps.Keys(unopened)) {
		fmt.Printf("\nNo case ran: %s", why)
	}
	code, again := "csrc", "go test . -ginkgo.v -ginkgo.focus='"
	if scm.Backend == "purego" {
		code, again = "internal/pure", "go test -tags scm_purego . -ginkgo.v -ginkgo.focus='"
	}
	table := all.CauseTable(func(c scenario.Result) string { return again + regexp.QuoteMeta(c.Name) + "'" })
	if others > 0 {
		explain := ""
		if table != "" {
			explain = " First mend the causes below, which may explain them."
		}
		fmt.Printf("\n%s outside the catalogue failed.%s %s=1 prints all, and runs the examples.", Count(others, "spec"), explain, allVariable)
	}
	if table != "" {
		fmt.Printf("\n\n%s is package scm's Send and Recv, and %s its WriteFD and ReadFD: see %s.\n\n%s\n", inside.SCM().Name, inside.SCMPair().Name, code, table)
	}
}

// This stranger does not make the descriptors that it receives close-on-exec.
var _ = Child("stranger", func([]string) { peer.Main(fault.Library("mine", fault.All()["cloexec"])) })

// runWithStranger runs specs in which the stranger receives, in another process that cannot build the other partners.
// It returns what that prints.
func runWithStranger(expected, all string) string {
	GinkgoHelper()
	if why := opponents[scenario.RunnerName].Why; why != "" {
		Skip(why)
	}
	dir := GinkgoT().TempDir()
	list, file := filepath.Join(dir, "list.json"), filepath.Join(dir, "expected.txt")
	Expect(peers.WriteList(list, []peers.Built{{Name: "mine", Command: reexec.CommandLine("stranger")}})).To(Succeed())
	Expect(os.WriteFile(file, []byte(expected), 0o600)).To(Succeed())
	suite := exec.Command("/proc/self/exe", "-test.v", "-test.run=^(TestSuite|ExamplePair)$", "-ginkgo.no-color", "-ginkgo.label-filter=mine", `-ginkgo.focus= basics/pass-one-fd/\w+/scm-\w+/mine|applies to a case`)
	suite.Env = append(os.Environ(), "CI=true", "CC=no-such-compiler", peers.PartnersVariable+"="+list, expectVariable+"="+file, allVariable+"="+all)
	out, _ := suite.CombinedOutput()
	return string(out)
}

var _ = DescribeTable("a stranger in the list is a partner", func(expected, result string) {
	Expect(runWithStranger(expected, "")).To(MatchRegexp(result))
},
	Entry("that may have expected failures", "** cloexec@mine planted\n", `\| 0 Failed \|`),
	Entry("and a line about no peer fails a spec", "** cloexec@mine planted\n** cloexec@mien planted\n", `(?s)did you mean "mine"\?.*\| 1 Failed \|`),
)

var _ = It("failures with the same cause are printed once", func() {
	once, all := runWithStranger("", ""), runWithStranger("", "1")
	Expect(once).To(MatchRegexp(`scm-pair-\w+ its WriteFD and ReadFD: see [/\w]+\.\n\nmine receives descriptors without close-on-exec(?s:.*)\nRan .*\n.* [2-9] Failed`))
	Expect(strings.Count(once, "[FAILED]")).To(Equal(2), "twice in each failure, in:\n%s", once)
	Expect(once).NotTo(Or(ContainSubstring("[FAIL]"), ContainSubstring("ExamplePair")))
	Expect(strings.Count(all, "[FAILED]")).To(Equal(2*strings.Count(all, "[FAIL]")), "in:\n%s", all)
	Expect(all).To(ContainSubstring("ExamplePair"))
})

var _ = It("a long message is printed without its middle", func() {
	var out strings.Builder
	Expect(fmt.Fprint(&screen{Writer: &out}, strings.Repeat("x\n", 99)+"end")).To(Equal(201))
	Expect(out.String()).To(HaveSuffix("\nend"))
	Expect(strings.Contains(out.String(), "\n  … 70 more lines\n")).To(Equal(!printsAll()))
})
