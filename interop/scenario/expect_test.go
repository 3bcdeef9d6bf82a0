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
[ab]/** cloexec@book<8.4:receives UNP §15.7 passes flags 0
  truncation/{a,b}/stream {answer,leak}@x:sends/{c,!d} https://example.org/1
[gvisor]
** leak@z/y why
  [linux]
** leak@y why
`) {
		got = append(got, fmt.Sprintf("%s: %s, %v %v", e, e.Reason, e.On(kernelOf(KernelLinux)), e.On(kernelOf(KernelGVisor))))
	}
	want := []string{
		"file:3: [ab]/** cloexec@book<8.4:receives: UNP §15.7 passes flags 0, true true",
		"file:4: truncation/{a,b}/stream answer@x:sends/c: https://example.org/1, true true",
		"file:4: truncation/{a,b}/stream answer@x:sends/!d: https://example.org/1, true true",
		"file:4: truncation/{a,b}/stream leak@x:sends/c: https://example.org/1, true true",
		"file:4: truncation/{a,b}/stream leak@x:sends/!d: https://example.org/1, true true",
		"file:6: [gvisor] ** leak@z/y: why, false true",
		"file:8: [linux] ** leak@y: why, true false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParseExpectationsErrors(t *testing.T) {
	const checks = ` is not CHECK@PEER, optionally followed by <VERSION, >=VERSION or both, then :sends or :receives, then /PARTNER; checks are [answer file cloexec leak contract crash hang]`
	for text, want := range map[string]string{
		"\n** cloexec@book":   "file:2: a line is SCENARIO CHECK@PEER REASON, and the reason is required",
		"a//b leak@x why":     `file:1: pattern "a//b": an empty part`,
		"** leak@ why":        `file:1: "leak@"` + checks,
		"** mood@x why":       `file:1: "mood@x"` + checks,
		"** {leak,mood}@x w":  `file:1: "mood@x"` + checks,
		"** {leak,answer@x w": `file:1: "{leak,answer@x": no } after {`,
		"\n[hurd]":            `file:2: unknown kernel "hurd"; kernels are [linux gvisor]`,
		"** leak@x<8.4.b why": `file:1: "leak@x<8.4.b"` + checks,
		"** leak@x=8 why":     `file:1: "leak@x=8"` + checks,
		"** leak@x:both why":  `file:1: "leak@x:both"` + checks,
		"** leak@x/a/b why":   `file:1: "leak@x/a/b"` + checks,
		"** leak@x/a:sends w": `file:1: "leak@x/a:sends"` + checks,
		"** leak@x:sends<8 w": `file:1: "leak@x:sends<8"` + checks,
		"** leak@x/[ why":     `file:1: "leak@x/[": the partner: pattern "[": syntax error in pattern`,
		"** leak@x flaky:":    `file:1: the reason after "flaky:" is missing`,
		"[gvisor] why":        "file:1: a line is SCENARIO CHECK@PEER REASON, and the reason is required",
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

// A line is about a peer in some or all scenarios. It can be limited to a type of socket, to a role of the peer and to
// partners.
func TestExpectationSelects(t *testing.T) {
	ends := []string{"x/x", "x/y", "y/x", "y/y", "x/" + RunnerName, RunnerName + "/x"}
	for _, c := range []struct{ text, want string }{
		{"** leak@x", "x/x x/y y/x x/runner runner/x"},
		{"** leak@x:sends", "x/x x/y x/runner"},
		{"** leak@x:receives", "x/x y/x runner/x"},
		{"** leak@x/y", "x/y y/x"},
		{"** leak@x:sends/y", "x/y"},
		{"** leak@x:receives/y", "y/x"},
		{"** leak@x:receives/{y,runner}", "y/x runner/x"},
		{"** leak@x:receives/!y", "x/x runner/x"},
		{"** leak@x:sends/r*", "x/runner"},
		{"** leak@x/x", "x/x"},
		{"** leak@runner:sends", "runner/x"},
		{"group leak@y:sends", "y/x y/y"},
		{"group/id/stream leak@y:receives", "x/y y/y"},
		{"**/{stream,seqpacket} leak@y:receives", "x/y y/y"},
		{"group/id/dgram leak@x", ""},
		{"**/dgram leak@x", ""},
		{"other leak@x", ""},
		{"** cloexec@x", "x/x y/x runner/x"}, // A receives nothing
		{"** cloexec@x:sends", ""},
	} {
		var got, byName []string
		list := mustExpect(t, c.text+" why")
		for _, pair := range ends {
			a, b, _ := strings.Cut(pair, "/")
			is := Case{mustParse(t, simple), "stream", &Peer{Name: a}, &Peer{Name: b}}
			if slices.ContainsFunc(list, func(e Expectation) bool { return e.Selects(is) }) {
				got = append(got, pair)
			}
			if slices.ContainsFunc(list, func(e Expectation) bool { return e.SelectsName(is.Name()) }) {
				byName = append(byName, pair)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s selects %v, want %s", c.text, got, c.want)
		}
		if list[0].Check != CheckCloexec && !slices.Equal(got, byName) {
			t.Errorf("%s selects %v by name, want %s", c.text, byName, c.want)
		}
	}
	e := mustExpect(t, "** leak@x why")[0]
	for _, name := range []string{"", "a", "a/b", "a/b/c"} {
		if e.SelectsName(name) {
			t.Errorf("it selects %q", name)
		}
	}
}

