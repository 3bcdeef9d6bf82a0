package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseExpectations(t *testing.T) {
	list, err := ParseExpectations([]byte(`
# A comment.
** cloexec@book UNP §15.7 passes flags 0
  truncation/{a,b}/**/c {answer,leak}@{x,y} https://example.org/1
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.String()+": "+e.Reason)
	}
	want := []string{
		"line 3: ** cloexec@book: UNP §15.7 passes flags 0",
		"line 4: truncation/{a,b}/**/c answer@x: https://example.org/1",
		"line 4: truncation/{a,b}/**/c answer@y: https://example.org/1",
		"line 4: truncation/{a,b}/**/c leak@x: https://example.org/1",
		"line 4: truncation/{a,b}/**/c leak@y: https://example.org/1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Lines below a heading are about that kernel, until the next one.
func TestParseKernels(t *testing.T) {
	list, err := ParseExpectations([]byte(`
[ab]/** leak@any a heading has nothing behind it
[gvisor]
# A comment.
** {leak,file}@x why
[linux]
** leak@y why
  [gvisor]
** leak@z why
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, fmt.Sprintf("%s, %v %v", e, e.On(KernelLinux), e.On(KernelGVisor)))
	}
	want := []string{
		"line 2: [ab]/** leak@any, true true",
		"line 5: [gvisor] ** leak@x, false true",
		"line 5: [gvisor] ** file@x, false true",
		"line 7: [linux] ** leak@y, true false",
		"line 9: [gvisor] ** leak@z, false true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParseExpectationsErrors(t *testing.T) {
	const checks = "checks are [answer file cloexec leak contract crash hang]"
	for text, want := range map[string]string{
		"\n** cloexec@book":   "line 2: PATTERN CHECK@PEER REASON, and the reason is compulsory",
		"**":                  "line 1: PATTERN CHECK@PEER REASON, and the reason is compulsory",
		"a//b leak@x why":     `line 1: pattern "a//b": an empty part`,
		"** leak why not":     `line 1: "leak" is not CHECK@PEER; ` + checks,
		"** leak@ why":        `line 1: "leak@" is not CHECK@PEER; ` + checks,
		"** mood@x why":       `line 1: "mood@x" is not CHECK@PEER; ` + checks,
		"** {leak,mood}@x w":  `line 1: "mood@x" is not CHECK@PEER; ` + checks,
		"** {leak,answer@x w": `line 1: "{leak,answer@x": no } after {`,
		"\n[hurd]":            `line 2: no such kernel: "hurd"; kernels are [linux gvisor]`,
		"[]":                  `line 1: no such kernel: ""; kernels are [linux gvisor]`,
		"** leak@x<8.4.b why": `line 1: "leak@x<8.4.b": "<8.4.b" is not <VERSION, >=VERSION or both`,
		"** leak@x=8 why":     `line 1: "leak@x=8": "=8" is not <VERSION, >=VERSION or both`,
		"** leak@<8 why":      `line 1: "leak@<8" is not CHECK@PEER; ` + checks,
		"[gvisor] why":        "line 1: PATTERN CHECK@PEER REASON, and the reason is compulsory",
	} {
		if list, err := ParseExpectations([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, %v; want %s", text, list, err, want)
		}
	}
}

func mustExpect(t *testing.T, text string) []Expectation {
	t.Helper()
	list, err := ParseExpectations([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// world is a scenario of two peers and the runner; a third peer is missing.
type world struct {
	scenario             *Scenario
	here, missing        []*Peer
	one, two, gone, self *Peer
}

func newWorld(t *testing.T) world {
	w := world{
		scenario: mustParse(t, simple),
		one:      &Peer{Name: "one"}, two: &Peer{Name: "two"},
		gone: Missing("gone", "no compiler"), self: &Peer{Name: RunnerName},
	}
	w.here, w.missing = []*Peer{w.one, w.two}, []*Peer{w.gone}
	return w
}

func (w world) expect(t *testing.T, text string) (*Expectations, error) {
	t.Helper()
	return Expect(mustExpect(t, text), KernelLinux, []*Scenario{w.scenario}, w.here, w.missing, w.self)
}

// An expectation for other versions of a peer is set aside, and does not hide what
// this version does.
func TestExpectVersions(t *testing.T) {
	for _, c := range []struct {
		versions, version string
		in                bool
	}{
		{"<8.4", "8.2.31", true}, {"<8.4", "8.4.0", false}, {"<8.4", "8.10", false}, {"<8.4.0", "8.4", false},
		{">=8.4", "8.4", true}, {">=8.4", "8.3.99", false}, {">=8.1<8.4", "8.2-dev", true}, {">=8.1<8.4", "8.0", false},
		{">=8.1<8.4", "9", false}, {">=0", "", false}, {"<99", "unknown", false}, {"", "", true},
	} {
		w := newWorld(t)
		w.one.Hello.Version = c.version
		x, err := w.expect(t, "** leak@one"+c.versions+" why")
		if err != nil {
			t.Fatal(err)
		}
		if in := len(x.List) == 1; in != c.in || len(x.List)+len(x.Aside) != 1 {
			t.Errorf("%q holds for %q: %v, want %v", c.versions, c.version, in, c.in)
		}
	}
	w := newWorld(t)
	if _, err := w.expect(t, "no/such leak@one<1 why"); err == nil {
		t.Error("a line that applies to no case of any version is accepted")
	}
}

func TestExpectSetsAside(t *testing.T) {
	w := newWorld(t)
	x, err := w.expect(t, "** leak@one why\n** leak@gone why\ngroup/id/*/gone answer@two why\n** answer@two why\n"+
		"[gvisor]\n** leak@two why\n** leak@gone why\n[linux]\n** file@two why\n** file@gone why")
	if err != nil {
		t.Fatal(err)
	}
	lines := func(list []Expectation) (lines []int) {
		for _, e := range list {
			lines = append(lines, e.Line)
		}
		return lines
	}
	if list, aside := lines(x.List), lines(x.Aside); !slices.Equal(list, []int{1, 4, 9}) || !slices.Equal(aside, []int{2, 3, 6, 7, 10}) {
		t.Errorf("in force are lines %v, set aside %v", list, aside)
	}
}

func TestExpectAppliesToSomething(t *testing.T) {
	w := newWorld(t)
	for text, want := range map[string]string{
		"** leak@nobody why":                  "line 1: ** leak@nobody applies to no case",
		"group/other leak@one why":            "line 1: group/other leak@one applies to no case",
		"** leak@one why\n*/*/tcp leak@one x": "line 2: */*/tcp leak@one applies to no case",
		"**/two/one leak@gone why":            "line 1: **/two/one leak@gone applies to no case",
		// A line about another kernel is held against the cases here too.
		"[gvisor]\ngroup/other leak@one why": "line 2: [gvisor] group/other leak@one applies to no case",
		"[gvisor]\n** leak@nobody why":       "line 2: [gvisor] ** leak@nobody applies to no case",
		// It never receives, so that close-on-exec is not looked at.
		"group/id/*/one/two cloexec@one why": "line 1: group/id/*/one/two cloexec@one applies to no case",
	} {
		if _, err := w.expect(t, text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestJudge(t *testing.T) {
	w := newWorld(t)
	w.scenario = mustParse(t, simple+"B> send payload=00 fds=a\nB< ok n=1\nA> recv bytes=1 fds=1\nA< ok n=1 payload=00 fds=a:back\n")
	leak1, leak2 := Finding{Check: CheckLeak, Peer: "one"}, Finding{Check: CheckLeak, Peer: "two"}
	answer1 := Finding{Check: CheckAnswer, Peer: "one"}
	cloexec2 := Finding{Check: CheckCloexec, Peer: "two"}
	const fixed = "expected to fail, and does not: line "
	for _, c := range []struct {
		name     string
		expected string
		verdict  Verdict // before
		findings []Finding
		judged   string // whose close-on-exec was looked at
		want     Verdict
		why      string
		reasons  []string
	}{
		{name: "nothing", verdict: Pass, want: Pass},
		{name: "unexpected", verdict: Fail, findings: []Finding{leak2}, want: Fail},
		{name: "expected", expected: "** leak@two a known bug", verdict: Fail, findings: []Finding{leak2}, want: Expected,
			reasons: []string{"a known bug"}},
		{name: "expected of another", expected: "** leak@one a known bug", verdict: Fail, findings: []Finding{leak2}, want: Fail},
		{name: "another check", expected: "** answer@two a known bug", verdict: Fail, findings: []Finding{leak2}, want: Fail},
		{name: "another case", expected: "group/id/dgram leak@two a known bug", verdict: Fail, findings: []Finding{leak2}, want: Fail},
		{name: "one of two", expected: "** leak@two a known bug", verdict: Fail, findings: []Finding{leak1, leak2}, want: Fail,
			reasons: []string{"a known bug"}},
		{name: "both", expected: "** leak@{one,two} a known bug", verdict: Fail, findings: []Finding{leak1, leak2}, want: Expected,
			reasons: []string{"a known bug", "a known bug"}},
		{name: "fixed", expected: "** leak@two a known bug", verdict: Pass, want: Fixed,
			why: fixed + "1: ** leak@two"},
		{name: "one of two is fixed", expected: "** leak@two a\n** answer@two b", verdict: Fail, findings: []Finding{leak2}, want: Fixed,
			why: fixed + "2: ** answer@two", reasons: []string{"a"}},
		{name: "close-on-exec, looked at", expected: "** cloexec@two a", verdict: Pass, judged: "two", want: Fixed,
			why: fixed + "1: ** cloexec@two"},
		{name: "close-on-exec, not looked at", expected: "** cloexec@two a", verdict: Pass, want: Pass},
		{name: "close-on-exec, found", expected: "** cloexec@two a", verdict: Fail, findings: []Finding{cloexec2}, judged: "two", want: Expected,
			reasons: []string{"a"}},
		// The sender got it wrong, so that nothing can be said of the receiver.
		{name: "the sender is to blame", expected: "** answer@one a\n** leak@two b", verdict: Fail, findings: []Finding{answer1}, want: Expected,
			reasons: []string{"a"}},
		{name: "the sender's close-on-exec is no excuse", expected: "** leak@two b\n** cloexec@one c", verdict: Fail,
			findings: []Finding{{Check: CheckCloexec, Peer: "one"}}, want: Fixed, why: fixed + "1: ** leak@two", reasons: []string{"c"}},
		{name: "the receiver is no excuse for the sender", expected: "** leak@two b\n** answer@one a", verdict: Fail, findings: []Finding{leak2},
			want: Fixed, why: fixed + "2: ** answer@one", reasons: []string{"b"}},
		{name: "unsupported", expected: "** leak@two a", verdict: Unsupported, want: Unsupported},
		{name: "not run", expected: "** leak@two a", verdict: NotRun, want: NotRun},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &Expectations{List: mustExpect(t, c.expected)}
			r := &Result{
				Case:           Case{Scenario: w.scenario, Type: "stream", A: w.one, B: w.two},
				Verdict:        c.verdict,
				Findings:       c.findings,
				CloexecChecked: map[string]bool{c.judged: true},
			}
			x.SetVerdict(r)
			if r.Verdict != c.want || r.Why != c.why || !reflect.DeepEqual(r.Reasons, c.reasons) {
				t.Errorf("got %s, %q, %q; want %s, %q, %q", r.Verdict, r.Why, r.Reasons, c.want, c.why, c.reasons)
			}
		})
	}
}

// A line about a kernel is one as any other there, stale ones with it, and says
// nothing elsewhere.
func TestJudgeOnAKernel(t *testing.T) {
	w := newWorld(t)
	leak := []Finding{{Check: CheckLeak, Peer: "two"}}
	for _, c := range []struct {
		kernel   string
		findings []Finding
		want     Verdict
	}{
		{KernelGVisor, leak, Expected},
		{KernelGVisor, nil, Fixed},
		{KernelLinux, leak, Fail},
		{KernelLinux, nil, Pass},
	} {
		x, err := Expect(mustExpect(t, "[gvisor]\n** leak@two why"), c.kernel, []*Scenario{w.scenario}, w.here, nil, w.self)
		if err != nil {
			t.Fatal(err)
		}
		r := &Result{Case: Case{Scenario: w.scenario, Type: "stream", A: w.one, B: w.two}, Verdict: Pass, Findings: c.findings}
		if len(c.findings) > 0 {
			r.Verdict = Fail
		}
		x.SetVerdict(r)
		if r.Verdict != c.want {
			t.Errorf("on %s with %v: %s, not %s", c.kernel, c.findings, r.Verdict, c.want)
		}
		if c.want == Fixed && r.Why != "expected to fail, and does not: line 2: [gvisor] ** leak@two" {
			t.Error(r.Why)
		}
	}
}

func TestExpectedHang(t *testing.T) {
	w := newWorld(t)
	x := &Expectations{List: mustExpect(t, "**/two hang@two why\n** leak@one why")}
	c := Case{Scenario: w.scenario, Type: "stream", A: w.one, B: w.two}
	if !x.Hangs(c, RoleB) || x.Hangs(c, RoleA) {
		t.Error("it is B that hangs, and not A")
	}
	if c.A, c.B = c.B, c.A; x.Hangs(c, RoleA) || x.Hangs(c, RoleB) {
		t.Error("the pattern is not for this case")
	}
	// It may wait for what a peer does not send, and not for what it gets wrong itself.
	x = &Expectations{List: mustExpect(t, "** answer@one why\n** answer@runner why")}
	if c.A = w.self; !x.Hangs(c, RoleA) {
		t.Error("it is opposite one who gets it wrong")
	}
	if c.B = w.self; x.Hangs(c, RoleA) || x.Hangs(c, RoleB) {
		t.Error("nobody is opposite")
	}
}
