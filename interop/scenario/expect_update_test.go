package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

// versions are the versions of the peers in wholeRun.
var versions = map[string]string{"x": "1.2", "y": ""}

// kernelOf returns the kernel of a test: KIND or "KIND RELEASE".
func kernelOf(text string) Kernel {
	kind, release, _ := strings.Cut(text, " ")
	return Kernel{kind, release}
}

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
		x, err := Expect(mustExpect(t, strings.ReplaceAll(text, " ? ", " ")), kernelOf(kernel), scenarios, peers, nil, RunnerPeer())
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
			r.Findings = append(r.Findings, Finding{Check: e.Check, Peer: e.Peer, Text: e.Reason})
		}
		x.SetVerdict(&r)
		r.Case = Case{} // a report does not contain it
		results = append(results, r)
	}
	return scenarios, results
}

func TestUpdateExpectations(t *testing.T) {
	for _, c := range []struct{ name, kernel, truth, expected, want string }{
		{"every expected failure failed", KernelLinux, "** leak@x why", "# A comment.\n\n** leak@x why", "# A comment.\n\n** leak@x why"},
		{"expected failures that passed are removed", KernelLinux, "", "# A comment.\n** leak@x why\n** cloexec@y why\n# Another.", "# A comment.\n# Another."},
		{"a line is narrowed to the one case that failed", KernelLinux, "group/one leak@x:sends/y why", "** leak@x a reason", "group/one leak@x:sends/y a reason"},
		{"a line is narrowed to the role that failed", KernelLinux, "** leak@x:receives why", "** leak@x a reason", "** leak@x:receives a reason"},
		{"a cloexec line is narrowed to the one case that failed", KernelLinux, "group/one cloexec@x:receives/y why", "** cloexec@x a reason", "group/one cloexec@x:receives/y a reason"},
		{"one of two checks passed", KernelLinux, "** leak@x why", "** {leak,file}@x why", "** leak@x why"},
		{"a line about two checks is narrowed", KernelLinux, "group/one {leak,file}@x why", "** {leak,file}@x a reason", "group/one {leak,file}@x a reason"},
		{"one of two peers passed", KernelLinux, "** leak@x:receives why", "** leak@{x,y}:receives why", "** leak@x:receives why"},
		{"a line about one role is removed", KernelLinux, "** leak@x:sends/y why", "** leak@x:sends/y why\n** leak@x:receives why", "** leak@x:sends/y why"},
		{"a line about one role is narrowed to the partner", KernelLinux, "group/one leak@x:receives/y why", "** leak@x:receives a reason", "group/one leak@x:receives/y a reason"},
		{"a line for some versions is narrowed", KernelLinux, "group/one leak@x:receives/y why", "** leak@x>=1.2 why", "group/one leak@x>=1.2:receives/y why"},
		{"a line for other versions stays", KernelLinux, "group/one leak@x:sends/y why", "** leak@x<1.1 why", "** leak@x<1.1 why\ngroup/one leak@x:sends/y ? keeps a descriptor open that it did not report"},
		{"a narrowed line selects no case of another line", KernelLinux, "group/one leak@x:receives why", "** leak@x:receives/x one\n** leak@x:receives/y two\n** leak@x:receives/runner three",
			"group/one leak@x:receives/x one\ngroup/one leak@x:receives/y two\ngroup/one leak@x:receives/runner three"},
		{"a new failure is added", KernelLinux, "group/one crash@x:receives/{x,y} it ended", "#", "#\ngroup/one crash@x:receives/{x,y} ? it ended"},
		{"a new failure of each receive", KernelLinux, "** cloexec@x:receives why", "", "** cloexec@x ? " + cloexecCause},
		{"a new failure in one role", KernelLinux, "** hang@x:sends why", "", "** hang@x:sends ? no answer to hello"},
		{"a new failure in two scenarios with one partner", KernelLinux, "** crash@x:receives/y it ended", "", "crash@x:receives/y ? it ended\n  group/one\n  group/two"},
		{"two findings of a check", KernelLinux, "** file@x:receives/y it failed\n** file@x:receives/y it failed again", "", "file@x:receives/y ? for example: it failed\n  group/one\n  group/two"},
		{"two checks failed in the same cases", KernelLinux, "group/one {crash,file}@x:receives it failed", "", "group/one {crash,file}@x:receives ? it failed"},
		{"two checks failed for different reasons", KernelLinux, "** file@x:receives/y not a\ngroup/one answer@x:receives/y not b", "",
			"group/one {file,answer}@x:receives/y ? not a; not b\ngroup/two file@x:receives/y ? not a"},
		{"a line stays if the sender is at fault", KernelLinux, "** answer@y why\ngroup/one leak@y:receives/x why", "** answer@y why\n** leak@x:receives/y why", "** answer@y why\n** leak@x:receives/y why\ngroup/one leak@y:receives/x ? leaves a received descriptor open"},
		{"an unfinished line stays", KernelLinux, "** leak@x why", "** leak@x ? why", "** leak@x ? why"},
		{"a line about a flaky failure stays", KernelLinux, "", "** leak@x flaky: why", "** leak@x flaky: why"},
		{"a line about a flaky failure expects it", KernelLinux, "group/one leak@x:sends/y why", "** leak@x flaky: why", "** leak@x flaky: why"},

		{"only the line for this kernel is removed", KernelGVisor, "", "[gvisor]\n** leak@x why\n[linux]\n** leak@x why", "[gvisor]\n[linux]\n** leak@x why"},
		{"a new failure on Linux gets a heading", KernelLinux, "** crash@x:receives it ended", "[gvisor]\n** file@x why", "[gvisor]\n** file@x why\n\n[linux]\n** crash@x:receives ? it ended"},
		{"a new failure on another kernel", KernelGVisor, "** crash@x:receives it ended", "[gvisor]", "[gvisor]\n** crash@x:receives ? it ended"},
		{"a line for every kernel stays", KernelGVisor, "", "** leak@x why", "** leak@x why"},

		{"a block stays", KernelLinux, "group leak@x why", "leak@x why\n  group/one\n\n  # A comment.\n  group/two", "leak@x why\n  group/one\n\n  # A comment.\n  group/two"},
		{"a scenario of a block is removed", KernelLinux, "group/two leak@x why", "leak@x why\n  group/one\n  group/two\n\n# Another.", "leak@x why\n  group/two\n\n# Another."},
		{"all scenarios of a block are removed", KernelLinux, "** file@y why", "# One.\nleak@x why\n  group/one\n  group/two\n# Two.\n** file@y why", "# One.\n# Two.\n** file@y why"},
		{"a scenario of a block is narrowed", KernelLinux, "group/one leak@x:sends why\ngroup/two leak@x why", "leak@x why\n  group/one\n  group/two\n# Another.",
			"leak@x why\n  group/two\ngroup/one leak@x:sends why\n# Another."},
		{"all scenarios of a block are narrowed", KernelLinux, "group leak@x:sends why", "leak@x why\n  group/one\n  group/two", "leak@x:sends why\n  group/one\n  group/two"},
		{"one of two checks of a block passed", KernelLinux, "group/one leak@x why\ngroup/two {leak,file}@x why", "{leak,file}@x why\n  group/one\n  group/two",
			"{leak,file}@x why\n  group/two\ngroup/one leak@x why"},
	} {
		scenarios, results := wholeRun(t, c.kernel, c.truth, c.expected)
		u, err := UpdateExpectations(nil, "file", []byte(c.expected), scenarios, Run{kernelOf(c.kernel), false, versions, results})
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

// A line below a release heading is removed only after a strict run on one of these kernels. New lines are below
// [linux] or [gvisor].
func TestUpdateBelowReleases(t *testing.T) {
	const old, new = "linux 5.10.0-32-cloud-amd64", "linux 6.18.44-fc-v669"
	const crash, newLine = "** crash@x:receives it ended", "** crash@x:receives ? it ended"
	for _, c := range []struct {
		name, kernel    string
		strict          bool
		truth, expected string
		want            string
		passes, kept    string // lines
		heading         string
	}{
		{"it fails", old, true, "** leak@x why", "[linux<5.15]\n** leak@x why", "[linux<5.15]\n** leak@x why", "", "", "[linux]"},
		{"it passes", old, false, "", "[linux<5.15]\n** leak@x why", "[linux<5.15]\n** leak@x why", "** leak@x why", "", "[linux]"},
		{"it passes in a strict run", old, true, "", "[linux<5.15]\n** leak@x why\n** file@x why", "[linux<5.15]", "", "", "[linux]"},
		{"it passes on another release", new, true, "", "[linux<5.15]\n** leak@x why", "[linux<5.15]\n** leak@x why", "", "", "[linux]"},
		{"it passes on another kernel", "gvisor 4.4.0", true, "", "[linux<5.15]\n** leak@x why", "[linux<5.15]\n** leak@x why", "", "", "[gvisor]"},
		{"some cases pass", old, false, "** leak@x:receives why", "[linux<5.15]\n** leak@x why", "[linux<5.15]\n** leak@x why", "** leak@x why", "", "[linux]"},
		{"some cases pass in a strict run", old, true, "** leak@x:receives why", "[linux<5.15]\n** leak@x why", "[linux<5.15]\n** leak@x:receives why", "", "", "[linux]"},
		{"a line without a heading passes", old, false, "", "** leak@x why\n[linux<5.15]", "[linux<5.15]", "", "", "[linux]"},
		{"a new failure", old, false, crash, "[linux<5.15]\n** leak@{x,y} why", "[linux<5.15]\n** leak@{x,y} why\n\n[linux]\n" + newLine, "** leak@x why\n** leak@y why", "", "[linux]"},
		{"a new failure, and the last heading has no releases", old, false, crash, "[linux<5.15]\n[linux]", "[linux<5.15]\n[linux]\n" + newLine, "", "", "[linux]"},
		{"a new failure, and no heading", old, false, crash, "#", "#\n" + newLine, "", "", ""},
		{"a new failure that another release is expected to have", new, false, crash, "[linux<5.15]\n" + crash, "[linux<5.15]\n" + crash + "\n\n[linux]\n" + newLine, "", "", "[linux]"},
		{"a failure that this release is expected to have", old, false, crash, "[linux<5.15]\n" + crash, "[linux<5.15]\n" + crash, "", "", "[linux]"},
		{"a new failure on gVisor", "gvisor 4.4.0", false, crash, "[gvisor]\n[linux<5.15]\n" + crash, "[gvisor]\n[linux<5.15]\n" + crash + "\n\n[gvisor]\n" + newLine, "", "", "[gvisor]"},
	} {
		scenarios, results := wholeRun(t, c.kernel, c.truth, c.expected)
		u, err := UpdateExpectations(nil, "file", []byte(c.expected), scenarios, Run{kernelOf(c.kernel), c.strict, versions, results})
		if got := strings.Trim(string(u.Text), "\n"); err != nil || got != c.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", c.name, err, got, c.want)
		}
		if passes, kept := strings.Join(u.KernelPasses, "\n"), strings.Join(u.Kept, "\n"); passes != c.passes || kept != c.kept || u.Heading.String() != c.heading {
			t.Errorf("%s: passes %q, kept %q, heading %s", c.name, passes, kept, u.Heading)
		}
	}
}

// UpdateExpectations compares the file with the findings, so it need not be the file that the run used.
func TestUpdateOfAnotherFile(t *testing.T) {
	scenarios, results := wholeRun(t, KernelLinux, "group/one leak@x why", "")
	u, err := UpdateExpectations(nil, "file", []byte("group leak@y why\ngroup/one leak@x why\n** cloexec@y why\n"), scenarios, Run{kernelOf(KernelLinux), false, versions, results})
	if err != nil || string(u.Text) != "group/one leak@x why\n" {
		t.Errorf("got %s, %v", u.Text, err)
	}
}

// The new text has the line breaks and the byte order mark of the old one.
func TestUpdateKeepsLineBreaks(t *testing.T) {
	scenarios, results := wholeRun(t, KernelLinux, "** crash@x:receives it ended", "")
	const old = "# One.\n** leak@y why\n\n# Two.\n"
	const want = "# One.\n\n# Two.\n** crash@x:receives ? it ended\n"
	crlf := func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
	for old, want := range map[string]string{
		old:                             want,
		crlf(old):                       crlf(want),
		byteOrderMark + old:             byteOrderMark + want,
		byteOrderMark + crlf(old):       byteOrderMark + crlf(want),
		strings.TrimSpace(crlf(old)):    crlf(want),
		byteOrderMark + "** leak@y why": byteOrderMark + "** crash@x:receives ? it ended\n",
	} {
		u, err := UpdateExpectations(nil, "file", []byte(old), scenarios, Run{kernelOf(KernelLinux), false, versions, results})
		if err != nil || string(u.Text) != want {
			t.Errorf("%q: got %q, %v, want %q", old, u.Text, err, want)
		}
	}
}

// A flaky case drops nothing and adds nothing.
func TestUpdateAfterFlakyCases(t *testing.T) {
	const text = "group/one leak@x why\n"
	scenarios, results := wholeRun(t, KernelLinux, "group/two leak@x:receives why", text)
	for i := range results {
		results[i].Verdict = Flaky
	}
	u, err := UpdateExpectations(nil, "file", []byte(text), scenarios, Run{kernelOf(KernelLinux), false, versions, results})
	if err != nil || string(u.Text) != text || len(u.Dropped)+len(u.Added)+len(u.Narrowed) > 0 {
		t.Errorf("got %q, %v", u.Text, err)
	}
	want := []string{"group/one leak@x flaky: why", "group/two leak@x:receives flaky: ? leaves a received descriptor open"}
	if !slices.Equal(u.Flaky, want) {
		t.Errorf("got %q, want %q", u.Flaky, want)
	}
}

// The expectations of other files stay, and no line repeats them.
func TestUpdateOfLastFile(t *testing.T) {
	const truth = "group/one leak@x:receives why\ngroup/two crash@y:receives it ended"
	scenarios, results := wholeRun(t, KernelLinux, truth, "")
	given := mustExpect(t, "group/one leak@x:receives why\n** hang@x it was so once")
	u, err := UpdateExpectations(given, "last", nil, scenarios, Run{kernelOf(KernelLinux), false, versions, results})
	if want := "group/two crash@y:receives ? it ended\n"; err != nil || string(u.Text) != want || len(u.Dropped)+len(u.Kept) > 0 {
		t.Errorf("got %s, want %s, dropped %q, kept %q, %v", u.Text, want, u.Dropped, u.Kept, err)
	}
}

// A case in which a check could not be made, or says nothing about the peer, can be selected. A
// flaky case cannot.
func TestUpdateSelectsCasesThatShowNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		check  Check
		change func(*Result)
		want   string
	}{
		{"close-on-exec was not checked", CheckCloexec, func(r *Result) { r.CloexecChecked = nil }, "** cloexec@x ? " + cloexecCause},
		{"close-on-exec was checked", CheckCloexec, func(*Result) {}, "group/two cloexec@x:receives ? " + cloexecCause},
		{"unsupported", CheckLeak, func(r *Result) { r.Verdict = Unsupported }, "** leak@x ? for example: leaves a received descriptor open"},
		{"the sender is wrong", CheckLeak, func(r *Result) { r.Findings = []Finding{{Check: CheckAnswer, Peer: "runner"}} },
			"** leak@x ? for example: leaves a received descriptor open"},
		{"flaky", CheckLeak, func(r *Result) { r.Verdict = Flaky }, "group/one leak@x:receives/{x,y} ? leaves a received descriptor open"},
	} {
		scenarios, results := wholeRun(t, KernelLinux, "** "+string(c.check)+"@x why", "")
		for i, r := range results {
			if r.Name == "group/one/stream/runner/x" {
				results[i].Findings = nil
				c.change(&results[i])
			}
		}
		u, err := UpdateExpectations(nil, "file", nil, scenarios, Run{kernelOf(KernelLinux), false, versions, results})
		if err != nil || !slices.Contains(u.Added, c.want) {
			t.Errorf("%s: got %q, %v", c.name, u.Added, err)
		}
	}
}

