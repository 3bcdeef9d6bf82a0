package report

import (
	"bytes"
	"encoding/xml"
	"maps"
	"strings"
	"testing"
	"unicode"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/junit"
	"github.com/scm-rights/scm/interop/scenario"
)

// A readOutcome is an outcome as a CI server reads it.
type readOutcome struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type readSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Suites  []struct {
		Cases []struct {
			Class    string        `xml:"classname,attr"`
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
	fdtest.Must(t, r.JUnit(&b))
	if err := xml.Unmarshal(b.Bytes(), &all); err != nil {
		t.Fatalf("the JUnit report: %v\n%s", err, &b)
	}
	return all
}

// The first case of each cause, in the order of the report, has the whole text, and the others name it. So a case with
// a new cause has the whole text too.
func TestJUnitCauses(t *testing.T) {
	finding := func(check scenario.Check) scenario.Finding {
		return scenario.Finding{Check: check, Peer: "x", Text: "why"}
	}
	leak, file := finding(scenario.CheckLeak), finding(scenario.CheckFile)
	r := &Report{}
	for name, list := range map[string][]scenario.Finding{
		"b/a/stream/x/y": {leak}, "a/b/stream/x/y": {leak}, "c/a/stream/x/y": {file, leak}, "d/a/stream/x/y": {leak, file},
	} {
		r.Cases = append(r.Cases, scenario.Result{Name: name, Verdict: scenario.Fail, Findings: list, Transcript: []string{"A> end"}})
	}
	for _, class := range []string{"e/a", "f/a"} {
		r.Cases = append(r.Cases, scenario.Result{Name: class + "/stream/x/y", Verdict: scenario.NotRun, Why: "no answer"})
	}
	got := map[string]readOutcome{}
	for _, s := range readJUnit(t, r).Suites[:6] {
		for _, c := range s.Cases {
			got[c.Class] = append(c.Failures, c.Errors...)[0]
		}
	}
	want := map[string]readOutcome{
		"a/b": {"fail: leak@x: why", "leak@x: why\n\nA> end"},
		"b/a": {"fails as a/b/stream/x/y does: leak@x", ""},
		"c/a": {"fail: file@x: why: leak@x: why", "file@x: why\nleak@x: why\n\nA> end"},
		"d/a": {"fails as c/a/stream/x/y does: file@x, as a/b/stream/x/y does: leak@x", ""},
		"e/a": {"not run: no answer", ""},
		"f/a": {"fails as e/a/stream/x/y does: not run", ""},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
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
				if strings.ContainsFunc(o.Message, func(c rune) bool { return !unicode.IsPrint(c) || c == '\ufffd' }) || len([]rune(o.Message)) > junit.MaxMessage ||
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
