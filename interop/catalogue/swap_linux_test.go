package catalogue_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// differ reports whether the first answer expected at other would not be accepted at st.
func differ(s *scenario.Scenario, st, other scenario.Step) bool {
	if s.RunByRunner(st.Role) {
		return contradicts(other.Answers[0].Text, st.Answers[0].Text)
	}
	strip := func(w scenario.Answer) string { return label.ReplaceAllString(w.Text, "") }
	return !slices.ContainsFunc(st.Answers, func(w scenario.Answer) bool { return strip(w) == strip(other.Answers[0]) })
}

// swapped returns the scenario with the answers of two steps exchanged, including their
// alternatives. If a later line then uses a name before its definition, the scenario ends
// after the first step.
func swapped(t *testing.T, s *scenario.Scenario, one, two scenario.Step) (*scenario.Scenario, error) {
	t.Helper()
	lines := text(t, s)
	put := func(at, from scenario.Step) []string {
		block := slices.Clone(lines[from.Line-1 : from.Line-1+len(from.Answers)])
		head, _, _ := strings.Cut(lines[at.Line-1], " ")
		_, answer, _ := strings.Cut(block[0], " ")
		block[0] = head + " " + answer
		return block
	}
	after := func(st scenario.Step) int { return st.Line - 1 + len(st.Answers) }
	first := slices.Concat(lines[:one.Line-1], put(one, two))
	whole := slices.Concat(first, lines[after(one):two.Line-1], put(two, one), lines[after(two):])
	bad, err := scenario.Parse(s.Name, []byte(strings.Join(whole, "\n")))
	if err != nil {
		bad, err = scenario.Parse(s.Name, []byte(strings.Join(first, "\n")))
	}
	return bad, err
}

// The judge detects that an expected answer was exchanged with the next different one.
func TestSwappedAnswersAreNoticed(t *testing.T) {
	told := records(t)
	swaps := 0
	for _, s := range scenarios(t) {
		if s.Kernel() || told[s.Name] == nil {
			continue
		}
		answers := slices.DeleteFunc(slices.Clone(s.Steps), func(st scenario.Step) bool { return st.Kind != scenario.StepAnswer })
		for i, one := range answers {
			for _, two := range answers[i+1:] {
				if !differ(s, one, two) {
					continue
				}
				if bad, err := swapped(t, s, one, two); err == nil { // otherwise the parser detects it
					swaps++
					if findings, do := told[s.Name].Judge(bad); len(findings) == 0 && do.Verdict != scenario.Unsupported {
						t.Errorf("%s:%d and %d: exchanged unnoticed: %s", s.Name, one.Line, two.Line, do.Why)
					}
					break
				}
			}
		}
	}
	if t.Logf("%d swaps", swaps); swaps < 100 {
		t.Error("too few swaps")
	}
}