// When a line is added, its patterns select every case in which the peer failed the check, and no
// case in which it passed. With the new file, everything is as expected.
func TestUpdateIsExact(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		scenarios, results := randomRun(t, random)
		u, err := UpdateExpectations(nil, "file", nil, scenarios, Run{kernelOf(KernelLinux), false, versions, results})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := UpdateExpectations(nil, "file", nil, scenarios, Run{kernelOf(KernelLinux), false, versions, results}); err != nil || !slices.Equal(again.Added, u.Added) {
			t.Fatalf("seed %d: got %q, then %q, %v", seed, u.Added, again.Added, err)
		}
		list := mustExpect(t, strings.ReplaceAll(string(u.Text), " ? ", " "))
		x := &Expectations{List: list}
		for _, r := range results {
			if r.Verdict == Flaky || r.Verdict == Unsupported {
				continue
			}
			if x.SetVerdict(&r); r.Unexpected() {
				t.Errorf("seed %d: %s is %s: %s, findings %v, with\n%s", seed, r.Name, r.Verdict, r.Why, r.Findings, u.Text)
			}
		}
		// A file that expects too much is narrowed, and then as good.
		const much = "** {answer,leak,cloexec}@x why\ngroup/one {answer,leak}@y why\n** leak@y:sends why\n"
		u, err = UpdateExpectations(nil, "file", []byte(much), scenarios, Run{kernelOf(KernelLinux), false, versions, results})
		if err != nil {
			t.Fatal(err)
		}
		again, err := UpdateExpectations(nil, "file", u.Text, scenarios, Run{kernelOf(KernelLinux), false, versions, results})
		if err != nil || string(again.Text) != string(u.Text) {
			t.Errorf("seed %d: got\n%s\nand then, %v,\n%s", seed, u.Text, err, again.Text)
		}
	}
}

