package interop

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

func TestGroupByPeers(t *testing.T) {
	s := mustParse(t, strings.Replace(passOne, "on stream", "on stream dgram", 1))
	x, y := &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}
	groups := groupByPeers(scenario.Plan([]*scenario.Scenario{s}, []*scenario.Peer{x, y}, &scenario.Peer{Name: scenario.RunnerName}))
	var got []string
	for _, g := range groups {
		got = append(got, strings.Join(caseNames(g), " "))
	}
	n := func(pairs string) string {
		var list []string
		for _, p := range strings.Fields(pairs) {
			list = append(list, "group/id/"+p)
		}
		return strings.Join(list, " ")
	}
	want := []string{
		n("stream/x/x dgram/x/x"),
		n("stream/x/y stream/y/x dgram/x/y dgram/y/x"),
		n("stream/x/runner stream/runner/x dgram/x/runner dgram/runner/x"),
		n("stream/y/y dgram/y/y"),
		n("stream/y/runner stream/runner/y dgram/y/runner dgram/runner/y"),
		n("stream/runner/runner dgram/runner/runner"),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// If the runner is expected to fail a scenario with itself, the runner runs it, so that an
// unexpected pass is noticed. Peers do not.
func TestPeersOnAnotherKernel(t *testing.T) {
	self := runner(t)
	x := scenario.Program("x", self.Command...)
	fdtest.Must(t, process.Probe(x, process.DefaultTimeout))
	checkNothingLeft(t)
	s := mustParse(t, strings.Replace(passOne, "on stream", "on stream dgram", 1))
	var cases []scenario.Case
	for _, socketType := range s.Types {
		for _, pair := range [][2]*scenario.Peer{{self, self}, {x, self}, {self, x}} {
			cases = append(cases, scenario.Case{Scenario: s, Type: socketType, A: pair[0], B: pair[1]})
		}
	}
	expect := expecting(t, "*/*/stream hang@runner it is another one")
	expect.System = expected.System{Kind: expected.GVisor}
	const why = "the runner fails it with itself: it is another one"
	got := map[string]string{}
	for _, r := range Run(context.Background(), cases, expect, Options{}).Results {
		got[strings.TrimPrefix(r.Name, s.Name+"/")] = string(r.Verdict)
		if r.Verdict == scenario.Unsupported && (r.Why != why || r.Obstacle.Reason != scenario.ReasonRunner) {
			t.Errorf("%s: unsupported because %q, %q, want %q", r.Name, r.Why, r.Obstacle.Reason, why)
		}
	}
	want := map[string]string{
		"stream/runner/runner": "fixed", "stream/x/runner": "unsupported", "stream/runner/x": "unsupported",
		"dgram/runner/runner": "pass", "dgram/x/runner": "pass", "dgram/runner/x": "pass",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
