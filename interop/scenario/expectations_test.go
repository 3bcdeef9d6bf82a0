package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
)

func mustExpect(t *testing.T, text string) []expected.Line {
	t.Helper()
	list, err := ParseExpectations("file", []byte(text))
	fdtest.Must(t, err)
	return list
}

// keys returns the keys of lines.
func keys(list []expected.Line) string {
	var text []string
	for _, l := range list {
		text = append(text, l.Key())
	}
	return strings.Join(text, " ")
}

// Only the last file may be missing, and only for an update.
func TestReadLists(t *testing.T) {
	file, missing := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	fdtest.Must(t, os.WriteFile(file, []byte("** leak@b why\n"), 0o600))
	for _, c := range []struct {
		files  []string
		update bool
		want   string
	}{
		{nil, true, "leak@a, and no file"},
		{[]string{file}, false, "leak@a, then leak@b"},
		{[]string{file, missing}, true, "leak@a leak@b, and a new file"},
		{[]string{file, missing}, false, "the hint"},
		{[]string{missing, file}, true, "the hint"},
	} {
		l, err := ReadLists(mustExpect(t, "** leak@a why"), c.files, c.update, "the hint")
		got := keys(l.Given)
		switch {
		case l.Missing && strings.HasPrefix(string(l.Text), "# "):
			got += ", and a new file"
		case l.File == "":
			got += ", and no file"
		default:
			got += ", then " + keys(l.Last)
		}
		if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(err.Error(), "(the hint)") {
			got = "the hint"
		}
		if got != c.want {
			t.Errorf("%v: got %s, %v, want %s", c.files, got, err, c.want)
		}
	}
}

// Lines about missing peers and other versions are set aside. The version of the runner is the release of Linux.
func TestExpect(t *testing.T) {
	const text = "** leak@one why\n** leak@gone why\n** leak@one<1.3 why\n** leak@one>=1.3 why\n** leak@runner<5.15 why\n** leak@runner>=5.15<6.2 why"
	for system, want := range map[expected.System]string{
		{Kind: expected.Linux, Release: "5.10.0-32-cloud-amd64"}: "1 3 5", {Kind: expected.Linux, Release: "6.1.0"}: "1 3 6",
		{Kind: expected.Linux}: "1 3", {Kind: expected.GVisor, Release: "4.4.0"}: "1 3",
	} {
		one := &Peer{Name: "one", Hello: contract.Hello{Version: "1.2"}}
		x, err := Expect(mustExpect(t, text), system, []*Scenario{mustParse(t, simple)}, []*Peer{one}, []*Peer{Missing("gone", "")}, RunnerPeer())
		if err != nil {
			t.Fatalf("%v: %v", system, err)
		}
		var got []string
		for _, l := range x.List {
			got = append(got, fmt.Sprint(l.Number))
		}
		if strings.Join(got, " ") != want || len(x.List)+len(x.Aside) != 6 {
			t.Errorf("%v: lines %v apply, want %s, and %d are set aside", system, got, want, len(x.Aside))
		}
	}
	if _, err := Expect(mustExpect(t, "group/other leak@one why"), expected.System{}, []*Scenario{mustParse(t, simple)}, nil, nil, RunnerPeer()); err == nil {
		t.Error("a line about an unknown peer and scenario was accepted")
	}
}

