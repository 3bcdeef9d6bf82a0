package scenario

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

// versions are the versions of the peers in wholeRun.
var versions = map[string]string{"x": "1.2", "y": ""}

// wholeRun returns the scenarios and results of a run of all cases on a kernel. Both texts are files of expected
// failures: the cases that truth selects fail, and the verdicts are set from expected.
func wholeRun(t *testing.T, kernel, truth, expected string) (scenarios []*Scenario, results []Result) {
	t.Helper()
	for _, id := range []string{"one", "two"} {
		s := mustParse(t, strings.Replace(simple, " dgram", "", 1))
		s.Name = "group/" + id
		scenarios = append(scenarios, s)
	}
	peers := []*Peer{{Name: "x", Hello: contract.Hello{Version: "1.2"}}, {Name: "y"}}
	apply := func(text string) *Expectations {
		x, err := Expect(mustExpect(t, strings.ReplaceAll(text, " ?", " why")), kernel, scenarios, peers, nil, RunnerPeer())
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	facts, x := apply(truth), apply(expected)
	for _, c := range Plan(scenarios, peers, RunnerPeer()) {
		r := Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: Pass, CloexecChecked: []string{c.B.Name}}
		for _, e := range facts.For(c) {
			r.Verdict = Fail
			r.Findings = append(r.Findings, Finding{Check: e.Check, Peer: e.Peer})
		}
		x.SetVerdict(&r)
		r.Case = Case{} // a report does not contain it
		results = append(results, r)
	}
	return scenarios, results
}

func TestUpdateExpectations(t *testing.T) {
	const xy, yx = "group/one/stream/x/y", "group/one/stream/y/x"
	for _, c := range []struct{ name, kernel, truth, expected, want string }{
		{"every expected failure failed", KernelLinux, "** leak@x why", "# A comment.\n\n** leak@x why", "# A comment.\n\n** leak@x why"},
		{"expected failures that passed are removed", KernelLinux, "", "# A comment.\n** leak@x why\n** cloexec@y why\n# Another.", "# A comment.\n# Another."},
		{"a line is replaced by the one case that failed", KernelLinux, xy + " leak@x why", "** leak@x a reason", xy + " leak@x a reason"},
		{"a cloexec line is replaced by the one case that failed", KernelLinux, yx + " cloexec@x why", "** cloexec@x a reason", yx + " cloexec@x a reason"},
		{"one of two checks passed", KernelLinux, "** leak@x why", "** {leak,file}@x why", "** leak@x why"},
		{"a line for some versions is replaced by the one case that failed", KernelLinux, yx + " leak@x why", "** leak@x>=1.2 why", yx + " leak@x>=1.2 why"},
		{"a line for other versions stays", KernelLinux, xy + " leak@x why", "** leak@x<1.1 why", "** leak@x<1.1 why\n" + xy + " leak@x ?"},
		{"a new failure is added", KernelLinux, "group/one/*/{x,y}/x crash@x why", "#", "#\ngroup/one/stream/x/x crash@x ?\n" + yx + " crash@x ?"},
		{"a line stays if the sender is at fault", KernelLinux, "** answer@y why\n" + xy + " leak@y why", "** answer@y why\n**/y/x leak@x why", "** answer@y why\n**/y/x leak@x why\n" + xy + " leak@y ?"},

		{"only the line for this kernel is removed", KernelGVisor, "", "[gvisor]\n** leak@x why\n[linux]\n** leak@x why", "[gvisor]\n[linux]\n** leak@x why"},
		{"a new failure on Linux gets a heading", KernelLinux, xy + " leak@x why", "[gvisor]\n** file@x why", "[gvisor]\n** file@x why\n\n[linux]\n" + xy + " leak@x ?"},
		{"a new failure on another kernel", KernelGVisor, xy + " leak@x why", "[gvisor]", "[gvisor]\n" + xy + " leak@x ?"},
		{"a line for every kernel stays", KernelGVisor, "", "** leak@x why", "** leak@x why"},
	} {
		scenarios, results := wholeRun(t, c.kernel, c.truth, c.expected)
		u, err := UpdateExpectations(nil, "file", []byte(c.expected), c.kernel, versions, scenarios, results)
		if got := strings.Trim(string(u.Text), "\n"); err != nil || got != c.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", c.name, err, got, c.want)
			continue
		}
		if changed := len(u.Dropped)+len(u.Added) > 0; changed != (c.want != c.expected) {
			t.Errorf("%s: dropped %q, added %q", c.name, u.Dropped, u.Added)
		}
		// With the new file everything is as expected, except for lines about every kernel.
		_, results = wholeRun(t, c.kernel, c.truth, string(u.Text))
		for _, r := range results {
			if r.Unexpected() && len(u.Kept) == 0 {
				t.Errorf("%s: then %s is %s: %s", c.name, r.Name, r.Verdict, r.Why)
			}
		}
	}
}

// UpdateExpectations compares the file with the findings, so it need not be the file that the run used.
func TestUpdateOfAnotherFile(t *testing.T) {
	scenarios, results := wholeRun(t, KernelLinux, "group/one leak@x why", "")
	u, err := UpdateExpectations(nil, "file", []byte("group leak@y why\ngroup/one leak@x why\n** cloexec@y why\n"), KernelLinux, versions, scenarios, results)
	if err != nil || string(u.Text) != "group/one leak@x why\n** cloexec@y why\n" {
		t.Errorf("got %s, %v", u.Text, err)
	}
}

// A flaky case drops nothing and adds nothing.
func TestUpdateAfterFlakyCases(t *testing.T) {
	const text = "group/one leak@x why\n"
	scenarios, results := wholeRun(t, KernelLinux, "group/two leak@x why", text)
	for i := range results {
		results[i].Verdict = Flaky
	}
	u, err := UpdateExpectations(nil, "file", []byte(text), KernelLinux, versions, scenarios, results)
	if err != nil || string(u.Text) != text || len(u.Dropped)+len(u.Added) > 0 {
		t.Errorf("got %q, %v", u.Text, err)
	}
}

func TestUpdateRefuses(t *testing.T) {
	for _, c := range []struct {
		text   string
		change func([]Result) []Result
		want   string
	}{
		{"", func(r []Result) []Result { return r[1:] }, "the report is not of a whole run: group/one/stream/x/x was not run"},
		{"", func(r []Result) []Result { r[0].Verdict = NotRun; return r }, "the report is not of a whole run: group/one/stream/x/x was not run"},
		{"", func(r []Result) []Result { r[0].Hash = "00"; return r }, "the report is of a different version of group/one"},
		{"", func(r []Result) []Result { return append(r, Result{Name: "group/three/stream/x/x"}) }, "the report has 19 cases, but the scenarios with its peers have 18"},
		{"nonsense", func(r []Result) []Result { return r }, "file:1: a line is PATTERN CHECK@PEER REASON, and the reason is required"},
		{"group/no leak@x why", func(r []Result) []Result { return r }, "file:1: group/no leak@x applies to no case"},
	} {
		scenarios, results := wholeRun(t, KernelLinux, "", "")
		if _, err := UpdateExpectations(nil, "file", []byte(c.text), KernelLinux, versions, scenarios, c.change(results)); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
