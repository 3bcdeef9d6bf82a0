package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// The elements of a JUnit report. Each group of scenarios is a suite, and each case is a test.
// Peer scenarios and kernel scenarios are in separate suites.
type (
	junitSuites struct { // Jenkins' schema does not allow it to have the number of skipped tests
		XMLName  xml.Name      `xml:"testsuites"`
		Name     string        `xml:"name,attr"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Errors   int           `xml:"errors,attr"`
		Seconds  seconds       `xml:"time,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string          `xml:"name,attr"`
		Tests    int             `xml:"tests,attr"`
		Failures int             `xml:"failures,attr"`
		Errors   int             `xml:"errors,attr"`
		Skipped  int             `xml:"skipped,attr"`
		Seconds  seconds         `xml:"time,attr"`
		Cases    []junitTestcase `xml:"testcase"`
	}
	junitTestcase struct {
		Class   string  `xml:"classname,attr"`
		Name    string  `xml:"name,attr"`
		Seconds seconds `xml:"time,attr"`
		Outcome *junitOutcome
		Out     string `xml:"system-out,omitempty"` // the recorded calls, or why a pass may be due to a backport
	}
	junitOutcome struct {
		XMLName xml.Name
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	seconds float64
)

// MarshalXMLAttr writes seconds with three decimals.
func (s seconds) MarshalXMLAttr(name xml.Name) (xml.Attr, error) {
	return xml.Attr{Name: name, Value: fmt.Sprintf("%.3f", float64(s))}, nil
}

// outcomeElements contains the XML element for each verdict. A pass has none.
var outcomeElements = map[scenario.Verdict]string{
	scenario.Fail: "failure", scenario.UnexpectedPass: "failure", scenario.Flaky: "failure",
	scenario.NotRun: "error", scenario.Expected: "skipped", scenario.Unsupported: "skipped",
}

// JUnit writes the report for CI servers. Expected failures and unsupported cases count as
// skipped, with the reason. Errors that affect the run as a whole, rather than one case, are
// reported as a separate test. A message is one line.
func (r *Report) JUnit(w io.Writer) error {
	r = r.abbreviated()
	groups := map[string]*junitSuite{}
	for _, c := range r.Cases {
		name, socketType, a, b := splitCaseName(c.Name)
		group, _, _ := strings.Cut(name, "/")
		if c.Kernel() {
			group = scenario.KernelName + "/" + group
		}
		if groups[group] == nil {
			groups[group] = &junitSuite{Name: group}
		}
		test := junitTestcase{
			Class:   name,
			Name:    socketType + "/" + a + "/" + b,
			Seconds: seconds(c.Seconds),
			Out:     safeLines(Trace(c)),
		}
		if len(c.KernelPasses) > 0 && c.Verdict == scenario.Pass {
			test.Out = safeLines([]string{c.Why})
		}
		element := outcomeElements[c.Verdict]
		body := ""
		if element != "skipped" {
			body = safeLines(junitBody(c))
		}
		groups[group].add(test, element, shorten(summary(c), maxMessage), body)
	}
	all := junitSuites{Name: "scm interop"}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		all.Suites = append(all.Suites, groups[group])
	}
	if list := r.runErrors("cut short: " + r.Cut); len(list) > 0 {
		run := &junitSuite{Name: "run"}
		run.add(junitTestcase{Class: "run", Name: "run"}, "error", shorten(strings.Join(list, "; "), maxMessage), safeLines(list))
		all.Suites = append(all.Suites, run)
	}
	for _, s := range all.Suites {
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Seconds += s.Seconds
	}
	text, err := xml.MarshalIndent(all, "", " ")
	if err == nil {
		_, err = io.WriteString(w, xml.Header+string(text)+"\n")
	}
	return err
}

// add adds a test to the suite. The outcome is the name of the XML element for the verdict, or
// "" for a pass.
func (s *junitSuite) add(test junitTestcase, outcome, message, text string) {
	s.Tests++
	s.Seconds += test.Seconds
	if outcome != "" {
		*map[string]*int{"failure": &s.Failures, "error": &s.Errors, "skipped": &s.Skipped}[outcome]++
		test.Outcome = &junitOutcome{xml.Name{Local: outcome}, message, text}
	}
	s.Cases = append(s.Cases, test)
}

// maxMessage is the maximum length of a message, which CI servers show in one line.
const maxMessage = 300

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
