package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop"
)

func TestCompare(t *testing.T) {
	leak := []interop.Finding{{Check: interop.CheckLeak, Peer: "x", Text: "4 is open"}, {Check: interop.CheckAnswer, Peer: "x", Text: "n is 2"}}
	same := []interop.Finding{{Check: interop.CheckAnswer, Peer: "x", Text: "n is 3"}, {Check: interop.CheckLeak, Peer: "x", Text: "5 is open"}, leak[0]}
	old, new := &Report{}, &Report{}
	for _, c := range []struct {
		name   string
		before interop.Result
		after  interop.Result
	}{
		{"same", interop.Result{Verdict: interop.Pass}, interop.Result{Verdict: interop.Pass}},
		{"same-found", interop.Result{Verdict: interop.Fail, Findings: leak}, interop.Result{Verdict: interop.Fail, Findings: same}},
		{"unsupported", interop.Result{Verdict: interop.Unsupported, Why: "x"}, interop.Result{Verdict: interop.Unsupported, Why: "y"}},
		{"broke", interop.Result{Verdict: interop.Pass, Hash: "a"}, interop.Result{Verdict: interop.Fail, Hash: "b", Findings: leak}},
		{"broke-as-expected", interop.Result{Verdict: interop.Pass}, interop.Result{Verdict: interop.Expected, Findings: leak}},
		{"silent", interop.Result{Verdict: interop.Pass}, interop.Result{Verdict: interop.NotRun}},
		{"learned-to-fail", interop.Result{Verdict: interop.Unsupported}, interop.Result{Verdict: interop.Fail}},
		{"gone", interop.Result{Verdict: interop.Pass}, interop.Result{}},
		{"gone-red", interop.Result{Verdict: interop.Fail}, interop.Result{}},
		{"mended", interop.Result{Verdict: interop.Expected, Findings: leak}, interop.Result{Verdict: interop.Fixed}},
		{"learned", interop.Result{Verdict: interop.Unsupported}, interop.Result{Verdict: interop.Pass}},
		{"more", interop.Result{Verdict: interop.Fail, Findings: leak[:1]}, interop.Result{Verdict: interop.Fail, Findings: leak}},
		{"another", interop.Result{Verdict: interop.Expected, Findings: leak[:1]}, interop.Result{Verdict: interop.Expected, Findings: leak[1:]}},
		{"less", interop.Result{Verdict: interop.Fail, Findings: leak}, interop.Result{Verdict: interop.Fail, Findings: leak[:1]}},
		{"mended-in-part", interop.Result{Verdict: interop.Expected, Findings: leak}, interop.Result{Verdict: interop.Fixed, Findings: leak[:1]}},
		{"broke-in-part", interop.Result{Verdict: interop.Pass}, interop.Result{Verdict: interop.Fixed, Findings: leak[:1]}},
		{"known", interop.Result{Verdict: interop.Fail, Findings: leak}, interop.Result{Verdict: interop.Expected, Findings: leak}},
		{"new", interop.Result{}, interop.Result{Verdict: interop.Fail}},
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
worse: gone: pass, then not there
worse: more: fail leak@x, then fail answer@x leak@x (answer@x is new)
worse: another: expected leak@x, then expected answer@x (answer@x is new)
worse: broke-in-part: pass, then fixed leak@x
better: mended: expected answer@x leak@x, then fixed
other: gone-red: fail, then not there
other: learned: unsupported, then pass
other: less: fail answer@x leak@x, then fail leak@x
other: mended-in-part: expected answer@x leak@x, then fixed leak@x
other: known: fail answer@x leak@x, then expected answer@x leak@x
3 the same, 8 worse, 1 better, 5 other, 1 new
`
	c := Compare(old, new)
	var got bytes.Buffer
	if err := c.Console(&got); err != nil || got.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, &got, want)
	}
	if err := c.Console(&full{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
	got.Reset()
	if err := Compare(old, old).Console(&got); err != nil || !strings.HasPrefix(got.String(), "17 the same, 0 worse, 0 better, 0 other, 0 new") {
		t.Errorf("%v, got %s", err, &got)
	}
}
