package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// The elements of a JUnit report, as CI servers read it: a suite a group of
// scenarios, those of the kernel apart, and a test a case.
type (
	junit struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCounts
		Suites []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name string `xml:"name,attr"`
		junitCounts
		Cases []junitCase `xml:"testcase"`
	}
	junitCounts struct {
		Tests    int     `xml:"tests,attr"`
		Failures int     `xml:"failures,attr"`
		Errors   int     `xml:"errors,attr"`
		Skipped  int     `xml:"skipped,attr"`
		Seconds  seconds `xml:"time,attr"`
	}
	junitCase struct {
		Class   string     `xml:"classname,attr"`
		Name    string     `xml:"name,attr"`
		Seconds seconds    `xml:"time,attr"`
		Failure *junitText `xml:"failure"`
		Error   *junitText `xml:"error"`
		Skipped *junitText `xml:"skipped"`
		Out     string     `xml:"system-out,omitempty"` // what was recorded
	}
	junitText struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	seconds float64
)

// MarshalXMLAttr writes milliseconds.
func (s seconds) MarshalXMLAttr(name xml.Name) (xml.Attr, error) {
	return xml.Attr{Name: name, Value: fmt.Sprintf("%.3f", float64(s))}, nil
}

// JUnit writes the report for CI servers. What was expected to fail and does, and
// what has no verdict, is skipped there, with the reason. What is wrong with the run, and
// with none of its cases, is the error of a test of its own.
func (r *Report) JUnit(w io.Writer) error {
	all := junit{Name: "scm interop"}
	at := map[string]*junitSuite{}
	for _, c := range r.Cases {
		name, socketType, a, b := split(c.Name)
		group, _, _ := strings.Cut(name, "/")
		if c.Kernel() {
			group = scenario.KernelName + "/" + group
		}
		if at[group] == nil {
			at[group] = &junitSuite{Name: group}
			all.Suites = append(all.Suites, at[group])
		}
		test := junitCase{Class: name, Name: socketType + "/" + a + "/" + b, Seconds: seconds(c.Seconds), Out: lines(Trace(c))}
		all.add(&test, c)
		at[group].add(&test, c)
		at[group].Cases = append(at[group].Cases, test)
	}
	slices.SortFunc(all.Suites, func(x, y *junitSuite) int { return strings.Compare(x.Name, y.Name) })
	if beside := r.besideCases("cut short: " + r.Cut); len(beside) > 0 {
		text := lines(beside)
		counts := junitCounts{Tests: 1, Errors: 1}
		all.Tests++
		all.Errors++
		all.Suites = append(all.Suites, &junitSuite{Name: "run", junitCounts: counts,
			Cases: []junitCase{{Class: "run", Name: "run", Error: &junitText{Message: text, Text: text}}}})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (counts *junitCounts) add(test *junitCase, c scenario.Result) {
	counts.Tests++
	counts.Seconds += seconds(c.Seconds)
	text := &junitText{Message: summary(c), Text: lines(c.Transcript)}
	switch c.Verdict {
	case scenario.Fail, scenario.Fixed, scenario.Flaky:
		counts.Failures++
		test.Failure = text
	case scenario.NotRun:
		counts.Errors++
		test.Error = text
	case scenario.Expected, scenario.Unsupported:
		counts.Skipped++
		test.Skipped = &junitText{Message: summary(c)}
	}
}

// summary is what there is to say of a case, but for its transcript.
func summary(c scenario.Result) string {
	parts := []string{string(c.Verdict)}
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

// lines joins what peers said: CI servers print it, and obey some.
func lines(said []string) string {
	var b strings.Builder
	for i, l := range said {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(display.Block("", l))
	}
	return b.String()
}
