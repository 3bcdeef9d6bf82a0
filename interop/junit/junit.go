// Package junit writes reports in the format of JUnit, which CI servers read.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
)

// MaxMessage is the maximum length of a message, which CI servers show in one line.
const MaxMessage = 300

// Suites is the whole report.
type Suites struct { // Jenkins' schema does not allow it to have the number of skipped tests
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Seconds  Seconds  `xml:"time,attr"`
	Suites   []*Suite `xml:"testsuite"`
}

// A Suite is a group of tests.
type Suite struct {
	Name     string  `xml:"name,attr"`
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Skipped  int     `xml:"skipped,attr"`
	Seconds  Seconds `xml:"time,attr"`
	Cases    []Case  `xml:"testcase"`
}

// A Case is a test.
type Case struct {
	Class   string  `xml:"classname,attr"`
	Name    string  `xml:"name,attr"`
	Seconds Seconds `xml:"time,attr"`
	Outcome *Outcome
	Out     string `xml:"system-out,omitempty"`
}

// An Outcome says why a test did not pass.
type Outcome struct {
	XMLName xml.Name
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// Seconds is a time, which is written with three decimals.
type Seconds float64

// MarshalXMLAttr implements [xml.MarshalerAttr].
func (s Seconds) MarshalXMLAttr(name xml.Name) (xml.Attr, error) {
	return xml.Attr{Name: name, Value: fmt.Sprintf("%.3f", float64(s))}, nil
}

// Add adds a test to the suite. The outcome is the name of an XML element (failure, error or skipped), or "" for a
// pass.
func (s *Suite) Add(test Case, outcome, message, text string) {
	s.Tests++
	s.Seconds += test.Seconds
	if outcome != "" {
		*map[string]*int{"failure": &s.Failures, "error": &s.Errors, "skipped": &s.Skipped}[outcome]++
		test.Outcome = &Outcome{xml.Name{Local: outcome}, message, text}
	}
	s.Cases = append(s.Cases, test)
}

// Write adds up the suites and writes the report.
func (all *Suites) Write(w io.Writer) error {
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
