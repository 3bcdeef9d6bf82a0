package programs

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/expected"
)

var linux = expected.System{Kind: expected.Linux, Release: "6.1.0"}

func accepted(t *testing.T, text string) []expected.Line {
	t.Helper()
	list, err := ParseAccepted("file", []byte(text))
	fdtest.Must(t, err)
	return list
}

func TestParseAcceptedErrors(t *testing.T) {
	const whats = "byte, newline, zeros, ones, 4k, second, two, 253, path)"
	for text, want := range map[string]string{
		"byte leak@x":            "file:1: a line is WHAT CHECK@PROGRAM REASON, and the reason is required",
		"\nbyte hang@x why":      `file:2: "hang@x" is not CHECK@PROGRAM, optionally followed by <VERSION, >=VERSION or both; checks are [leak crash refuses unread]`,
		"byte leak@x:sends why":  `file:1: "leak@x:sends" is not CHECK@PROGRAM, optionally followed by <VERSION, >=VERSION or both; checks are [leak crash refuses unread]`,
		"{byte,newlin} leak@x w": `file:1: "newlin" is not an item of scm poke (` + whats + `; did you mean "newline"?`,
		"basics/pass leak@x why": `file:1: "basics/pass" is not an item of scm poke (` + whats,
		"byte leak@x flaky:":     `file:1: the reason after "flaky:" is missing`,
	} {
		if list, err := ParseAccepted("file", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, %v; want %s", text, list, err, want)
		}
	}
}

// testReport returns a report in which the program x keeps a descriptor of the item byte, ends after newline, passes
// zeros, and has no verdict for ones.
func testReport() *Report {
	r := NewReport("v1", "x", "2.3", linux)
	r.Trials = []Trial{{What: "byte"}, {What: "newline", Notes: []string{"a note"}}, {What: "zeros"}, {What: "ones", Skipped: "a reason"}}
	r.Trials[0].Find(CheckLeak, "keeps 1 of 1")
	r.Trials[1].Find(CheckCrash, "ends")
	r.Trials[1].Output = "an assertion\n::error::"
	return r
}

// A line accepts a finding. It fails the run if the finding did not occur, and is set aside if it is about something
// else.
func TestAccept(t *testing.T) {
	const both = "byte leak@x a\nnewline crash@x b\n"
	for _, c := range []struct {
		text    string
		failed  bool
		missing []string
		aside   int
	}{
		{"", true, nil, 0},
		{both, false, nil, 0},
		{"byte leak@x a", true, nil, 0},
		{both + "zeros leak@x a\nones leak@x a", true, []string{"file:3: zeros leak@x"}, 1},
		{"byte crash@x a\nnewline crash@x b", true, []string{"file:1: byte crash@x"}, 0},
		{"{byte,newline} {leak,crash}@x a", true, []string{"file:1: {byte,newline} leak@x", "file:1: {byte,newline} crash@x"}, 0},
		{both + "{zeros,ones} leak@x c", true, []string{"file:3: {zeros,ones} leak@x"}, 0},
		{both + "zeros leak@x flaky: c\nzeros leak@x c", false, nil, 0},
		{both + "ones leak@x c\n253 leak@x d\nzeros leak@y f\nzeros leak@x<2 g", false, nil, 4},
		{"byte leak@x>=2<3 a\nnewline crash@x>=2.3 b", false, nil, 0},
	} {
		r := testReport()
		r.Accept(accepted(t, c.text))
		var missing []string
		for _, trial := range r.Trials {
			missing = append(missing, trial.Missing...)
		}
		slices.Sort(missing)
		slices.Sort(c.missing)
		if r.Failed() != c.failed || !slices.Equal(missing, c.missing) || r.Aside != c.aside {
			t.Errorf("%s: failed %v, missing %q, %d aside", c.text, r.Failed(), missing, r.Aside)
		}
	}
}

