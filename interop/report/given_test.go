package report

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// given returns the report of a run about the peer mine, which fails once.
func given(t *testing.T) *Report {
	r := &Report{Given: []string{"mine"}, NotAsked: map[string]string{"mine": ""}, NoKernel: 2, Seconds: 1,
		Peers: []Peer{{Name: "mine"}, {Name: "c"}, {Name: "runner"}}}
	r.End(scenario.RunResult{Results: []scenario.Result{
		{Name: "a/b/stream/mine/c", Verdict: scenario.Fail, Findings: []scenario.Finding{{Check: scenario.CheckLeak, Peer: "mine", Text: "why"}}},
		{Name: "a/b/stream/mine/runner", Verdict: scenario.Pass},
		{Name: "a/b/stream/runner/runner", Verdict: scenario.Pass},
	}})
	return r
}

// In a run about a peer, the totals count only its cases. Every format shows those of the kernel and of the runner with
// itself separately.
func TestSumsAreThoseOfTheGivenPeers(t *testing.T) {
	r := given(t)
	r.Kernel.Pass++
	got := texts(t, r)
	for name, wants := range map[string][]string{
		"Brief": {"\na  1 of 2", "\n2 kernel scenarios left out: see --kernel\n",
			"\nOf 2 cases, 1 passed, 1 did not end as expected. Kernel scenarios: of 1 case, 1\n  passed.\nmine breaks 1 rule (leak) in 1 of 2 cases.\n"},
		"Summary": {"\n2 cases of `mine` have a verdict: 1 pass, 0 expected failures, 1 not as expected. Kernel scenarios: of 1 case, 1 passed. 3 peers"},
		"HTML":    {"<th>mine<td>1<td>0<td>1<td>", "<th>runner with itself<td>1<td>0<td>0<td>"},
		"JUnit":   {`<testsuite name="a" tests="2"`, `<testsuite name="runner/a" tests="1"`},
	} {
		for _, want := range wants {
			if !strings.Contains(got[name], want) {
				t.Errorf("%s: no %q in\n%s", name, want, got[name])
			}
		}
	}
	// A failure of the control is not hidden.
	r.Control.Fail++
	if r.Headline() != "not as expected" || !strings.Contains(r.Verdict(), "Runner with itself: of 2 cases, 1 passed, 1 did not end as expected.") {
		t.Errorf("with a failure of the control, got %s and %s", r.Headline(), r.Verdict())
	}
}
