package report

import (
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// A sentence says what the peer does, how often, and where. It names a role, a type of socket or partners only if the
// peer also has cases of these scenarios with another.
func TestSentences(t *testing.T) {
	failed := func(check scenario.Check, peer, name string) scenario.Result {
		return scenario.Result{Name: name, Verdict: scenario.Fail, CloexecChecked: []string{"mine"}, Findings: []scenario.Finding{{Check: check, Peer: peer}}}
	}
	pass := func(name string, checked ...string) scenario.Result {
		return scenario.Result{Name: name, Verdict: scenario.Pass, CloexecChecked: checked}
	}
	const leak, cloexec, hang = scenario.CheckLeak, scenario.CheckCloexec, scenario.CheckHang
	for want, cases := range map[string][]scenario.Result{
		"mine receives descriptors without close-on-exec, so child processes inherit them: 2 cases, in each of the 2 scenarios in which it was checked": {
			failed(cloexec, "mine", "a/b/stream/runner/mine"), failed(cloexec, "mine", "a/c/stream/runner/mine"), pass("a/d/stream/runner/mine")},
		"mine receives descriptors without close-on-exec, so child processes inherit them: 1 case, in a/b": {
			failed(cloexec, "mine", "a/b/stream/runner/mine"), pass("a/c/stream/runner/mine", "mine")},
		"mine keeps descriptors open that it did not report, or should have closed: 2 cases, in 2 of 3 scenarios, only as the receiver, with 2 of 2 partners": {
			failed(leak, "mine", "a/b/stream/runner/mine"), failed(leak, "mine", "a/c/dgram/mine/mine"), pass("a/b/stream/mine/runner"), pass("a/d/stream/mine/runner")},
		"mine does not answer in time: 2 cases, in each of the 2 scenarios in which it was checked, only on dgram sockets, only with x": {
			failed(hang, "mine", "a/b/dgram/x/mine"), failed(hang, "mine", "a/c/dgram/mine/x"), pass("a/b/stream/x/mine"), pass("a/c/dgram/mine/runner")},
		"mine gives an answer that is malformed, or \"unsupported\" to a call that every peer must support: 1 case, in a/b": {
			failed(scenario.CheckContract, "mine", "a/b/stream/runner/mine")},
		"the kernel reports a wrong result, or makes its partner report one: 1 case, in a/b": {
			failed(scenario.CheckAnswer, "kernel", "a/b/stream/kernel/kernel")},
		"an expected failure does not occur, so remove or narrow its line: 1 case": {{Name: "a/b/stream/x/y", Verdict: scenario.UnexpectedPass, Gone: []string{"a line"}}},
		"mine was not run after hangs: 1 case":                                     {{Name: "a/b/stream/x/mine", Verdict: scenario.NotRun, Why: "why", AskedNoMore: "mine"}},
		"the runner could not run the case: 1 case":                                {{Name: "a/b/stream/x/y", Verdict: scenario.NotRun, Why: "why"}},
	} {
		list := (&Report{Cases: cases}).Causes()
		if len(list) != 1 || list[0].Sentence() != want {
			t.Errorf("got %d causes, the first: %s\nwant %s", len(list), list[0].Sentence(), want)
		}
	}
	mute := func(name string) scenario.Result {
		return scenario.Result{Name: name, Verdict: scenario.NotRun, Why: "why", AskedNoMore: "mine"}
	}
	list := (&Report{Cases: []scenario.Result{mute("a/b/stream/x/mine"), mute("a/c/stream/x/mine"), failed(hang, "mine", "a/d/stream/x/mine")}}).Causes()
	if len(list) != 2 || list[0].Name() != "hang@mine" {
		t.Errorf("got %+v, want the hang before the cases that were not run after it", list)
	}
	for _, check := range scenario.Checks {
		if scenario.Faults[check] == "" {
			t.Errorf("no sentence for %s", check)
		}
	}
}

// The example of a cause is the first of the shortest cases. One whose descriptors have fewer digits is not shorter, so
// the example is one with the runner, whose cases are first.
func TestExampleOfACause(t *testing.T) {
	failed := func(name string, transcript ...string) scenario.Result {
		return scenario.Result{Name: name, Verdict: scenario.Fail, Transcript: transcript,
			Findings: []scenario.Finding{{Check: scenario.CheckLeak, Peer: "mine"}}}
	}
	r := &Report{Cases: []scenario.Result{
		failed("a/b/stream/runner/mine", "A> use sock=80 fds=181", "A< ok", "A> end"),
		failed("a/c/stream/runner/mine", "A> use sock=80 fds=181", "A< ok"),
		failed("a/c/stream/other/mine", "A> use sock=3 fds=4", "A< ok")}}
	if list := r.Causes(); len(list) != 1 || list[0].Example.Name != "a/c/stream/runner/mine" {
		t.Errorf("got %+v, want one cause, with a/c/stream/runner/mine as the example", list)
	}
}

// Each reason of an expected failure is listed once, with the shortest of its cases.
func TestExpectedFailures(t *testing.T) {
	expected := func(name string, transcript ...string) scenario.Result {
		return scenario.Result{Name: name, Verdict: scenario.Expected, Reasons: []string{"why", "why"}, Transcript: transcript}
	}
	r := &Report{Cases: []scenario.Result{expected("a/b/stream/x/y", "A> end", "A< ok"), expected("a/c/stream/x/y", "A> end"),
		{Name: "a/d/stream/x/y", Verdict: scenario.Pass, Reasons: []string{"never"}}}}
	got := r.ExpectedFailures()
	if len(got) != 1 || got[0].What != "why" || got[0].Cases != 2 || got[0].Example.Name != "a/c/stream/x/y" {
		t.Errorf("got %+v, want why, of two cases, with a/c as the example", got)
	}
}
