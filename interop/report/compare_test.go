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
	const want = `worse: broke: pass, then fail answer@x leak@x (the scenario has changed)
worse: broke-as-expected: pass, then expected answer@x leak@x
worse: silent: pass, then not run
worse: learned-to-fail: unsupported, then fail
worse: gone: pass, then missing
worse: more: fail leak@x, then fail answer@x leak@x (answer@x is new)
worse: another: expected leak@x, then expected answer@x (answer@x is new)
worse: broke-in-part: pass, then unexpected pass leak@x
worse: new-red: missing, then fail leak@x
better: mended: expected answer@x leak@x, then unexpected pass
other: gone-red: fail, then missing
other: learned: unsupported, then pass
other: less: fail answer@x leak@x, then fail leak@x
other: mended-in-part: expected answer@x leak@x, then unexpected pass leak@x
other: known: fail answer@x leak@x, then expected answer@x leak@x
other: forged: pass\n::error::forged, then missing
3 the same, 9 worse, 1 better, 6 other, 3 new
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
	if err := Compare(old, old).Console(&got); err != nil || !strings.HasPrefix(got.String(), "18 the same, 0 worse, 0 better, 0 other, 0 new") {
		t.Errorf("%v, got %s", err, &got)
	}
}
