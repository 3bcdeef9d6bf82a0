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

// The elements of a JUnit report, as CI servers read it: a suite a group of scenarios, those of
// the kernel apart, and a test a case.
type (
	junitSuite struct { // and what holds the suites
		XMLName  xml.Name
		Name     string        `xml:"name,attr"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Errors   int           `xml:"errors,attr"`
		Skipped  int           `xml:"skipped,attr"`
		Seconds  seconds       `xml:"time,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
		Cases    []junitCase   `xml:"testcase"`
	}
	junitCase struct {
		Class   string  `xml:"classname,attr"`
		Name    string  `xml:"name,attr"`
		Seconds seconds `xml:"time,attr"`
		Outcome *junitOutcome
		Out     string `xml:"system-out,omitempty"` // what was recorded
	}
	junitOutcome struct {
		XMLName xml.Name
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	seconds float64
)

// MarshalXMLAttr writes milliseconds.
func (s seconds) MarshalXMLAttr(name xml.Name) (xml.Attr, error) {
	return xml.Attr{Name: name, Value: fmt.Sprintf("%.3f", float64(s))}, nil
}

// outcomes are the elements of verdicts; a pass has none.
var outcomes = map[scenario.Verdict]string{
	scenario.Fail: "failure", scenario.UnexpectedPass: "failure", scenario.Flaky: "failure",
	scenario.NotRun: "error", scenario.Expected: "skipped", scenario.Unsupported: "skipped",
}

// JUnit writes the report for CI servers. What was expected to fail and does, and
// what has no verdict, is skipped there, with the reason. What is wrong with the run, and
// with none of its cases, is the error of a test of its own.
func (r *Report) JUnit(w io.Writer) error {
	groups := map[string]*junitSuite{}
	for _, c := range r.Cases {
		name, socketType, a, b := split(c.Name)
		group, _, _ := strings.Cut(name, "/")
		if c.Kernel() {
			group = scenario.KernelName + "/" + group
		}
		if groups[group] == nil {
			groups[group] = &junitSuite{Name: group}
		}
		test := junitCase{Class: name, Name: socketType + "/" + a + "/" + b, Seconds: seconds(c.Seconds), Out: joined(Trace(c))}
		said := joined(c.Transcript)
		if outcomes[c.Verdict] == "skipped" {
			said = ""
		}
		groups[group].add(test, outcomes[c.Verdict], summary(c), said)
	}
	all := junitSuite{XMLName: xml.Name{Local: "testsuites"}, Name: "scm interop"}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		all.Suites = append(all.Suites, groups[group])
	}
	if text := joined(r.besideCases("cut short: " + r.Cut)); text != "" {
		run := &junitSuite{Name: "run"}
		run.add(junitCase{Class: "run", Name: "run"}, "error", text, text)
		all.Suites = append(all.Suites, run)
	}
	for _, s := range all.Suites {
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Skipped += s.Skipped
		all.Seconds += s.Seconds
	}
	text, err := xml.MarshalIndent(all, "", " ")
	if err == nil {
		_, err = io.WriteString(w, xml.Header+string(text)+"\n")
	}
	return err
}

func (s *junitSuite) add(test junitCase, outcome, message, text string) {
	s.Tests++
	s.Seconds += test.Seconds
	if outcome != "" {
		*map[string]*int{"failure": &s.Failures, "error": &s.Errors, "skipped": &s.Skipped}[outcome]++
		test.Outcome = &junitOutcome{xml.Name{Local: outcome}, message, text}
	}
	s.Cases = append(s.Cases, test)
}

// summary is what there is to say of a case, but for its transcript.
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
	return display.Block("", strings.Join(parts, ": "))
}

// joined are lines that peers said: CI servers print them, and obey some.
func joined(said []string) string {
	var shown []string
	for _, l := range said {
		shown = append(shown, display.Block("", l))
	}
	return strings.Join(shown, "\n")
}
