package catalogue_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/scenario"
)

// differ tells whether what is expected first at one step would not do at the other.
func differ(s *scenario.Scenario, st, other scenario.Step) bool {
	if s.RunnerPlays(st.Role) {
		return contradicts(other.Wants[0].Text, st.Wants[0].Text)
	}
	strip := func(w scenario.Want) string { return label.ReplaceAllString(w.Text, "") }
	return !slices.ContainsFunc(st.Wants, func(w scenario.Want) bool { return strip(w) == strip(other.Wants[0]) })
}

// swapped has the answers of two steps in each other's place, with their alternatives.
// Where the rest needs a name that comes too late then, it ends behind the first.
func swapped(t *testing.T, s *scenario.Scenario, one, two scenario.Step) (*scenario.Scenario, error) {
	t.Helper()
	lines := text(t, s)
	put := func(at, from scenario.Step) []string {
		block := slices.Clone(lines[from.Line-1 : from.Line-1+len(from.Wants)])
		head, _, _ := strings.Cut(lines[at.Line-1], " ")
		_, answer, _ := strings.Cut(block[0], " ")
		block[0] = head + " " + answer
		return block
	}
	behind := func(st scenario.Step) int { return st.Line - 1 + len(st.Wants) }
	first := slices.Concat(lines[:one.Line-1], put(one, two))
	whole := slices.Concat(first, lines[behind(one):two.Line-1], put(two, one), lines[behind(two):])
	bad, err := scenario.Parse(s.Name, []byte(strings.Join(whole, "\n")))
	if err != nil {
		bad, err = scenario.Parse(s.Name, []byte(strings.Join(first, "\n")))
	}
	return bad, err
}

// Each answer in the place of the next one that differs and that could stand there, and
// that one in its place, is noticed.
func TestSwappedAnswersAreNoticed(t *testing.T) {
	p, self := honest(t)
	var cases []scenario.Case
	for _, s := range scenarios(t) {
		if s.Play == scenario.PlayKernel {
			continue
		}
		a, b := cast(s, p, self)
		heard := slices.DeleteFunc(slices.Clone(s.Steps), func(st scenario.Step) bool { return st.Kind != scenario.StepHear })
		for i, one := range heard {
			for _, two := range heard[i+1:] {
				if !differ(s, one, two) {
					continue
				}
				if bad, err := swapped(t, s, one, two); err == nil { // or the format refuses it
					bad.Name += "-" + strconv.Itoa(one.Line)
					cases = append(cases, scenario.Case{Scenario: bad, Type: s.Types[0], A: a, B: b})
					break
				}
			}
		}
	}
	t.Logf("%d swaps", len(cases))
	for _, r := range interop.Run(context.Background(), cases, nil, interop.Options{Jobs: 2}).Results {
		if r.Verdict != scenario.Fail && r.Verdict != scenario.Unsupported {
			t.Errorf("%s: %s: %s\n%s", r.Name, r.Verdict, r.Why, strings.Join(r.Transcript, "\n"))
		}
	}
}
