package interop

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

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

func TestBlame(t *testing.T) {
	s := mustParse(t, strings.Replace(passOne, "on stream", "on stream dgram", 1))
	x, y, z, runner := &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}, &scenario.Peer{Name: "z"}, &scenario.Peer{Name: scenario.RunnerName}
	play := func(a, b *scenario.Peer, check scenario.Check, peer string) scenario.Result {
		return scenario.Result{Case: scenario.Case{Scenario: s, Type: "stream", A: a, B: b}, Verdict: scenario.Fail, Findings: []scenario.Finding{{Check: check, Peer: peer, Text: "why"}}}
	}
	// Each case is seen after the ones before it.
	r := &run{alone: map[string]faultsAlone{}}
	for _, c := range []struct {
		result scenario.Result
		want   string
	}{
		// Nobody is known to be wrong yet.
		{play(x, y, scenario.CheckFile, "y"), "file@y: why"},
		{play(x, y, scenario.CheckHang, "y"), "hang@y: why"},
		// The runner is right, so that it is the one opposite.
		{play(runner, y, scenario.CheckAnswer, scenario.RunnerName), "answer@y: why"},
		{play(x, runner, scenario.CheckLeak, scenario.RunnerName), "leak@x: why"},
		{play(x, runner, scenario.CheckHang, "x"), "hang@x: why"},
		{play(runner, runner, scenario.CheckAnswer, scenario.RunnerName), "answer@runner: why"},
		{play(x, y, scenario.CheckAnswer, "y"), "answer@y: why"},
		// What it gets wrong with itself is the kernel's, and says nothing of the others.
		{play(runner, runner, scenario.CheckHang, scenario.RunnerName), "hang@runner: why"},
		{play(runner, z, scenario.CheckHang, "z"), "hang@z: why"},
		{play(x, runner, scenario.CheckHang, scenario.RunnerName), "answer@x: what it said that it sent did not come"},
		// x is wrong with the runner from here on, and y is not.
		{play(x, y, scenario.CheckFile, "y"), "file@x: why"},
		{play(x, y, scenario.CheckAnswer, "y"), "answer@x: why"},
		{play(x, y, scenario.CheckHang, "y"), "answer@x: what it said that it sent did not come"},
		{play(y, x, scenario.CheckFile, "x"), "file@x: why"},
		{play(y, y, scenario.CheckFile, "y"), "file@y: why"},
		// What a peer does with its own table is its own fault.
		{play(x, y, scenario.CheckLeak, "y"), "leak@y: why"},
		{play(x, y, scenario.CheckCloexec, "y"), "cloexec@y: why"},
		{play(x, y, scenario.CheckCrash, "y"), "crash@y: why"},
		{play(x, y, scenario.CheckContract, "y"), "contract@y: why"},
		// The sender is the one who suffers, and right with the runner: y is not, as the receiver.
		{play(z, y, scenario.CheckAnswer, "z"), "answer@z: why"},
		{play(z, runner, scenario.CheckLeak, "y"), "leak@y: why"}, // nothing of z's
		{play(z, y, scenario.CheckAnswer, "z"), "answer@y: why"},
		{play(z, runner, scenario.CheckCloexec, "z"), "cloexec@z: why"},
		{play(z, y, scenario.CheckHang, "z"), "answer@y: what it said that it sent did not come"}, // close-on-exec has nothing to do with that
		{play(z, runner, scenario.CheckLeak, "y"), "leak@y: why"},
		{play(z, y, scenario.CheckLeak, "z"), "leak@z: why"},
		{play(x, y, scenario.CheckAnswer, "x"), "answer@x: why"}, // who is wrong itself
		// A peer that ends who is opposite does so to the runner too.
		{play(z, y, scenario.CheckCrash, "z"), "crash@z: why"},
		{play(runner, y, scenario.CheckCrash, scenario.RunnerName), "crash@y: the one opposite did not survive: why"},
		{play(z, y, scenario.CheckCrash, "z"), "crash@y: the one opposite did not survive: why"},
	} {
		before := fmt.Sprintf("%s: %s", c.result.Case.Name(), c.result.Findings[0])
		r.assignBlame(&c.result)
		r.learn(&c.result)
		if got := c.result.Findings[0].String(); got != c.want {
			t.Errorf("%s: got %s, want %s", before, got, c.want)
		}
	}
}

// Where it is expected that the runner fails with itself, it is played, so that it is
// found when it does not any more, and nobody else is.
func TestPeersOnAnotherKernel(t *testing.T) {
	self := runner(t)
	x := scenario.Program("x", self.Command...)
	if err := process.Probe(x, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	settled(t)
	s := mustParse(t, strings.Replace(passOne, "on stream", "on stream dgram", 1))
	list, err := scenario.ParseExpectations([]byte("[gvisor]\n*/*/stream hang@runner it is another one"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []scenario.Case
	for _, socketType := range s.Types {
		cases = append(cases, scenario.Case{Scenario: s, Type: socketType, A: self, B: self}, scenario.Case{Scenario: s, Type: socketType, A: x, B: self}, scenario.Case{Scenario: s, Type: socketType, A: self, B: x})
	}
	expect, err := scenario.Expect(list, scenario.KernelGVisor, []*scenario.Scenario{s}, []*scenario.Peer{x}, nil, self)
	if err != nil {
		t.Fatal(err)
	}
	const why = "the runner fails it with itself: it is another one"
	got := map[string]string{}
	for _, r := range Run(context.Background(), cases, expect, Options{}).Results {
		got[strings.TrimPrefix(r.Name, s.Name+"/")] = string(r.Verdict)
		if r.Verdict == scenario.Unsupported && r.Why != why {
			t.Errorf("%s: %s", r.Name, r.Why)
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

func TestLimitFor(t *testing.T) {
	for _, c := range []struct {
		open string
		free int
		want uint64
	}{
		{"", 0, 0},
		{"", 3, 3},
		{"0 1 2", 0, 3},
		{"0 1 2", 2, 5},
		{"2 0 1", 1, 4},
		{"0 1 2 5", 0, 3},   // 3 and 4 would be free
		{"0 1 2 5", 1, 4},   // 3
		{"0 1 2 5", 2, 5},   // 3 and 4
		{"0 1 2 5", 3, 7},   // 3, 4 and 6
		{"0 1 2 5 6", 3, 8}, // 3, 4 and 7
		{"0 1 2 5 7", 3, 7}, // 3, 4 and 6
		{"1000", 1, 1},
	} {
		var open []int
		for _, w := range strings.Fields(c.open) {
			n := 0
			fmt.Sscan(w, &n)
			open = append(open, n)
		}
		limit := limitFor(slices.Clone(open), c.free)
		free := int(limit)
		for _, n := range open {
			if n < int(limit) {
				free--
			}
		}
		if limit != c.want || free != c.free {
			t.Errorf("open are %v: below %d are %d free; want %d, and %d", open, limit, free, c.want, c.free)
		}
	}
}
