package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// updated is what cases are made of here: two scenarios of two types, two peers and the
// runner.
func updated(t *testing.T) (scenarios []*Scenario, peers []*Peer, runner *Peer) {
	t.Helper()
	for _, id := range []string{"one", "two"} {
		s := mustParse(t, strings.Replace(passOne, "on stream", "on stream dgram", 1))
		s.Name = "group/" + id
		scenarios = append(scenarios, s)
	}
	return scenarios, []*Peer{{Name: "x"}, {Name: "y"}}, &Peer{Name: RunnerName, kernel: &Peer{Name: KernelName}}
}

// judged are the results of a run in which the truth fails: a file of expectations,
// held against what was expected.
func judged(t *testing.T, truth, expected string) []Result {
	t.Helper()
	scenarios, peers, runner := updated(t)
	parse := func(text string) *Expectations {
		list, err := ParseExpectations([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		x, err := Expect(list, scenarios, peers, nil, runner)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	facts, x := parse(truth), parse(expected)
	var results []Result
	for _, c := range Plan(scenarios, peers, runner) {
		r := Result{Name: c.Name(), Case: c, Verdict: Pass, judged: map[string]bool{c.A.Name: c.Scenario.receives(RoleA), c.B.Name: c.Scenario.receives(RoleB)}}
		for _, e := range facts.For(c) {
			r.Verdict = Fail
			r.Findings = append(r.Findings, Finding{Check: e.Check, Peer: e.Peer})
		}
		x.judge(&r)
		r.Case = Case{} // as it is read from a report
		results = append(results, r)
	}
	return results
}

func TestUpdateExpectations(t *testing.T) {
	scenarios, _, _ := updated(t)
	for _, c := range []struct{ name, truth, expected, want string }{
		{"as it was", "** leak@x why", "# A comment.\n\n** leak@x why", "# A comment.\n\n** leak@x why"},
		{"gone", "", "# A comment.\n** leak@x why", "# A comment."},
		{"gone in one scenario", "group/one leak@x why", "** leak@x why", "group/one leak@x why"},
		{"gone with one type", "*/*/dgram leak@x why", "** leak@x why", "group/one/dgram leak@x why\ngroup/two/dgram leak@x why"},
		{"gone in one role", "group/*/*/*/x leak@x why", "** leak@x why", "group/one/*/*/x leak@x why\ngroup/two/*/*/x leak@x why"},
		{"gone with one opposite", "group/one/*/x/y leak@x why", "** leak@x because of this\n** leak@y because of that\n",
			"group/one/*/x/y leak@x because of this"},
		{"one of two checks is gone", "** leak@x why", "** {leak,file}@x why", "** leak@x why"},
		{"one of two is narrowed", "** leak@x why\ngroup/one file@x why", "# Before.\n** {leak,file}@x why\n# Behind.",
			"# Before.\n** leak@x why\ngroup/one file@x why\n# Behind."},
		{"new", "** leak@x why", "# A comment.", "# A comment.\ngroup/one leak@x ?\ngroup/two leak@x ?"},
		{"new beside another", "** leak@x why\n*/*/*/*/y cloexec@y why", "** leak@x why",
			"** leak@x why\ngroup/one cloexec@y ?\ngroup/two cloexec@y ?"},
		{"new in one case", "group/one/stream/y/x crash@x why\n** file@y why", "** file@y why", "** file@y why\ngroup/one/stream/y/x crash@x ?"},
		{"new in two cases", "group/one/stream/{x,y}/x crash@x why", "", "group/one/stream/x/x crash@x ?\ngroup/one/stream/y/x crash@x ?"},
		{"another reason", "group/one leak@x why\ngroup/two leak@x why", "group/one leak@x why", "group/one leak@x why\ngroup/two leak@x ?"},
	} {
		results := judged(t, c.truth, c.expected)
		u, err := UpdateExpectations([]byte(c.expected), scenarios, results)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Trim(string(u.Text), "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
		if changed := len(u.Dropped)+len(u.Added) > 0; changed != (c.want != c.expected) {
			t.Errorf("%s: dropped %q, added %q", c.name, u.Dropped, u.Added)
		}
		// No run begins with a reason that is still to be given, and with one all is as
		// expected.
		_, err = ParseExpectations(u.Text)
		if asked := strings.Contains(c.want, "?"); asked != (err != nil) {
			t.Errorf("%s: read again: %v", c.name, err)
		}
		for _, r := range judged(t, c.truth, strings.ReplaceAll(string(u.Text), "?", "it is so")) {
			if !r.AsExpected() {
				t.Errorf("%s: then %s is %s: %s", c.name, r.Name, r.Verdict, r.Why)
			}
		}
	}
}

// What was not played, and what no verdict came of, changes nothing.
func TestUpdateIsAboutWhatWasPlayed(t *testing.T) {
	scenarios, _, _ := updated(t)
	const text = "group/one leak@x why\n"
	results := judged(t, "", text)
	for i := range results {
		results[i].Verdict, results[i].Gone = Unsupported, nil
	}
	some := slices.DeleteFunc(judged(t, "", text), func(r Result) bool { return strings.HasPrefix(r.Name, "group/one/") })
	for _, list := range [][]Result{nil, results, some} {
		u, err := UpdateExpectations([]byte(text), scenarios, list)
		if err != nil || string(u.Text) != text || len(u.Dropped)+len(u.Added) > 0 {
			t.Errorf("got %q, %v", u.Text, err)
		}
	}
	if _, err := UpdateExpectations([]byte("nonsense"), scenarios, nil); err == nil {
		t.Error("a file that cannot be read is rewritten")
	}
}

func TestReasonIsStillToBeGiven(t *testing.T) {
	_, err := ParseExpectations([]byte("** leak@x ?"))
	if want := fmt.Sprintf("line 1: a reason has to be given in the place of %q", "?"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
