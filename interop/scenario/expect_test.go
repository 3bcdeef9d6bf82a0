package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

// Braces give alternatives. Lines below a heading are about that kernel, until the next heading.
func TestParseExpectations(t *testing.T) {
	var got []string
	for _, e := range mustExpect(t, `
# A comment.
[ab]/** cloexec@book<8.4 UNP §15.7 passes flags 0
  truncation/{a,b}/**/c {answer,leak}@{x,y} https://example.org/1
[gvisor]
** leak@z why
  [linux]
** leak@y why
`) {
		got = append(got, fmt.Sprintf("%s: %s, %v %v", e, e.Reason, e.On(kernelOf(KernelLinux)), e.On(kernelOf(KernelGVisor))))
	}
	want := []string{
		"file:3: [ab]/** cloexec@book<8.4: UNP §15.7 passes flags 0, true true",
		"file:4: truncation/{a,b}/**/c answer@x: https://example.org/1, true true",
		"file:4: truncation/{a,b}/**/c answer@y: https://example.org/1, true true",
		"file:4: truncation/{a,b}/**/c leak@x: https://example.org/1, true true",
		"file:4: truncation/{a,b}/**/c leak@y: https://example.org/1, true true",
		"file:6: [gvisor] ** leak@z: why, false true",
		"file:8: [linux] ** leak@y: why, true false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParseExpectationsErrors(t *testing.T) {
	const checks = ` is not CHECK@PEER, optionally followed by <VERSION, >=VERSION or both; checks are [answer file cloexec leak contract crash hang]`
	for text, want := range map[string]string{
		"\n** cloexec@book":   "file:2: a line is PATTERN CHECK@PEER REASON, and the reason is required",
		"a//b leak@x why":     `file:1: pattern "a//b": an empty part`,
		"** leak@ why":        `file:1: "leak@"` + checks,
		"** mood@x why":       `file:1: "mood@x"` + checks,
		"** {leak,mood}@x w":  `file:1: "mood@x"` + checks,
		"** {leak,answer@x w": `file:1: "{leak,answer@x": no } after {`,
		"\n[hurd]":            `file:2: unknown kernel "hurd"; kernels are [linux gvisor]`,
		"** leak@x<8.4.b why": `file:1: "leak@x<8.4.b"` + checks,
		"** leak@x=8 why":     `file:1: "leak@x=8"` + checks,
		"** leak@x flaky:":    `file:1: the reason after "flaky:" is missing`,
		"[gvisor] why":        "file:1: a line is PATTERN CHECK@PEER REASON, and the reason is required",
	} {
		if list, err := ParseExpectations("file", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, %v; want %s", text, list, err, want)
		}
	}
}

func mustExpect(t testing.TB, text string) []Expectation {
	t.Helper()
	list, err := ParseExpectations("file", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// expect calls Expect with these lines, one scenario and the runner. The peer "one" has the given version,
// "two" has none, and "gone" is missing.
func expect(t *testing.T, text, kernel, version string) (*Expectations, error) {
	t.Helper()
	one := &Peer{Name: "one", Hello: contract.Hello{Version: version}}
	return Expect(mustExpect(t, text), kernelOf(kernel), []*Scenario{mustParse(t, simple)}, []*Peer{one, {Name: "two"}}, []*Peer{Missing("gone", "")}, RunnerPeer())
}

// An expectation for other versions of a peer is set aside, so it does not hide a failure of this version.
func TestExpectVersions(t *testing.T) {
	for _, c := range []struct {
		versions, version string
		in                bool
	}{
		{"<8.4", "8.2.31", true}, {"<8.4", "8.4.0", false}, {"<8.4", "8.10", false}, {"<8.4.0", "8.4", false},
		{">=8.4", "8.4", true}, {">=8.4", "8.3.99", false}, {">=8.1<8.4", "8.2-dev", true}, {">=8.1<8.4", "8.0", false},
		{">=8.1<8.4", "9", false}, {">=0", "", false}, {"<99", "unknown", false}, {"", "", true},
	} {
		x, err := expect(t, "** leak@one"+c.versions+" why", KernelLinux, c.version)
		if err != nil {
			t.Fatal(err)
		}
		if in := len(x.List) == 1; in != c.in || len(x.List)+len(x.Aside) != 1 {
			t.Errorf("%q applies to %q: %v, want %v", c.versions, c.version, in, c.in)
		}
	}
}

func TestExpectSetsAside(t *testing.T) {
	x, err := expect(t, "** leak@one why\n** leak@gone why\ngroup/id/*/gone answer@two why\n** answer@two why\n"+
		"[gvisor]\n** leak@two why\n** leak@gone why\n[linux]\n** file@two why\n** file@gone why", KernelLinux, "")
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
		t.Errorf("lines %v apply, and %v are set aside", list, aside)
	}
}

func TestExpectAppliesToSomething(t *testing.T) {
	for text, want := range map[string]string{
		"** leak@absent why":       `** leak@absent applies to no case: no peer is named "absent"`,
		"** leak@tow why":          `** leak@tow applies to no case: no peer is named "tow"; did you mean "two"?`,
		"**/two/one leak@gone why": "**/two/one leak@gone applies to no case: the pattern selects no case of gone",
		// A line about another kernel must apply to a case too.
		"[gvisor]\ngroup/other leak@one why": `[gvisor] group/other leak@one applies to no case: no scenario matches "other"`,
		"no/such leak@one<1 why":             `no/such leak@one<1 applies to no case: no group matches "no"`,
		"gruop leak@one why":                 `gruop leak@one applies to no case: no group matches "gruop"; did you mean "group"?`,
		"id/** leak@one why":                 `id/** leak@one applies to no case: no group matches "id"; did you mean "group/id"?`,
		"group/id/strem leak@one why":        `group/id/strem leak@one applies to no case: no type of socket matches "strem"; did you mean "stream"?`,
		"*/*/*/one/tow leak@one why":         `*/*/*/one/tow leak@one applies to no case: no peer matches "tow"; did you mean "two"?`,
		"group/**/gonne leak@one why":        `group/**/gonne leak@one applies to no case: no peer matches "gonne"; did you mean "gone"?`,
		"group/**/id/id/** leak@one why":     "group/**/id/id/** leak@one applies to no case: no case matches all of its parts",
		// The peer never receives a descriptor, so there is no cloexec check.
		"group/id/*/one/two cloexec@one why": "group/id/*/one/two cloexec@one applies to no case: the pattern selects cases of one, but none in which it receives a descriptor",
		// Each alternative must apply to a case.
		"group/{id,ic}/**/one leak@one why": `group/{id,ic}/**/one leak@one: the alternative "ic" applies to no case: no scenario matches "ic"; did you mean "id"?`,
		"{group/id,group/other} leak@one w": `{group/id,group/other} leak@one: the alternative "group/other" applies to no case: no scenario matches "other"`,
		"group/id/{stream,dgrm} leak@one w": `group/id/{stream,dgrm} leak@one: the alternative "dgrm" applies to no case: no type of socket matches "dgrm"; did you mean "dgram"?`,
		"{g,x}{roup,y}/** leak@{one,two} w": `{g,x}{roup,y}/** leak@one: the alternative "x" applies to no case: no group matches "xroup"; did you mean "group"?`,
	} {
		line := 1 + strings.Count(text, "\n")
		want = fmt.Sprintf("file:%d: %s", line, want)
		if _, err := expect(t, text, KernelLinux, ""); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	for _, text := range []string{
		"{group,g*}/{id,i?}/*/{one,two,elsewhere} leak@one why",
		"**/runner/{one,two} leak@{one,two} why",
		"[gvisor]\ngroup/{id,*}/**/{two,gone} leak@{two,gone}>=8 why",
	} {
		if _, err := expect(t, text, KernelLinux, ""); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if err := ValidateExpectations(mustExpect(t, text), []*Scenario{mustParse(t, simple)}); err != nil {
			t.Errorf("ValidateExpectations of %q: %v", text, err)
		}
	}
}

func TestSetVerdict(t *testing.T) {
	s := mustParse(t, simple+"B> send payload=00 fds=a\nB< ok n=1\nA> recv bytes=1 fds=1\nA< ok n=1 payload=00 fds=a:back\n")
	for _, c := range []struct {
		name, expected, findings, checked string // checked: the peer whose descriptors were checked for close-on-exec
		want                              Verdict
		why, reasons                      string
	}{
		{"no findings", "", "", "", Pass, "", ""},
		{"unexpected", "", "leak@two", "", Fail, "", ""},
		{"expected", "** leak@two a", "leak@two", "", Expected, "", "a"},
		{"expected of another peer", "** leak@one a", "leak@two", "", Fail, "", ""},
		{"expected with another check", "** answer@two a", "leak@two", "", Fail, "", ""},
		{"one of two findings is expected", "** leak@two a", "leak@one leak@two", "", Fail, "", "a"},
		{"both findings are expected", "** leak@{one,two} a", "leak@one leak@two", "", Expected, "", "a a"},
		{"an expected finding is missing", "** leak@two a", "", "", UnexpectedPass, "1: ** leak@two", ""},
		{"one of two expected findings is missing", "** leak@two a\n** answer@two b", "leak@two", "", UnexpectedPass, "2: ** answer@two", "a"},
		{"a flaky failure occurs", "** leak@two flaky: a", "leak@two", "", Expected, "", "flaky: a"},
		{"a flaky failure does not occur", "** leak@two flaky: a", "", "two", Pass, "", ""},
		{"a flaky close-on-exec failure does not occur", "** cloexec@two flaky: a", "", "two", Pass, "", ""},
		{"a flaky failure occurs with an unexpected one", "** leak@two flaky: a", "leak@two file@two", "", Fail, "", "flaky: a"},
		{"a flaky failure occurs, and an expected one does not", "** leak@two flaky: a\n** answer@two b", "leak@two", "", UnexpectedPass, "2: ** answer@two", "flaky: a"},
		{"a flaky failure does not occur, and an expected one does", "** leak@two flaky: a\n** answer@two b", "answer@two", "", Expected, "", "b"},
		{"a flaky line is an exception to another line", "** leak@two a\ngroup leak@two flaky: b", "", "", Pass, "", ""},
		{"close-on-exec, checked", "** cloexec@two a", "", "two", UnexpectedPass, "1: ** cloexec@two", ""},
		{"close-on-exec, not checked", "** cloexec@two a", "", "", Pass, "", ""},
		{"close-on-exec, found", "** cloexec@two a", "cloexec@two", "two", Expected, "", "a"},
		// The sender is wrong, so the case shows nothing about the receiver.
		{"the sender is at fault", "** answer@one a\n** leak@two b", "answer@one", "", Expected, "", "a"},
		{"the sender is at fault only for close-on-exec", "** leak@two b\n** cloexec@one c", "cloexec@one", "", UnexpectedPass, "1: ** leak@two", "c"},
		{"the receiver is at fault", "** leak@two b\n** answer@one a", "leak@two", "", UnexpectedPass, "2: ** answer@one", "b"},
	} {
		x := &Expectations{List: mustExpect(t, c.expected)}
		r := &Result{Case: Case{s, "stream", &Peer{Name: "one"}, &Peer{Name: "two"}}, Verdict: Pass, CloexecChecked: []string{c.checked}}
		for _, key := range strings.Fields(c.findings) {
			check, peer, _ := strings.Cut(key, "@")
			r.Findings = append(r.Findings, Finding{Check: Check(check), Peer: peer})
			r.Verdict = Fail
		}
		x.SetVerdict(r)
		for _, f := range r.Findings {
			if want := strings.Contains(c.expected, f.Key()) || strings.Contains(c.expected, "leak@{one,two}"); f.Expected != want {
				t.Errorf("%s: %s is expected: %v, want %v", c.name, f.Key(), f.Expected, want)
			}
		}
		why := strings.TrimPrefix(r.Why, "expected to fail, but does not: file:")
		if r.Verdict != c.want || why != c.why || strings.Join(r.Reasons, " ") != c.reasons {
			t.Errorf("%s: got %s, %q, %q; want %s, %q, %q", c.name, r.Verdict, r.Why, r.Reasons, c.want, c.why, c.reasons)
		}
	}
	r := &Result{Verdict: Unsupported}
	if (&Expectations{List: mustExpect(t, "** leak@two a")}).SetVerdict(r); r.Verdict != Unsupported {
		t.Errorf("the verdict of an unsupported case became %s", r.Verdict)
	}
}

func TestExpectedHang(t *testing.T) {
	s := mustParse(t, simple)
	for _, c := range []struct {
		text, a, b string
		hangs      [2]bool
	}{
		{"**/two hang@two why\n** leak@one why", "one", "two", [2]bool{false, true}},
		{"**/two hang@two why", "two", "one", [2]bool{}},
		// The runner may wait for a message that a peer does not send, but not after a fault of its own.
		{"** answer@one why\n** answer@runner why", "runner", "one", [2]bool{true, false}},
		{"** answer@one why\n** answer@runner why", "runner", "runner", [2]bool{}},
		// A flaky peer may still answer.
		{"** hang@one flaky: why", "one", "runner", [2]bool{}},
		{"** answer@one flaky: why", "runner", "one", [2]bool{}},
		{"** hang@one flaky: why\n** hang@one why", "one", "runner", [2]bool{}},
	} {
		x := &Expectations{List: mustExpect(t, c.text)}
		is := Case{Scenario: s, Type: "stream", A: &Peer{Name: c.a}, B: &Peer{Name: c.b}}
		if got := [2]bool{x.Hangs(is, RoleA), x.Hangs(is, RoleB)}; got != c.hangs {
			t.Errorf("%s with %s and %s: %v", c.text, c.a, c.b, got)
		}
	}
}

// The runner does not judge peers by a scenario that it fails with itself, even if only sometimes.
func TestRunnerFails(t *testing.T) {
	s := mustParse(t, simple)
	c := Case{Scenario: s, Type: "stream", A: &Peer{Name: "one"}, B: &Peer{Name: "two"}}
	for text, want := range map[string]string{
		"** answer@one why":                  "",
		"** answer@runner why":               "the runner fails it with itself: why",
		"** answer@runner flaky: why":        "the runner fails it with itself: flaky: why",
		"**/one/runner answer@runner no why": "",
	} {
		x := &Expectations{List: mustExpect(t, text)}
		if got := x.RunnerFails(c); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// An unfinished reason can be parsed, but ValidateReasons rejects it. It names every such line, once.
func TestValidateReasons(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"** leak@one why\n** leak@two why? it is so\n** file@two flaky: why\n", ""},
		{"** leak@one ?", "file:1: unfinished reason: ?\n"},
		{"# ?\n** leak@one ? it leaks\n** leak@two why\n[gvisor]\n** {leak,answer}@two flaky: ? it leaks\n** file@two flaky:?\n",
			"file:2: unfinished reason: ? it leaks\nfile:5: unfinished reason: flaky: ? it leaks\nfile:6: unfinished reason: flaky:?\n"},
	} {
		got := ""
		if err := ValidateReasons(mustExpect(t, c.text)); err != nil {
			got = err.Error()
		}
		want := c.want
		if want != "" {
			want += `complete the reasons of these lines, and remove the "?"`
		}
		if got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", c.text, got, want)
		}
	}
}