func TestReportConsole(t *testing.T) {
	r := testReport()
	r.Accept(accepted(t, "byte leak@x it stores them\nzeros leak@x why\n253 leak@x why"))
	var b bytes.Buffer
	fdtest.Must(t, r.Console(&b))
	want := `byte       accepted leak@x: keeps 1 of 1 (it stores them)
newline    FOUND crash@x: ends. To fix it: docs/testing-a-daemon.md#crash in the scm repository
newline    note: a note
zeros      NOT FOUND although accepted: file:2: zeros leak@x
ones       no verdict: a reason
The server printed during newline:
| an assertion
| ::error::
x: 1 finding, 1 accepted, 1 accepted but not found, 1 without a verdict, 1 accepted line set aside
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	// Items with the same finding share a line, and so do those without one.
	b.Reset()
	r = NewReport("v1", "x", "", linux)
	r.Trials = []Trial{{What: "byte"}, {What: "newline"}, {What: "zeros"}, {What: "ones"}}
	r.Trials[0].Find(CheckLeak, "keeps 1 of 1")
	r.Trials[2].Find(CheckLeak, "keeps 1 of 1")
	want = "byte, zeros FOUND leak@x: keeps 1 of 1. To fix it: " + remedy(CheckLeak) + "\n" +
		"newline, ones ok\nx: 2 findings\n"
	if _ = r.Console(&b); b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	b.Reset()
	r = NewReport("v1", "x", "", linux)
	r.Broken = "it does not start"
	if _ = r.Console(&b); b.String() != "x: it does not start\n" {
		t.Errorf("got\n%s", b.String())
	}
}

func TestReportFiles(t *testing.T) {
	r := testReport()
	r.Accept(accepted(t, "byte leak@x it stores them"))
	var b bytes.Buffer
	fdtest.Must(t, r.JSON(&b))
	var again Report
	if err := json.Unmarshal(b.Bytes(), &again); err != nil || len(again.Trials) != 4 ||
		again.Trials[0].Findings[0].Accepted != "it stores them" || again.ProgramVersion != "2.3" {
		t.Errorf("%v; want version 2.3 and four trials, the first accepted, in\n%s", err, b.String())
	}
	b.Reset()
	r.Broken = "a signal"
	fdtest.Must(t, r.JUnit(&b))
	for _, want := range []string{
		`<testsuites name="scm poke" tests="5" failures="1" errors="1" time="0.000">`,
		`<testsuite name="x" tests="5" failures="1" errors="1" skipped="2" time="0.000">`,
		`<skipped message="accepted leak@x: keeps 1 of 1 (it stores them)">`,
		`<failure message="FOUND crash@x: ends. To fix it: docs/`,
		"| ::error::</failure>",
		`<testcase classname="x" name="zeros" time="0.000"></testcase>`,
		`<error message="a signal">`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is missing in\n%s", want, b.String())
		}
	}
}

// An item that was not tried is not a failure, but no report shows it as passed. Each report contains the notes.
func TestReportOfWhatWasNotTried(t *testing.T) {
	r := NewReport("v1", "x", "", linux)
	r.Trials = []Trial{{What: "byte", Notes: []string{"a note"}}, {What: "second", Untried: "a reason"}}
	r.Accept(accepted(t, "second leak@x why"))
	if r.Failed() || r.Undecided() {
		t.Errorf("failed: %v, undecided: %v", r.Failed(), r.Undecided())
	}
	var console, file bytes.Buffer
	fdtest.Must(t, errors.Join(r.Console(&console), r.JUnit(&file)))
	const want = "byte       ok\nbyte       note: a note\nsecond     not tried: a reason\n" +
		"x: no findings, 1 not tried, 1 accepted line set aside\n"
	if console.String() != want {
		t.Errorf("got\n%s", &console)
	}
	for _, want := range []string{
		`skipped="1"`,
		`<skipped message="not tried: a reason">`,
		`<system-out>ok&#xA;| note: a note</system-out>`,
	} {
		if !strings.Contains(file.String(), want) {
			t.Errorf("%s is missing in\n%s", want, &file)
		}
	}
}

// The page that findings name has a section for each check.
func TestRemedy(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/testing-a-daemon.md")
	fdtest.Must(t, err)
	for _, check := range Checks {
		if check != CheckUnread && !strings.Contains(string(text), "\n### "+check+"\n") {
			t.Errorf("the page has no section %s", check)
		}
	}
}
