package interop

import (
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// A peer is given up after two cases in a row with the same peer, or four in all, that hung because of it.
func TestHangLimit(t *testing.T) {
	const ofX = "x/runner x/x x/y z/x"
	for name, c := range map[string]struct {
		max   int
		cases string // SENDER/RECEIVER, with a ! after each peer because of which it hung, or a ? if that is expected
		want  string // the cases that are not run
	}{
		"once":                      {2, "x!/y", ""},
		"in a row":                  {2, "x!/y x!/y", ofX},
		"in a row in both roles":    {2, "x!/y y/x!", ofX},
		"in a row with itself":      {2, "x!/x x!/x", ofX},
		"one other peer, not all":   {2, "x!/y x/z x!/y", ofX},
		"it answers in between":     {2, "x!/y x/y x!/y", ""},
		"four in all":               {2, "x!/y x/y x!/y x/y x!/z x/z x!/z", ofX},
		"three in all":              {2, "x!/y x/y x!/y x/y x!/z", ""},
		"perhaps the other one":     {2, "x!/y! x!/y! x!/z! y!/z!", "x/y"},
		"a case that had begun":     {2, "x!/y x!/y x/y", ofX},
		"it was not asked":          {2, "x!/y x/y:not_run x!/y", ofX},
		"it does not support all":   {2, "x!/y x/y:unsupported x!/y", ofX},
		"expected":                  {2, "x?/y x?/y x?/y x?/y", ""},
		"the runner and the kernel": {2, "runner!/x runner!/x kernel!/kernel kernel!/kernel", ""},
		"no limit":                  {-1, "x!/y x!/y x!/y x!/y x!/y", ""},
		"the usual limit":           {0, "x!/y x!/y x!/y x!/y x!/y", ofX},
	} {
		limit := newHangLimit(c.max)
		for text := range strings.FieldsSeq(c.cases) {
			pair, verdict, _ := strings.Cut(text, ":")
			a, b, _ := strings.Cut(pair, "/")
			res := scenario.Result{Verdict: scenario.Verdict(strings.ReplaceAll(verdict, "_", " "))}
			peer := func(text string) *scenario.Peer {
				name := strings.TrimRight(text, "!?")
				f := scenario.Finding{Peer: name, Hung: name != text, Expected: strings.HasSuffix(text, "?")}
				res.Findings = append(res.Findings, f)
				return &scenario.Peer{Name: name}
			}
			res.Case = scenario.Case{A: peer(a), B: peer(b)}
			limit.count(res)
		}
		reason := func(a, b string) string {
			peer, why := limit.givenUp(scenario.Case{A: &scenario.Peer{Name: a}, B: &scenario.Peer{Name: b}})
			return peer + why
		}
		if is, swapped := reason("x", "y"), reason("y", "x"); is != swapped {
			t.Errorf("%s: %q, and in the other roles %q", name, is, swapped)
		}
		var got []string
		for _, pair := range []string{"runner/runner", "x/runner", "x/x", "x/y", "y/y", "z/x", "z/z"} {
			if a, b, _ := strings.Cut(pair, "/"); reason(a, b) != "" {
				got = append(got, pair)
			}
		}
		if want := strings.Fields(c.want); !slices.Equal(got, want) {
			t.Errorf("%s: after %s, %q are not run, want %q", name, c.cases, got, want)
		}
	}
}