// randomRun returns a run in which the peers fail at random, but often in the same way.
func randomRun(t *testing.T, random *rand.Rand) (scenarios []*Scenario, results []Result) {
	for i, name := range []string{"group/one", "group/two", "group/three", "other/one", "other/two"} {
		play := []string{"", "play receiver\n", "play solo\n", "", ""}[i]
		s := mustParse(t, strings.Replace(simple, "on stream dgram\n", "on stream dgram seqpacket\n"+play, 1))
		s.Name = name
		scenarios = append(scenarios, s)
	}
	peers := []*Peer{{Name: "x", Hello: contract.Hello{Version: "1.2"}}, {Name: "y"}}
	fails := map[string]bool{} // CHECK@PEER, with the role, the type or the scenario, in any combination
	for _, c := range Plan(scenarios, peers, RunnerPeer()) {
		r := Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: Pass}
		for _, role := range []Role{RoleA, RoleB} {
			peer := c.Peer(role).Name
			if peer == RunnerName {
				continue
			}
			if role == RoleB && random.IntN(5) > 0 {
				r.SetCloexecChecked(peer)
			}
			for _, check := range []Check{CheckAnswer, CheckLeak, CheckCloexec} {
				key := fmt.Sprint(check, peer, role, c.Scenario.Name)
				if _, known := fails[key]; !known {
					fails[key] = random.IntN(3) == 0
				}
				if (fails[key] != (random.IntN(12) == 0)) && (check != CheckCloexec || slices.Contains(r.CloexecChecked, peer)) {
					r.Findings = append(r.Findings, Finding{Check: check, Peer: peer, Text: "it fails"})
					r.Verdict = Fail
				}
			}
		}
		switch {
		case random.IntN(12) == 0:
			r.Verdict, r.Findings = Unsupported, nil
		case random.IntN(12) == 0:
			r.Verdict = Flaky
		}
		results = append(results, r)
	}
	return scenarios, results
}

