package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"
)

func parse(t *testing.T, name, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse(name, []byte("# A rule.\n# Its source.\n"+text+"A> end\nA< ok\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// small is a report of what came of every kind: two peers, one that there is not,
// and the runner.
func small(t *testing.T) *Report {
	t.Helper()
	pass := parse(t, "basics/pass", "on stream dgram\n")
	limit := parse(t, "limits/many", "on stream\n")
	asked := parse(t, "gc/asked", "on stream dgram\nplay kernel\n")
	x, y, self := scenario.Program("x", "x"), scenario.Program("libre", "libre"), &scenario.Peer{Name: scenario.RunnerName}
	x.Hello = contract.Hello{Lang: "c", Version: "1.2", Can: []string{"stream"}}
	y.Hello = contract.Hello{Lang: "rust", Version: "0.30.1"}
	self.Hello = contract.Hello{Lang: "go", Version: "0"}
	kernel := &scenario.Peer{Name: scenario.KernelName}
	gone := scenario.Missing("gone", "no C compiler (gcc) in PATH")

	result := func(s *scenario.Scenario, socketType string, a, b *scenario.Peer, r scenario.Result) scenario.Result {
		r.Case = scenario.Case{Scenario: s, Type: socketType, A: a, B: b}
		r.Name, r.Hash = r.Case.Name(), s.Hash
		return r
	}
	leak := scenario.Finding{Check: scenario.CheckLeak, Peer: "libre", Line: 7, Text: "a, as 4, is open, and nobody was told"}
	cloexec := scenario.Finding{Check: scenario.CheckCloexec, Peer: "x", Text: "what it receives is not close-on-exec"}
	runners := cloexec
	runners.Peer = scenario.RunnerName
	o := scenario.Outcome{
		Results: []scenario.Result{
			result(pass, "stream", x, y, scenario.Result{Verdict: scenario.Pass}),
			result(limit, "stream", x, y, scenario.Result{Verdict: scenario.Unsupported, Why: "x: no multi"}),
			result(pass, "stream", y, x, scenario.Result{Verdict: scenario.Expected, Findings: []scenario.Finding{cloexec}, Reasons: []string{"a known bug"}}),
			result(limit, "stream", x, self, scenario.Result{Verdict: scenario.Unsupported, Why: "x: no multi"}),
			result(pass, "stream", self, y, scenario.Result{Verdict: scenario.Fail, Findings: []scenario.Finding{leak, runners},
				Transcript: []string{"A> send payload=00 fds=4", "A< ok n=1"},
				Trace:      &scenario.Trace{Why: "another way </script> ```", Transcript: []string{"A> send payload=00 fds=3"}, A: []string{"7 sendmsg(3) = 1", "  control, 24 bytes"}, B: []string{"8 recvmsg(3) = 1"}}}),
			result(limit, "stream", self, y, scenario.Result{Verdict: scenario.Fixed, Why: "expected to fail, and does not: line 3: ** leak@libre"}),
			result(pass, "stream", y, self, scenario.Result{Verdict: scenario.NotRun, Why: "libre: the peer ended"}),
			result(pass, "stream", self, self, scenario.Result{Verdict: scenario.Pass}),
			result(limit, "stream", self, self, scenario.Result{Verdict: scenario.Pass}),
			result(pass, "dgram", x, self, scenario.Result{Verdict: scenario.Unsupported, Why: "x: no dgram"}),
			result(pass, "dgram", self, self, scenario.Result{Verdict: scenario.Pass}),
			result(limit, "dgram", y, y, scenario.Result{Verdict: scenario.Flaky, Tries: 2, Why: "fail at first, and pass when it was played for the 2. time"}),
			result(asked, "dgram", kernel, kernel, scenario.Result{Verdict: scenario.Pass, Seconds: 0.25, Transcript: []string{"A> end", "A< ok"}}),
			result(asked, "stream", kernel, kernel, scenario.Result{Verdict: scenario.Fail, Findings: []scenario.Finding{
				{Check: scenario.CheckAnswer, Peer: "kernel", Line: 4, Text: "answered \"ok\" </script> ```"}}}),
		},
		Witnesses: map[string]int{"kcmp": 12, "O_APPEND": 3},
		Cut:       errors.New("interrupt"),
	}
	aside, err := scenario.ParseExpectations([]byte("** leak@gone why\n** answer@gone why"))
	if err != nil {
		t.Fatal(err)
	}
	r := Begin("v1.0.0", []*scenario.Peer{x, y, gone, self}, &scenario.Expectations{Aside: aside})
	r.End(o)
	r.System = System{Kernel: "Linux 6.1", Machine: "x86_64", User: 1000}
	r.Started, r.Seconds = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), 12.345
	return r
}

func TestTotals(t *testing.T) {
	r := small(t)
	want := Totals{Pass: 4, Expected: 1, Fail: 1, Fixed: 1, Flaky: 1, Unsupported: 3, NotRun: 1}
	if r.Totals != want || r.Totals.Verdicts() != 8 || r.Unexpected() == 0 {
		t.Errorf("got %+v, want %+v", r.Totals, want)
	}
	// They are never summed.
	if want := (Totals{Pass: 1, Fail: 1}); r.Kernel != want || r.Verdicts() != 10 {
		t.Errorf("got %+v, want %+v", r.Kernel, want)
	}
	peers := map[string]Totals{
		"x":     {Pass: 1, Expected: 1, Unsupported: 3},
		"libre": {Pass: 1, Expected: 1, Fail: 1, Fixed: 1, Flaky: 1, Unsupported: 1, NotRun: 1},
		"gone":  {},
		// A case of a peer with itself is one.
		"runner": {Pass: 3, Fail: 1, Fixed: 1, Unsupported: 2, NotRun: 1},
	}
	for _, p := range r.Peers {
		if p.Totals != peers[p.Name] {
			t.Errorf("%s: got %+v, want %+v", p.Name, p.Totals, peers[p.Name])
		}
	}
	for _, c := range []struct {
		totals, kernel Totals
		want           bool
	}{
		{Totals{}, Totals{}, true},
		{Totals{Pass: 1, Expected: 2, Unsupported: 3, NotRun: 4}, Totals{Pass: 1}, true},
		{Totals{Pass: 1, Fail: 1}, Totals{}, false},
		{Totals{Pass: 1, Fixed: 1}, Totals{}, false},
		{Totals{Pass: 1, Flaky: 1}, Totals{}, false},
		{Totals{Pass: 1}, Totals{Fail: 1}, false},
	} {
		if got := (&Report{Totals: c.totals, Kernel: c.kernel}).Unexpected() == 0; got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestCell(t *testing.T) {
	for _, c := range []struct {
		totals Totals
		want   string
	}{
		{Totals{}, ""},
		{Totals{Pass: 12}, "12"},
		{Totals{Pass: 12, Unsupported: 3}, "12"},
		{Totals{Unsupported: 3}, "-"},
		{Totals{Expected: 2}, "0x2"},
		{Totals{Pass: 5, Expected: 2}, "5x2"},
		{Totals{Pass: 5, Fail: 2, Fixed: 1}, "5!3"},
		{Totals{NotRun: 3}, "0?3"},
		{Totals{NotRun: 3, Unsupported: 1}, "0?3"},
		{Totals{Pass: 1, Expected: 2, Fail: 3, Fixed: 4, Flaky: 1, Unsupported: 5, NotRun: 6}, "1x2!8?6"},
	} {
		if got := cell(c.totals); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.totals, got, c.want)
		}
	}
}

const console = `fail: basics/pass/stream/runner/libre
    line 7: leak@libre: a, as 4, is open, and nobody was told
    cloexec@runner: what it receives is not close-on-exec
      A> send payload=00 fds=4
      A< ok n=1
    played again under the recorder: another way </script> ` + "```" + `
      A> send payload=00 fds=3
    calls of A, runner:
      7 sendmsg(3) = 1
        control, 24 bytes
    calls of B, libre:
      8 recvmsg(3) = 1

fixed: limits/many/stream/runner/libre
    expected to fail, and does not: line 3: ** leak@libre

not run: basics/pass/stream/libre/runner
    libre: the peer ended

flaky: limits/many/dgram/libre/libre
    fail at first, and pass when it was played for the 2. time

fail: gc/asked/stream/kernel/kernel
    line 4: answer@kernel: answered "ok" </script> ` + "```" + `

stream: who sends (rows) to whom (columns)
         1   2   3
1 x          1   -
2 libre  0x1     0?1
3 runner     0!2 2

dgram: who sends (rows) to whom (columns)
         1 2   3
1 x            -
2 libre    0!1
3 runner       1

peer    language  version  pass  expected failure  not as expected  unsupported  not run
x       c         1.2      1     1                 0                3            0
libre   rust      0.30.1   1     1                 3                1            1
runner  go        0        3     0                 2                2            1
not there: gone: no C compiler (gcc) in PATH

In the matrix: passes, x expected failures, ! not as expected, ? not run, - unsupported.

Linux 6.1 x86_64, 3 peers of 4, 12.3 s
verdicts: 8: 4 pass, 1 expected failures, 1 unexpected failures, 1 expected failures that pass, 1 flaky
without a verdict: 3 unsupported, 1 not run
verdicts of the kernel: 2: 1 pass, 0 expected failures, 1 unexpected failures, 0 expected failures that pass
without a verdict: 0 unsupported, 0 not run
the kernel told which descriptor is which by: O_APPEND 3, kcmp 12
expectations set aside, for peers that are not there or another kernel: 2
cut short: interrupt
the run: not as expected, 1 not run, cut short
`

func TestConsole(t *testing.T) {
	var b strings.Builder
	if err := small(t).Console(&b); err != nil {
		t.Fatal(err)
	}
	if b.String() != console {
		t.Errorf("got\n%s\nwant\n%s", b.String(), console)
	}
}

// Where the runner fails a scenario that it plays alone, the report says so at its end: peers
// that fail it too may be right.
func TestConsoleDoubtsTheScenario(t *testing.T) {
	r := small(t)
	for i, c := range r.Cases {
		if c.Name == "basics/pass/dgram/runner/runner" {
			r.Cases[i].Verdict = scenario.Fail
		}
	}
	var b strings.Builder
	if err := r.Console(&b); err != nil {
		t.Fatal(err)
	}
	const want = "\nthe runner itself fails basics/pass on dgram: look at the scenario and at the kernel before the peers\nthe run: "
	if !strings.Contains(b.String(), want) {
		t.Errorf("got\n%s\nwant in it\n%s", b.String(), want)
	}
}

// Of a run in which nothing was played, there is no matrix.
func TestConsoleOfNothing(t *testing.T) {
	r := Begin("v1.0.0", []*scenario.Peer{{Name: "x"}, scenario.Missing("y", "not given"), scenario.Missing("z", "not given")}, &scenario.Expectations{})
	r.End(scenario.Outcome{})
	r.System = System{Kernel: "Linux 6.1", Machine: "x86_64"}
	r.Seconds = 0
	const want = `peer  language  version  pass  expected failure  not as expected  unsupported  not run
x                        0     0                 0                0            0
not there: y z: not given

In the matrix: passes, x expected failures, ! not as expected, ? not run, - unsupported.

Linux 6.1 x86_64, 1 peers of 3, 0.0 s
verdicts: 0: 0 pass, 0 expected failures, 0 unexpected failures, 0 expected failures that pass
without a verdict: 0 unsupported, 0 not run
the run: nothing ran
`
	var b strings.Builder
	if err := r.Console(&b); err != nil || b.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, b.String(), want)
	}
}

