package report

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
	"unicode"

	"github.com/scm-rights/scm/interop/scenario"
)

// A readOutcome is an outcome as a CI server reads it.
type readOutcome struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type readCounts struct {
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Skipped  int     `xml:"skipped,attr"`
	Time     float64 `xml:"time,attr"`
}

type readSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	readCounts
	Suites []struct {
		Name string `xml:"name,attr"`
		readCounts
		Cases []struct {
			Class    string        `xml:"classname,attr"`
			Name     string        `xml:"name,attr"`
			Time     float64       `xml:"time,attr"`
			Failures []readOutcome `xml:"failure"`
			Errors   []readOutcome `xml:"error"`
			Skipped  []readOutcome `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// readJUnit returns the JUnit report as encoding/xml reads it.
func readJUnit(t *testing.T, r *Report) (all readSuites) {
	t.Helper()
	var b bytes.Buffer
	if err := r.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b.Bytes(), &all); err != nil {
		t.Fatalf("%v\n%s", err, &b)
	}
	return all
}

// In a JUnit report, each case is one test with at most one outcome, and the counts add up.
func TestJUnitCounts(t *testing.T) {
	r := small(t)
	for i := range r.Cases {
		r.Cases[i].Seconds = float64(i) / 8
	}
	all := readJUnit(t, r)
	var sum readCounts
	names := map[string]bool{}
	for _, s := range all.Suites {
		var found readCounts
		for _, c := range s.Cases {
			found.Tests++
			found.Failures += len(c.Failures)
			found.Errors += len(c.Errors)
			found.Skipped += len(c.Skipped)
			found.Time += c.Time
			if names[c.Class+"/"+c.Name] || len(c.Failures)+len(c.Errors)+len(c.Skipped) > 1 {
				t.Errorf("%s/%s: twice, or with several outcomes", c.Class, c.Name)
			}
			names[c.Class+"/"+c.Name] = true
		}
		if s.readCounts != found {
			t.Errorf("suite %s: got %+v, want %+v", s.Name, s.readCounts, found)
		}
		sum.Tests += found.Tests
		sum.Failures += found.Failures
		sum.Errors += found.Errors
		sum.Skipped += found.Skipped
		sum.Time += found.Time
	}
	skipped := sum.Skipped
	sum.Skipped = 0 // Jenkins' schema has no such attribute here
	if all.readCounts != sum {
		t.Errorf("the report: got %+v, want %+v", all.readCounts, sum)
	}
	for _, c := range r.Cases {
		if !names[c.Name] {
			t.Errorf("%s is missing", c.Name)
		}
	}
	ofRun := 1 // it was cut short
	totals := r.Totals
	passes := sum.Tests - sum.Failures - sum.Errors - skipped
	if len(names) != len(r.Cases)+ofRun || passes != totals.Pass+r.Kernel.Pass || skipped != totals.Expected+totals.Unsupported ||
		sum.Failures != r.Unexpected() || sum.Errors != totals.NotRun+ofRun {
		t.Errorf("%d tests, %d pass, %d skipped, %+v; want %+v and %+v", len(names), passes, skipped, sum, totals, r.Kernel)
	}
}

// A message is one short line, even if it contains text from a peer. The text of a failure has the findings and the
// transcript.
func TestJUnitMessages(t *testing.T) {
	const hostile = "two\nlines \x00\x1b\ufffe\u2028\xff ]]> <!-- &amp; ::error::"
	finding := scenario.Finding{Check: scenario.CheckAnswer, Peer: "x", Line: 3, Text: hostile + strings.Repeat("long ", 1000)}
	transcript := []string{"A> send payload=00 fds=4", "A< " + hostile}
	r := &Report{Cut: hostile}
	for i, v := range scenario.Verdicts {
		r.Cases = append(r.Cases, scenario.Result{Name: "a/" + string(rune('a'+i)) + "/stream/x/x", Verdict: v, Why: hostile, Findings: []scenario.Finding{finding},
			Reasons: []string{hostile}, Gone: []string{hostile}, Transcript: transcript})
	}
	outcomes := 0
	for _, s := range readJUnit(t, r).Suites {
		for _, c := range s.Cases {
			for _, o := range append(append(c.Failures, c.Errors...), c.Skipped...) {
				outcomes++
				if strings.ContainsFunc(o.Message, func(c rune) bool { return !unicode.IsPrint(c) || c == '\ufffd' }) || len([]rune(o.Message)) > maxMessage ||
					!strings.Contains(o.Message, `two, lines \x00\x1b\ufffe\u2028\xff`) {
					t.Errorf("%s: the message is %q", c.Class, o.Message)
				}
			}
			for _, f := range c.Failures {
				if !strings.HasPrefix(f.Text, "line 3: answer@x: two\n| lines ") || !strings.Contains(f.Text, "\nA> send payload=00 fds=4\nA< two\n| lines ") {
					t.Errorf("%s: the text is %q", c.Class, f.Text)
				}
			}
		}
	}
	if want := len(scenario.Verdicts) - 1 + 1; outcomes != want { // all but pass, and the run
		t.Errorf("%d outcomes, want %d", outcomes, want)
	}
}