// A finding in a report can name any peer.
func TestUpdateWithInvalidPeer(t *testing.T) {
	for _, peer := range []string{"[x", "x/[", "{x", "x}", "!{x}"} {
		scenarios, results := wholeRun(t, KernelLinux, "", "")
		results[0].Findings = []Finding{{Check: CheckLeak, Peer: peer, Text: "it fails"}}
		results[0].Verdict = Fail
		if u, err := UpdateExpectations(nil, "file", nil, scenarios, Run{kernelOf(KernelLinux), false, versions, results}); err == nil || !strings.Contains(err.Error(), peer) {
			t.Errorf("%s: got %q, %v", peer, u.Added, err)
		}
	}
}

func TestUpdateRefuses(t *testing.T) {
	for _, c := range []struct {
		text   string
		change func([]Result) []Result
		want   string
	}{
		{"", func(r []Result) []Result { return r[1:] }, "the report is not of a whole run, probably because of --run, --skip, --shard or --fail-fast: group/one/stream/x/x was not run"},
		{"", func(r []Result) []Result { r[0].Verdict = NotRun; return r }, "the report is not of a whole run, probably because of --run, --skip, --shard or --fail-fast: group/one/stream/x/x was not run"},
		{"", func(r []Result) []Result { r[0].Hash = "00"; return r }, "the report is of a different version of group/one"},
		{"", func(r []Result) []Result { return append(r, Result{Name: "group/three/stream/x/x"}) }, "the report has 19 cases, but the scenarios with its peers have 18"},
		{"", func(r []Result) []Result {
			r[0].Findings = []Finding{{Check: CheckCloexec, Peer: "x"}}
			r[0].CloexecChecked = nil
			return r
		},
			"the report is from an older version of scm, and does not say where close-on-exec was checked: group/one/stream/x/x"},
		{"nonsense", func(r []Result) []Result { return r }, "file:1: a line is SCENARIO CHECK@PEER REASON, and the reason is required"},
		{"group/no leak@x why", func(r []Result) []Result { return r }, `file:1: group/no leak@x applies to no case: no scenario matches "no"`},
	} {
		scenarios, results := wholeRun(t, KernelLinux, "", "")
		if _, err := UpdateExpectations(nil, "file", []byte(c.text), scenarios, Run{kernelOf(KernelLinux), false, versions, c.change(results)}); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