func TestConsoleTellsOfErrors(t *testing.T) {
	r := small(t)
	var whole bytes.Buffer
	if err := r.Console(&whole); err != nil {
		t.Fatal(err)
	}
	for room := 0; room < whole.Len(); room += 7 {
		if err := r.Console(&full{room}); !errors.Is(err, errFull) {
			t.Fatalf("with room for %d bytes of %d: %v", room, whole.Len(), err)
		}
	}
}

var errFull = errors.New("no space left on device")

// full is a file on a device with so much room.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return f.room, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

func TestJSON(t *testing.T) {
	r := small(t)
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	// What is not in the file is the case itself.
	for i := range r.Cases {
		r.Cases[i].Case = scenario.Case{}
	}
	if !reflect.DeepEqual(&got, r) {
		t.Errorf("got %+v\nwant %+v", got, r)
	}
	for _, want := range []string{
		`"schema": 2`, `"version": "v1.0.0"`, `"kernel": "Linux 6.1"`, `"uid": 1000`, `"started": "2026-01-02T03:04:05Z"`,
		`"not_run": "no C compiler (gcc) in PATH"`, `"verdict": "not run"`, `"cut": "interrupt"`,
		`"line 1: ** leak@gone"`, `A> send payload=00 fds=4`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

// A CI server prints a JUnit report, too.
func TestJUnitHasNoCommands(t *testing.T) {
	const says = "##[error]forged\n::error::forged"
	r := &Report{Cases: []scenario.Result{{Name: "a/b/stream/x/y", Verdict: scenario.Fail, Transcript: []string{"A< err lib " + says},
		Findings: []scenario.Finding{{Check: scenario.CheckAnswer, Peer: "x", Text: says}}}}}
	var b bytes.Buffer
	if err := r.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	if text := strings.ReplaceAll(b.String(), "&#xA;", "\n"); strings.Contains(text, "##[") || strings.Contains(text, "\n::") || !strings.Contains(text, "forged") {
		t.Error(text)
	}
}