// A line is about a peer in some or all scenarios. It can be limited to a type of socket and to a role of the peer.
func TestExpectationsFor(t *testing.T) {
	for text, want := range map[string]string{
		"** leak@x":                             "x/x x/y y/x x/runner runner/x",
		"** leak@x:sends":                       "x/x x/y x/runner",
		"group/id leak@runner<7.0":              "x/runner runner/x",
		"group/id leak@runner<6.1":              "",
		"**/{stream,seqpacket} leak@y:receives": "x/y y/y",
		"**/dgram leak@x":                       "",
		"** cloexec@x":                          "x/x y/x runner/x", // A receives nothing
	} {
		var got []string
		x := &Expectations{List: mustExpect(t, text+" why"), System: expected.System{Release: "6.1.0"}}
		for _, pair := range strings.Fields("x/x x/y y/x y/y x/runner runner/x") {
			a, b, _ := strings.Cut(pair, "/")
			if len(x.For(Case{mustParse(t, simple), "stream", &Peer{Name: a}, &Peer{Name: b}})) > 0 {
				got = append(got, pair)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s selects %v, want %s", text, got, want)
		}
	}
}

func TestExpectedHang(t *testing.T) {
	for _, c := range []struct {
		text, a, b string
		hangs      [2]bool
	}{
		{"** hang@two:receives why\n** leak@one why", "one", "two", [2]bool{false, true}},
		{"** hang@two:receives why", "two", "one", [2]bool{}},
		// The runner may wait for a message that a peer does not send, but not after a fault of its own.
		{"** answer@one why\n** answer@runner why", "runner", "one", [2]bool{true, false}},
		{"** answer@one why\n** answer@runner why", "runner", "runner", [2]bool{}},
		// A flaky peer may still answer.
		{"** answer@one flaky: why", "runner", "one", [2]bool{}},
		{"** hang@one flaky: why\n** hang@one why", "one", "runner", [2]bool{}},
	} {
		x := &Expectations{List: mustExpect(t, c.text)}
		is := Case{Scenario: mustParse(t, simple), Type: "stream", A: &Peer{Name: c.a}, B: &Peer{Name: c.b}}
		if got := [2]bool{x.Hangs(is, RoleA), x.Hangs(is, RoleB)}; got != c.hangs {
			t.Errorf("%s with %s and %s: %v", c.text, c.a, c.b, got)
		}
	}
}

// The runner does not judge peers by a scenario that it fails with itself, even if only sometimes. What it fails on
// other releases of Linux, or on Linux if this is gVisor, makes no case unsupported.
func TestRunnerFails(t *testing.T) {
	c := Case{Scenario: mustParse(t, simple), Type: "stream", A: &Peer{Name: "one"}, B: &Peer{Name: "two"}}
	for text, want := range map[string]string{
		"** answer@one why":               "",
		"** answer@runner flaky: why":     "the runner fails it with itself: flaky: why",
		"**/dgram answer@runner why":      "",
		"** answer@runner<5.15 old":       "",
		"** answer@runner>=6.1<6.2 today": "the runner fails it with itself: today",
	} {
		x := &Expectations{List: mustExpect(t, text), System: expected.System{Kind: expected.Linux, Release: "6.1.0-37-amd64"}}
		if got := x.RunnerFails(c); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		x.System = expected.System{Kind: expected.GVisor, Release: "4.4.0"}
		if got := x.RunnerFails(c); got != "" && strings.ContainsAny(text, "<>") {
			t.Errorf("%s on gVisor: got %q", text, got)
		}
	}
}

// The reason of a new line is what is wrong with an answer, without the answers that the scenario accepts.
func TestReasonOfNewLine(t *testing.T) {
	s := mustParse(t, simple)
	run := ReportedRun{Versions: map[string]string{"x": "", "runner": ""}}
	for _, c := range Plan([]*Scenario{s}, []*Peer{{Name: "x"}}, RunnerPeer()) {
		r := Result{Case: c, Name: c.Name(), Hash: s.Hash, Verdict: Pass}
		if c.B.Name == "x" {
			r.Verdict = Fail
			r.Findings = []Finding{{Check: CheckAnswer, Peer: "x", Text: "answered \"ok\"\nexpected ok flags=ctrunc (it lacks a flag)", Short: "it lacks a flag"}}
		}
		run.Results = append(run.Results, r)
	}
	u, err := UpdateExpectations(Lists{}, []*Scenario{s}, run)
	if want := "group/id answer@x:receives ? it lacks a flag\n"; err != nil || string(u.Text) != want {
		t.Errorf("got %s, %v, want %s", u.Text, err, want)
	}
}

// After an update with the report of a run, the same run ends as expected, unless a case is flaky.
func TestUpdateExpectations(t *testing.T) {
	kernel := mustParse(t, simple)
	kernel.Name, kernel.Play = "group/kernel", PlayKernel
	scenarios := []*Scenario{mustParse(t, simple), kernel}
	peers := []*Peer{{Name: "x"}, {Name: "y"}}
	run := func(x *Expectations, failures map[string]bool) (results []Result) {
		for _, c := range Plan(scenarios, peers, RunnerPeer()) {
			r := Result{Case: c, Name: c.Name(), Hash: c.Scenario.Hash, Verdict: Pass, CloexecChecked: []string{"runner", "x", "y"}}
			for _, key := range []string{"leak@x", "answer@y", "cloexec@y", "leak@kernel"} {
				check, peer, _ := strings.Cut(key, "@")
				if (peer == c.A.Name || peer == c.B.Name) && failures[c.Name()+key] && (check != "cloexec" || peer == c.B.Name) {
					r.Verdict, r.Findings = Fail, append(r.Findings, Finding{Check: Check(check), Peer: peer, Text: "why"})
				}
			}
			x.SetVerdict(&r)
			results = append(results, r)
		}
		return results
	}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		failures, often := map[string]bool{}, random.IntN(10)
		for _, c := range Plan(scenarios, peers, RunnerPeer()) {
			for _, key := range []string{"leak@x", "answer@y", "cloexec@y", "leak@kernel"} {
				failures[c.Name()+key] = random.IntN(10) <= often
			}
		}
		const old = "** {leak,answer}@x:sends a\ngroup/id/stream answer@y b\n** leak@kernel c\n** cloexec@y:receives d\n"
		lists := Lists{Last: mustExpect(t, old), Text: []byte(old)}
		report := ReportedRun{Versions: map[string]string{"x": "", "y": "", "runner": ""}, Results: run(&Expectations{}, failures)}
		u, err := UpdateExpectations(lists, scenarios, report)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, r := range run(&Expectations{List: mustExpect(t, string(u.Text))}, failures) {
			if r.Unexpected() {
				t.Fatalf("round %d: %s is %s, %v %s, after\n%s",
					round, r.Name, r.Verdict, r.Findings, r.Why, u.Text)
			}
		}
		report.Results = slices.DeleteFunc(report.Results, Result.Kernel)
		u, err = UpdateExpectations(lists, scenarios, report)
		if err != nil || !strings.Contains(string(u.Text), "** leak@kernel c\n") {
			t.Fatalf("round %d, without kernel cases: %v, want leak@kernel in\n%s", round, err, u.Text)
		}
		for peer, want := range map[string]string{
			"x": " was not run: no memory. List its failures by hand (** CHECK@x REASON), or fix them",
			"":  " was not run: no memory",
		} {
			report.Results[0].Verdict, report.Results[0].Why, report.Results[0].AskedNoMore = NotRun, "no memory", peer
			if _, err = UpdateExpectations(lists, scenarios, report); err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "--") {
				t.Fatalf("round %d, a case is not run: got %v, want %s", round, err, want)
			}
		}
		report.Results = report.Results[1:]
		_, err = UpdateExpectations(lists, scenarios, report)
		if err == nil || !strings.HasSuffix(err.Error(), " was not run") {
			t.Fatalf("round %d, a case is missing: got %v, want an error that it was not run", round, err)
		}
	}
}
