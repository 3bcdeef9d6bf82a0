package report

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// A table of causes says what rule was broken, by whom, how often and with which partners, and shows the first case,
// its line, and the command that runs it again. It needs only the cases.
func TestCauseTable(t *testing.T) {
	failed := func(name string, facts ...string) scenario.Result {
		return scenario.Result{Name: name, Verdict: scenario.Fail, Transcript: facts, Facts: facts,
			Case:     scenario.Case{Scenario: &scenario.Scenario{Name: "a/b", Rule: []string{"Bytes pass."}}},
			Findings: []scenario.Finding{{Check: scenario.CheckHang, Peer: "mine", Line: 7, Text: "no answer\nfor 10 s\nat all"}, {Check: scenario.CheckLeak, Peer: "x", Expected: true}}}
	}
	r := &Report{Cases: []scenario.Result{
		failed("a/b/stream/x/mine", "A> end", "A< ok"), failed("a/b/stream/runner/mine", "A> end"), {Name: "a/c/stream/mine/mine", Verdict: scenario.Pass}}}
	const want = `mine does not answer in time: 2 cases, in a/b, with 2 of 2 partners
Example (transcript above): a/b/stream/x/mine
line 7: hang@mine: no answer
| for 10 s
To run it again: go test a/b/stream/x/mine

mine breaks 1 rule (hang) in 2 of 3 cases.`
	if got := r.CauseTable(func(c scenario.Result) string { return "go test " + c.Name }); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	two := failed("a/b/stream/runner/mine")
	two.Findings[1].Expected = false
	if got := (&Report{Cases: []scenario.Result{two}}).CauseTable(func(scenario.Result) string { return "" }); strings.Count(got, "hang@mine") != 1 {
		t.Errorf("got\n%s\nwant each finding below its own cause", got)
	}

	long := failed("a/b/stream/x/mine", "1", "2", "3", "    ✗ hang: no answer", "5")
	const example = "mine does not answer in time\nline 7: hang@mine: no answer\n| for 10 s\n| at all\nThe scenario (A is x, B is mine): Bytes pass.\n    … 2 earlier lines\n    3\n        ✗ hang: no answer\n    … 1 more line"
	if got := Example(long, 2); got != example {
		t.Errorf("got\n%s\nwant\n%s", got, example)
	}
	if got := Example(long, 0); !strings.Contains(got, "\n    1\n") || !strings.HasSuffix(got, "\n    5") {
		t.Errorf("got\n%s\nwant all lines", got)
	}
	long.Findings[0].Text = strings.Repeat("dying\n", 20) + "dead"
	if got := Example(long, 2); strings.Count(got, "dying") != 2 || !strings.Contains(got, "\n| … 18 more lines\n| dead\n") {
		t.Errorf("got\n%s\nwant the ends of the finding", got)
	}
	if got := Example(long, 0); strings.Count(got, "dying") != 20 {
		t.Errorf("got\n%s\nwant the whole finding", got)
	}
}
