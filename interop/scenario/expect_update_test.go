package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

// updated is what cases are made of here: two scenarios of two types, two peers and the
// runner.
func updated(t *testing.T) (scenarios []*Scenario, peers []*Peer, runner *Peer) {
	t.Helper()
	for _, id := range []string{"one", "two"} {
		s := mustParse(t, simple)
		s.Name = "group/" + id
		scenarios = append(scenarios, s)
	}
	return scenarios, []*Peer{{Name: "x", Hello: contract.Hello{Version: "1.2"}}, {Name: "y"}}, &Peer{Name: RunnerName, kernel: &Peer{Name: KernelName}}
}

// versions are those of the peers of updated.
var versions = map[string]string{"x": "1.2", "y": ""}

// judged are the results of a run on a kernel in which the truth fails: a file of
// expectations, held against what was expected.
func judged(t *testing.T, kernel, truth, expected string) []Result {
	t.Helper()
	scenarios, peers, runner := updated(t)
	parse := func(text string) *Expectations {
		list, err := ParseExpectations([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		x, err := Expect(list, kernel, scenarios, peers, nil, runner)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	facts, x := parse(truth), parse(expected)
	var results []Result
	for _, c := range Plan(scenarios, peers, runner) {
		r := Result{Name: c.Name(), Case: c, Verdict: Pass, CloexecChecked: map[string]bool{c.A.Name: c.Scenario.receives(RoleA), c.B.Name: c.Scenario.receives(RoleB)}}
		for _, e := range facts.For(c) {
			r.Verdict = Fail
			r.Findings = append(r.Findings, Finding{Check: e.Check, Peer: e.Peer})
		}
		x.SetVerdict(&r)
		r.Case = Case{} // as it is read from a report
		results = append(results, r)
	}
	return results
}

// anew is what a run makes of a file, which is then as expected.
func anew(t *testing.T, kernel, name, truth, expected string) Update {
	t.Helper()
	scenarios, _, _ := updated(t)
	u, err := UpdateExpectations([]byte(expected), kernel, versions, scenarios, judged(t, kernel, truth, expected))
	if err != nil {
		t.Fatal(err)
	}
	// No run begins with a reason that is still to be given, and with one all is as
	// expected.
	_, err = ParseExpectations(u.Text)
	if asked := len(u.Added) > 0; asked != (err != nil) {
		t.Errorf("%s: read again: %v", name, err)
	}
	for _, r := range judged(t, kernel, truth, strings.ReplaceAll(string(u.Text), "?", "it is so")) {
		if r.Unexpected() {
			t.Errorf("%s: then %s is %s: %s", name, r.Name, r.Verdict, r.Why)
		}
	}
	return u
}

func TestUpdateExpectations(t *testing.T) {
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
		{"another version's stays", "", "** leak@x<1.1 why", "** leak@x<1.1 why"},
		{"this version's stays", "** leak@x why", "** leak@x<1.10 why", "** leak@x<1.10 why"},
		{"gone from this version", "group/one leak@x why", "** leak@x>=1.2 why", "group/one leak@x>=1.2 why"},
		{"another version's hides nothing", "group/one leak@x why", "** leak@x<1.2 why", "** leak@x<1.2 why\ngroup/one leak@x ?"},
		{"another reason", "group/one leak@x why\ngroup/two leak@x why", "group/one leak@x why", "group/one leak@x why\ngroup/two leak@x ?"},
	} {
		u := anew(t, KernelLinux, c.name, c.truth, c.expected)
		if got := strings.Trim(string(u.Text), "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
		if changed := len(u.Dropped)+len(u.Added) > 0; changed != (c.want != c.expected) {
			t.Errorf("%s: dropped %q, added %q", c.name, u.Dropped, u.Added)
		}
	}
}

// The file may be another than that of the run: it is held against the findings.
func TestUpdateOfAnotherFile(t *testing.T) {
	scenarios, _, _ := updated(t)
	for _, c := range []struct{ name, truth, run, file, want string }{
		{"a line before it", "", "** leak@x why\n", "# A comment.\n** leak@x why\n", "# A comment.\n"},
		{"close-on-exec, a line before it", "group/one cloexec@x why\n", "** cloexec@x why\n", "# A comment.\n** cloexec@x why\n", "# A comment.\ngroup/one cloexec@x why\n"},
		{"another in its line", "group/one leak@x why\n", "group/two leak@x why\ngroup/one leak@x why\n", "group/one leak@x why\n", "group/one leak@x why\n"},
		{"of a run without", "", "", "** leak@x why\n** cloexec@y why\n** file@y why\n", "\n"},
		{"narrowed, of a run without", "group/one leak@x why\n", "", "** leak@x why\n", "group/one leak@x why\n"},
		{"lines that end with CR LF", "group/one leak@x why\n", "", "# A comment.\r\n** leak@x why\r\n", "# A comment.\r\ngroup/one leak@x why\r\n"},
		{"close-on-exec, of a run without", "*/*/*/*/x cloexec@x why\n", "", "** cloexec@x why\n", "** cloexec@x why\n"}, // nobody knows where it was looked at
	} {
		u, err := UpdateExpectations([]byte(c.file), KernelLinux, versions, scenarios, judged(t, KernelLinux, c.truth, c.run))
		if err != nil || string(u.Text) != c.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", c.name, err, u.Text, c.want)
		}
		if changed := len(u.Dropped)+len(u.Added) > 0; changed != (c.want != c.file) {
			t.Errorf("%s: dropped %q, added %q", c.name, u.Dropped, u.Added)
		}
	}
}

// A run tells of its own kernel, and changes no line about another.
func TestUpdateOnAKernel(t *testing.T) {
	for _, c := range []struct{ name, kernel, truth, expected, want string }{
		{"another's stay", KernelLinux, "", "[gvisor]\n** leak@x why\n", "[gvisor]\n** leak@x why\n"},
		{"its own is gone", KernelGVisor, "", "[gvisor]\n** leak@x why\n[linux]\n** leak@x why\n", "[gvisor]\n[linux]\n** leak@x why\n"},
		{"its own is narrowed", KernelGVisor, "group/one leak@x why", "[gvisor]\n** leak@x why\n[linux]\n** leak@x why\n",
			"[gvisor]\ngroup/one leak@x why\n[linux]\n** leak@x why\n"},
		{"new on Linux", KernelLinux, "group/one leak@x why", "\n[gvisor]\ngroup/one leak@x why\n",
			"group/one leak@x ?\n\n[gvisor]\ngroup/one leak@x why\n"},
		{"new under a heading", KernelGVisor, "group/one leak@x why", "[gvisor]\n# A comment.\n\n[linux]\ngroup/one leak@x why\n",
			"[gvisor]\n# A comment.\ngroup/one leak@x ?\n\n[linux]\ngroup/one leak@x why\n"},
		{"new with a new heading", KernelGVisor, "** leak@y why\ngroup/one leak@x why", "** leak@y why\n",
			"** leak@y why\n\n[gvisor]\ngroup/one leak@x ?\n"},
		{"nothing said of a kernel", KernelGVisor, "", "** leak@x why\n", "\n[linux]\n** leak@x why\n"},
		{"said of all, narrowed for one", KernelGVisor, "group/one leak@x why", "# A comment.\n** leak@x why\n[linux]\n** file@y why\n",
			"# A comment.\n[linux]\n** file@y why\n** leak@x why\n\n[gvisor]\ngroup/one leak@x why\n"},
	} {
		u := anew(t, c.kernel, c.name, c.truth, c.expected)
		if got := string(u.Text); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// What was not played, and what no verdict came of, changes nothing.
func TestUpdateIsAboutWhatWasPlayed(t *testing.T) {
	scenarios, _, _ := updated(t)
	const text = "group/one leak@x why\n"
	results := judged(t, KernelLinux, "", text)
	for i := range results {
		results[i].Verdict, results[i].Gone = Unsupported, nil
	}
	some := slices.DeleteFunc(judged(t, KernelLinux, "", text), func(r Result) bool { return strings.HasPrefix(r.Name, "group/one/") })
	for _, list := range [][]Result{nil, results, some} {
		u, err := UpdateExpectations([]byte(text), KernelLinux, nil, scenarios, list)
		if err != nil || string(u.Text) != text || len(u.Dropped)+len(u.Added) > 0 {
			t.Errorf("got %q, %v", u.Text, err)
		}
	}
	if _, err := UpdateExpectations([]byte("nonsense"), KernelLinux, nil, scenarios, nil); err == nil {
		t.Error("a file that cannot be read is rewritten")
	}
}

// A line that covers what was not played, or is flaky, is neither dropped nor narrowed.
func TestUpdateOfAPart(t *testing.T) {
	scenarios, _, _ := updated(t)
	with := func(v Verdict, pattern string) func(*Result) {
		return func(r *Result) {
			if p, err := ParsePattern(pattern); err != nil || p.Match(r.Name) {
				r.Verdict, r.Gone = v, nil
				if v == Unsupported || v == NotRun {
					r.Findings = nil
				}
			}
		}
	}
	const absent = Verdict("absent")
	for _, c := range []struct {
		name, kernel, truth, text string
		change                    func(*Result)
		want                      string // text, if it is ""
		kept                      int
	}{
		{"only one of its scenarios", KernelLinux, "group/two leak@x why", "** leak@x why", with(absent, "group/two"), "", 1},
		{"a part of its cases, in which it is narrower", KernelLinux, "group/one/dgram leak@x why", "** leak@x why", with(absent, "group/two"), "", 1},
		{"all but one case", KernelLinux, "", "** leak@x why", with(absent, "group/two/dgram/runner/x"), "", 1},
		{"one case was not run", KernelLinux, "", "** leak@x why", with(NotRun, "group/two/dgram/runner/x"), "", 1},
		{"one check of two", KernelLinux, "** file@x why", "** {leak,file}@x why", with(absent, "group/two"), "", 1},
		{"a line about any kernel, on another", KernelGVisor, "", "** leak@x why", with(absent, "group/two"), "", 1},
		{"the part has all of its cases", KernelLinux, "", "group/one leak@x why\n** leak@y why", with(absent, "group/two"), "** leak@y why", 1},
		{"it came true of the part", KernelLinux, "** leak@x why", "** leak@x why", with(absent, "group/two"), "", 0},
		{"nobody plays one of its scenarios here", KernelLinux, "", "** leak@x why", with(Unsupported, "group/two"), "", 1},
		{"one peer does not play it", KernelLinux, "", "** leak@x why", with(Unsupported, "group/two/*/*/y"), "#", 0},

		{"it came true once", KernelLinux, "", "group/one leak@x why", with(Flaky, "group/one"), "", 0},
		{"it came true once, in one of its cases", KernelLinux, "", "group/one leak@x why", with(Flaky, "group/one/stream/x/y"), "", 1},
		{"narrower, but for one that is flaky", KernelLinux, "group/one/dgram leak@x why", "** leak@x why", with(Flaky, "group/two/dgram/x/y"), "", 1},
		{"it failed once", KernelLinux, "group/one leak@x why", "#", with(Flaky, "group/one"), "", 0},
		{"it failed once in one case", KernelLinux, "group/one leak@x why", "#", with(Flaky, "group/one/stream"), "#\ngroup/one/dgram leak@x ?", 0},
	} {
		results := judged(t, c.kernel, c.truth, strings.TrimPrefix(c.text, "#"))
		for i := range results {
			c.change(&results[i])
		}
		results = slices.DeleteFunc(results, func(r Result) bool { return r.Verdict == absent })
		u, err := UpdateExpectations([]byte(c.text), c.kernel, versions, scenarios, results)
		want := c.want
		if want == "" {
			want = c.text
		}
		if got := strings.TrimSpace(string(u.Text)); err != nil || got != strings.TrimPrefix(want, "#") && got != want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", c.name, err, got, want)
		}
		if len(u.Kept) != c.kept {
			t.Errorf("%s: kept %q", c.name, u.Kept)
		}
	}
}

func TestReasonIsStillToBeGiven(t *testing.T) {
	_, err := ParseExpectations([]byte("** leak@x ?"))
	if want := fmt.Sprintf("line 1: a reason has to be given in the place of %q", "?"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
