package report

import (
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/junit"
	"github.com/scm-rights/scm/interop/scenario"
)

// outcomeElements contains the XML element for each verdict. A pass has none.
var outcomeElements = map[scenario.Verdict]string{
	scenario.Fail: "failure", scenario.UnexpectedPass: "failure", scenario.Flaky: "failure",
	scenario.NotRun: "error", scenario.Expected: "skipped", scenario.Unsupported: "skipped",
}

// JUnit writes the report for CI servers. Each group of scenarios is a suite, and each case is a test. Peer
// scenarios, kernel scenarios and the cases in Control are in separate suites. Expected failures and unsupported cases
// count as skipped, with the reason. Only the first case of each cause has its text. Errors that affect the run as a
// whole, rather than one case, are reported as a separate test. So are the cases of a peer that have no verdict, and
// that test counts as skipped. A message is one line.
func (r *Report) JUnit(w io.Writer) error {
	r = r.abbreviated()
	groups := map[string][]scenario.Result{}
	for _, c := range r.Cases {
		group, _, _ := strings.Cut(c.Name, "/")
		switch {
		case c.Kernel():
			group = scenario.KernelName + "/" + group
		case len(r.Given) > 0 && c.Control():
			group = scenario.RunnerName + "/" + group
		}
		groups[group] = append(groups[group], c)
	}
	all, first := junit.Suites{Name: "scm interop"}, FirstCases{}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		suite := &junit.Suite{Name: group}
		for _, c := range groups[group] {
			addCase(suite, c, first)
		}
		all.Suites = append(all.Suites, suite)
	}
	run := &junit.Suite{Name: "run"}
	if r.UnmatchedFaults() > 0 {
		run.Add(junit.Case{Class: "run", Name: unmatchedTitle}, "failure", shorten(strings.Join(r.Unmatched, "; "), junit.MaxMessage), safeLines(r.Unmatched))
	}
	if list := r.runErrors(r.CutText()); len(list) > 0 {
		run.Add(junit.Case{Class: "run", Name: "run"}, "error", shorten(strings.Join(list, "; "), junit.MaxMessage), safeLines(list))
	}
	peers, sentences := r.partlyAsked()
	for i, text := range sentences {
		run.Add(junit.Case{Class: "run", Name: peers[i] + ": " + scenario.NoVerdictIn("some cases")}, "skipped", shorten(text, junit.MaxMessage), safeLines([]string{text}))
	}
	if run.Tests > 0 {
		all.Suites = append(all.Suites, run)
	}
	return all.Write(w)
}

// addCase adds a case to the suite. If others have failed before for each of its causes, it only names them.
func addCase(suite *junit.Suite, c scenario.Result, first FirstCases) {
	name, socketType, a, b := splitCaseName(c.Name)
	test := junit.Case{
		Class:   name,
		Name:    socketType + "/" + a + "/" + b,
		Seconds: junit.Seconds(c.Seconds),
		Out:     safeLines(Trace(c)),
	}
	if len(c.KernelPasses) > 0 && c.Verdict == scenario.Pass {
		test.Out = safeLines([]string{c.Why})
	}
	element, message, body := outcomeElements[c.Verdict], summary(c), ""
	known := first.Add(c.Name, c)
	switch {
	case known != "":
		message = known
	case element != "skipped":
		body = safeLines(junitBody(c))
	}
	suite.Add(test, element, shorten(message, junit.MaxMessage), body)
}

// junitBody returns the findings of a case, each with its line in the scenario, and the transcript.
func junitBody(c scenario.Result) (lines []string) {
	for _, f := range c.Findings {
		lines = append(lines, f.Located())
	}
	if len(lines) > 0 && len(c.Transcript) > 0 {
		lines = append(lines, "")
	}
	return append(lines, c.Transcript...)
}

// summary describes a case without its transcript. It may consist of several lines.
func summary(c scenario.Result) string {
	parts := []string{c.Verdict.String()}
	if c.Why != "" {
		parts = append(parts, c.Why)
	}
	for _, f := range c.Findings {
		parts = append(parts, f.String())
	}
	if c.Verdict == scenario.Expected {
		parts = append(parts, c.Reasons...)
	}
	return strings.Join(parts, ": ")
}

// safeLines joins lines that peers may have written. It escapes the lines, because CI servers
// print the lines of a report and execute some of them as commands.
func safeLines(lines []string) string {
	var safe []string
	for _, l := range lines {
		safe = append(safe, display.Block("", l))
	}
	return strings.Join(safe, "\n")
}