// A block has a check of a peer, a reason, and a pattern on each line below.
func TestBlocks(t *testing.T) {
	var got []string
	for _, e := range mustExpect(t, `
{leak,answer}@x:receives two are lost
  a/one
  # A comment.
  a/two/stream

  b/**
file@y flaky: a race
a/three
a/four hang@x why
[gvisor]
hang@z why
	a/five
`) {
		got = append(got, fmt.Sprintf("%s: %s, %d", e, e.Reason, e.Head))
	}
	want := []string{
		"file:3: a/one leak@x:receives: two are lost, 2", "file:3: a/one answer@x:receives: two are lost, 2",
		"file:5: a/two/stream leak@x:receives: two are lost, 2", "file:5: a/two/stream answer@x:receives: two are lost, 2",
		"file:7: b/** leak@x:receives: two are lost, 2", "file:7: b/** answer@x:receives: two are lost, 2",
		"file:9: a/three file@y: flaky: a race, 8",
		"file:10: a/four hang@x: why, 10",
		"file:13: [gvisor] a/five hang@z: why, 12",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for text, want := range map[string]string{
		"leak@x why\nleak@y why\n a/b": "file:1: no SCENARIO is below this line",
		"leak@x why\n[gvisor]\n a/b":   "file:1: no SCENARIO is below this line",
		"\nleak@x why\n# a/b":          "file:2: no SCENARIO is below this line",
		"leak@x\n a/b":                 "file:1: a block begins with CHECK@PEER REASON, and the reason is required",
		"leak@x why\n a//b":            `file:2: pattern "a//b": an empty part`,
		"leak@x why\n a/b\n a/b c/d":   "file:3: a line is SCENARIO CHECK@PEER REASON, and the reason is required",
		"a/b":                          "file:1: a line is SCENARIO CHECK@PEER REASON, and the reason is required",
	} {
		if list, err := ParseExpectations("file", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, %v; want %s", text, list, err, want)
		}
	}
}

func TestExpectSetsAside(t *testing.T) {
	x, err := expect(t, "** leak@one why\n** leak@gone why\ngroup/id answer@two/gone why\n** answer@two why\n"+
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
		"** leak@absent why":           `** leak@absent applies to no case: no peer is named "absent"`,
		"** leak@tow why":              `** leak@tow applies to no case: no peer is named "tow"; did you mean "two"?`,
		"** leak@kernel why":           "** leak@kernel applies to no case: the pattern selects no case of kernel",
		"** leak@one:sends/kernel why": `** leak@one:sends/kernel applies to no case: the pattern selects cases of one, but none with ":sends/kernel"`,
		// A line about another kernel must apply to a case too.
		"[gvisor]\ngroup/other leak@one why": `[gvisor] group/other leak@one applies to no case: no scenario matches "other"`,
		"no/such leak@one<1 why":             `no/such leak@one<1 applies to no case: no group matches "no"`,
		"gruop leak@one why":                 `gruop leak@one applies to no case: no group matches "gruop"; did you mean "group"?`,
		"id/** leak@one why":                 `id/** leak@one applies to no case: no group matches "id"; did you mean "group/id"?`,
		"group/id/strem leak@one why":        `group/id/strem leak@one applies to no case: no type of socket matches "strem"; did you mean "stream"?`,
		"*/*/* leak@one:sends/tow why":       `*/*/* leak@one:sends/tow applies to no case: no peer matches "tow"; did you mean "two"?`,
		"group leak@one:sends/gonne why":     `group leak@one:sends/gonne applies to no case: no peer matches "gonne"; did you mean "gone"?`,
		"group/**/id/id/dgram leak@one why":  "group/**/id/id/dgram leak@one applies to no case: no scenario matches all of its parts",
		// The peer never receives a descriptor, so there is no cloexec check.
		"group/id cloexec@one:sends/two why": "group/id cloexec@one:sends/two applies to no case: it selects cases of one, but none in which it receives a descriptor",
		// Each alternative must apply to a case.
		"group/{id,ic} leak@one:receives why": `group/{id,ic} leak@one:receives: the alternative "ic" applies to no case: no scenario matches "ic"; did you mean "id"?`,
		"{group/id,group/other} leak@one w":   `{group/id,group/other} leak@one: the alternative "group/other" applies to no case: no scenario matches "other"`,
		"group/id/{stream,dgrm} leak@one w":   `group/id/{stream,dgrm} leak@one: the alternative "dgrm" applies to no case: no type of socket matches "dgrm"; did you mean "dgram"?`,
		"{g,x}{roup,y}/** leak@{one,two} w":   `{g,x}{roup,y}/** leak@one: the alternative "x" applies to no case: no group matches "xroup"; did you mean "group"?`,
	} {
		line := 1 + strings.Count(text, "\n")
		want = fmt.Sprintf("file:%d: %s", line, want)
		if _, err := expect(t, text, KernelLinux, ""); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	for _, text := range []string{
		"{group,g*}/{id,i?} leak@one/{one,two} why",
		"** leak@{one,two}:receives/runner why",
		"[gvisor]\ngroup/{id,*} leak@{two,gone}>=8:receives why",
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
		{"expected in another role", "** leak@two:sends a", "leak@two", "", Fail, "", ""},
		{"a finding expected in another role is missing", "** leak@two:sends a", "", "", Pass, "", ""},
		{"expected in this role with this partner", "** leak@two:receives/one a", "leak@two", "", Expected, "", "a"},
		{"expected in this role with another partner", "** leak@two:receives/!one a", "leak@two", "", Fail, "", ""},
		{"a finding expected in this role with this partner is missing", "** leak@two:receives/one a", "", "", UnexpectedPass, "1: ** leak@two:receives/one", ""},
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
			want := strings.Contains(c.expected, f.Key()) || strings.Contains(c.expected, "leak@{one,two}")
			if want = want && !strings.Contains(c.name, "another role") && !strings.Contains(c.name, "another partner"); f.Expected != want {
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
		{"** hang@two:receives why\n** leak@one why", "one", "two", [2]bool{false, true}},
		{"** hang@two:receives why", "two", "one", [2]bool{}},
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
		"** answer@one why":                    "",
		"** answer@runner why":                 "the runner fails it with itself: why",
		"** answer@runner flaky: why":          "the runner fails it with itself: flaky: why",
		"** answer@runner:receives/one no why": "",
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
		{"leak@one ? it leaks\n  group/id\n  group/two", "file:1: unfinished reason: ? it leaks\n"},
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
