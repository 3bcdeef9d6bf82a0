package report

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"
)

// The last line, the summaries, the page and JUnit explain in the same words why cases of a peer have no verdict. The
// JSON report contains the numbers.
func TestNotAskedInEveryFormat(t *testing.T) {
	hello := contract.Hello{Can: []string{"stream"}}
	x, y := &scenario.Peer{Name: "x", Hello: hello}, &scenario.Peer{Name: "y", Hello: hello}
	plan := scenario.Plan([]*scenario.Scenario{parse(t, "basics/pass", "on stream dgram\n")}, []*scenario.Peer{x, y}, &scenario.Peer{Name: scenario.RunnerName, Hello: hello})
	refused := scenario.Obstacle{Reason: scenario.ReasonAnswer, Peer: "x", Detail: "iov"}
	r := Begin("v1.0.0", []*scenario.Peer{x, y}, &scenario.Expectations{})
	r.NotAsked = map[string]string{"x": ""}
	r.End(scenario.RunResult{Results: []scenario.Result{
		{Name: "basics/pass/stream/x/y", Verdict: scenario.Pass},
		{Name: "basics/pass/stream/x/x", Verdict: scenario.Expected},
		{Name: "basics/pass/stream/y/x", Verdict: scenario.Unsupported, Why: "x: answered unsupported", Obstacle: refused},
	}})
	r.CountAsked(plan, scenario.Obstacles(plan[:4], r.Cases, scenario.ReasonCut))
	const want = "x: of 2 cases, 1 passed, 1 failed as expected; no verdict in 8 of its 10 cases: not selected (6), unsupported although it claims iov (1), the run was cut short (1)."
	for name, text := range texts(t, r) {
		if name != "Annotations" && !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("%s: want %s in\n%s", name, want, text)
		}
	}
	suites := readJUnit(t, r).Suites
	if last := suites[len(suites)-1].Cases; len(last) != 1 || len(last[0].Skipped) != 1 || last[0].Skipped[0].Message != want {
		t.Errorf("JUnit: the last suite is %+v, want a skipped test with the message %s", last, want)
	}
	numbers := map[string]scenario.Asked{"x": {Cases: 10, Verdicts: 2, NotAsked: []scenario.NotAsked{
		{Reason: scenario.ReasonFilter, Cases: 6}, {Reason: scenario.ReasonAnswer, Detail: "iov", Cases: 1}, {Reason: scenario.ReasonCut, Cases: 1},
	}}}
	if !reflect.DeepEqual(r.Asked, numbers) {
		t.Errorf("got %+v, want %+v", r.Asked, numbers)
	}

	r.LeftOut = 3
	for i := range maxAtFault + 1 {
		name := fmt.Sprintf("peer%d", i)
		r.Peers = append(r.Peers, Peer{Name: name})
		r.NotAsked[name] = "no verdict in 9 of its 9 cases: ::error::forged <b>"
	}
	if got := r.partLine(); !strings.HasSuffix(got, " 2 more peers: no verdict in some cases.\n") || strings.Contains(got, "::error") || strings.Contains(got, "<b>") {
		t.Errorf("got %s", got)
	}
	clear(r.NotAsked)
	if got := r.partLine(); !strings.Contains(got, "left out 3 cases") {
		t.Errorf("got %s, want what the flags left out", got)
	}
}
