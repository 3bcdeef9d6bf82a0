package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

func TestCompare(t *testing.T) {
	leak := []scenario.Finding{{Check: scenario.CheckLeak, Peer: "x", Text: "4 is open"}, {Check: scenario.CheckAnswer, Peer: "x", Text: "n is 2"}}
	same := []scenario.Finding{{Check: scenario.CheckAnswer, Peer: "x", Text: "n is 3"}, {Check: scenario.CheckLeak, Peer: "x", Text: "5 is open"}, leak[0]}
	old, new := &Report{}, &Report{}
	for _, c := range []struct {
		name   string
		before scenario.Result
		after  scenario.Result
	}{
		{"same", scenario.Result{Verdict: scenario.Pass}, scenario.Result{Verdict: scenario.Pass}},
		{"same-found", scenario.Result{Verdict: scenario.Fail, Findings: leak}, scenario.Result{Verdict: scenario.Fail, Findings: same}},
		{"unsupported", scenario.Result{Verdict: scenario.Unsupported, Why: "x"}, scenario.Result{Verdict: scenario.Unsupported, Why: "y"}},
		{"broke", scenario.Result{Verdict: scenario.Pass, Hash: "a"}, scenario.Result{Verdict: scenario.Fail, Hash: "b", Findings: leak}},
		{"broke-as-expected", scenario.Result{Verdict: scenario.Pass}, scenario.Result{Verdict: scenario.Expected, Findings: leak}},
		{"leaks", scenario.Result{Verdict: scenario.Pass}, scenario.Result{Verdict: scenario.Fail, Findings: leak[:1]}},
		{"leaks-too", scenario.Result{Verdict: scenario.Pass}, scenario.Result{Verdict: scenario.Fail, Findings: leak[:1]}},
		{"silent", scenario.Result{Verdict: scenario.Pass}, scenario.Result{Verdict: scenario.NotRun}},
		{"learned-to-fail", scenario.Result{Verdict: scenario.Unsupported}, scenario.Result{Verdict: scenario.Fail}},
		{"gone", scenario.Result{Verdict: scenario.Pass}, scenario.Result{}},
		{"gone-red", scenario.Result{Verdict: scenario.Fail}, scenario.Result{}},
		{"mended", scenario.Result{Verdict: scenario.Expected, Findings: leak}, scenario.Result{Verdict: scenario.UnexpectedPass}},
		{"learned", scenario.Result{Verdict: scenario.Unsupported}, scenario.Result{Verdict: scenario.Pass}},
		{"more", scenario.Result{Verdict: scenario.Fail, Findings: leak[:1]}, scenario.Result{Verdict: scenario.Fail, Findings: leak}},
		{"another", scenario.Result{Verdict: scenario.Expected, Findings: leak[:1]}, scenario.Result{Verdict: scenario.Expected, Findings: leak[1:]}},
		{"less", scenario.Result{Verdict: scenario.Fail, Findings: leak}, scenario.Result{Verdict: scenario.Fail, Findings: leak[:1]}},
		{"mended-in-part", scenario.Result{Verdict: scenario.Expected, Findings: leak}, scenario.Result{Verdict: scenario.UnexpectedPass, Findings: leak[:1]}},
		{"broke-in-part", scenario.Result{Verdict: scenario.Pass}, scenario.Result{Verdict: scenario.UnexpectedPass, Findings: leak[:1]}},
		{"known", scenario.Result{Verdict: scenario.Fail, Findings: leak}, scenario.Result{Verdict: scenario.Expected, Findings: leak}},
		{"forged", scenario.Result{Verdict: "pass\n::error::forged"}, scenario.Result{}}, // its line breaks are escaped
		{"new", scenario.Result{}, scenario.Result{Verdict: scenario.Pass}},
		{"new-red", scenario.Result{}, scenario.Result{Verdict: scenario.Fail, Findings: leak[:1]}},
		{"new-known", scenario.Result{}, scenario.Result{Verdict: scenario.Expected, Findings: leak}},
	} {
		c.before.Name, c.after.Name = c.name, c.name
		if c.before.Verdict != "" {
			old.Cases = append(old.Cases, c.before)
		}
		if c.after.Verdict != "" {
			new.Cases = append(new.Cases, c.after)
		}
	}
	const want = `worse: pass, then fail leak@x: 2 cases, such as leaks
worse: expected leak@x, then expected answer@x (answer@x is new): another
worse: fail leak@x, then fail answer@x leak@x (answer@x is new): more
worse: missing, then fail leak@x: new-red
worse: pass, then expected answer@x leak@x: broke-as-expected
worse: pass, then fail answer@x leak@x (the scenario has changed): broke
worse: pass, then missing: gone
worse: pass, then not run: silent
worse: pass, then unexpected pass leak@x: broke-in-part
worse: unsupported, then fail: learned-to-fail
better: expected answer@x leak@x, then unexpected pass: mended
other: expected answer@x leak@x, then unexpected pass leak@x: mended-in-part
other: fail answer@x leak@x, then expected answer@x leak@x: known
other: fail answer@x leak@x, then fail leak@x: less
other: fail, then missing: gone-red
other: pass\n::error::forged, then missing: forged
other: unsupported, then pass: learned
3 the same, 11 worse, 1 better, 6 other, 3 new
`
	c := Compare(old, new)
	var got bytes.Buffer
	if err := c.Console(&got); err != nil || got.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, &got, want)
	}
	if err := c.Console(&full{}); !errors.Is(err, errFull) {
		t.Errorf("on a full device: got %v, want %v", err, errFull)
	}
	got.Reset()
	if err := Compare(old, old).Console(&got); err != nil || !strings.HasPrefix(got.String(), "20 the same, 0 worse, 0 better, 0 other, 0 new") {
		t.Errorf("%v, got %s", err, &got)
	}
}
