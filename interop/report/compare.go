package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// A Comparison is the result of comparing a report with an older one.
type Comparison struct {
	Same int // cases with the same outcome
	// passed before and no longer pass; or fail now, or fail another check too; or are new and fail unexpectedly
	Worse  []Change
	Better []Change // failed before and pass now
	Other  []Change // differ in some other way
	New    int      // cases that are not in the older report
	Out    int      // cases of the older report that the new one leaves out, because it is about other peers or not about the kernel
}

// A Change is what differs in a case. It is the same text for all cases that differ in the same way.
type Change struct{ Case, What string }

// Compare compares a report with an older one, case by case. It ignores whether a failure was expected. A case that
// passed before and now fails as expected counts as worse.
func Compare(old, new *Report) Comparison {
	const missing = "missing"
	var c Comparison
	added := map[string]scenario.Result{} // cases of new that are not in old
	for _, r := range new.Cases {
		added[r.Name] = r
	}
	kernel := slices.ContainsFunc(new.Cases, scenario.Result.Kernel)
	for _, before := range old.Cases {
		after, found := added[before.Name]
		if !found && (before.Kernel() && !kernel || len(new.Given) > 0 && !new.isAbout(before)) {
			c.Out++
			continue
		}
		delete(added, before.Name)
		outcomeBefore, outcomeAfter := outcome(before), outcome(after)
		if !found {
			outcomeAfter = missing
		}
		change := Change{before.Name, outcomeBefore + ", then " + outcomeAfter}
		was, is := statusOf(before), statusOf(after)
		var newFindings []string // in a case that failed before
		if was == failed && is == failed {
			known := before.Keys()
			newFindings = slices.DeleteFunc(after.Keys(), func(key string) bool { return slices.Contains(known, key) })
		}
		if len(newFindings) > 0 {
			change.What += fmt.Sprintf(" (%s is new)", strings.Join(newFindings, " "))
		}
		if found && before.Hash != after.Hash {
			change.What += " (the scenario has changed)"
		}
		switch {
		case found && outcomeBefore == outcomeAfter:
			c.Same++
		case was != failed && is == failed, was == passed && is != passed, len(newFindings) > 0:
			c.Worse = append(c.Worse, change)
		case was == failed && is == passed:
			c.Better = append(c.Better, change)
		default:
			c.Other = append(c.Other, change)
		}
	}
	c.New = len(added)
	for _, after := range new.Cases {
		if _, isNew := added[after.Name]; isNew && statusOf(after) == failed && after.Verdict != scenario.Expected {
			c.Worse = append(c.Worse, Change{after.Name, missing + ", then " + outcome(after)})
		}
	}
	return c
}

// isAbout reports whether the run is about the peers of the case; see [scenario.Case.About].
func (r *Report) isAbout(c scenario.Result) bool {
	_, _, a, b := splitCaseName(c.Name)
	return scenario.Case{A: &scenario.Peer{Name: a}, B: &scenario.Peer{Name: b}}.About(r.Given)
}

// A status is the outcome of a case, regardless of which outcome was expected.
type status int

const (
	noVerdict status = iota
	passed
	failed
)

func statusOf(r scenario.Result) status {
	switch r.Verdict {
	case scenario.Pass:
		return passed
	case scenario.UnexpectedPass:
		if len(r.Findings) == 0 {
			return passed
		}
		return failed // one of several expected failures did not occur
	case scenario.Fail, scenario.Expected, scenario.Flaky:
		return failed
	}
	return noVerdict
}

// outcome returns the verdict and the findings of a case, without details that may differ between two runs.
func outcome(r scenario.Result) string {
	return strings.Join(append([]string{r.Verdict.String()}, r.Keys()...), " ")
}

// Console writes the comparison for a person: each change once, with the number of its cases and an example.
func (c Comparison) Console(w io.Writer) error {
	var out text
	for i, list := range [][]Change{c.Worse, c.Better, c.Other} {
		cases := map[string][]string{} // by change
		for _, change := range list {
			cases[change.What] = append(cases[change.What], change.Case)
		}
		for _, what := range slices.SortedFunc(maps.Keys(cases), func(a, b string) int {
			return cmp.Or(cmp.Compare(len(cases[b]), len(cases[a])), cmp.Compare(a, b))
		}) {
			example := cases[what][0]
			if n := len(cases[what]); n > 1 {
				example = fmt.Sprintf("%d cases, such as %s", n, example)
			}
			out.printf("%s: %s: %s\n", []string{"worse", "better", "other"}[i], display.Line(what), display.Line(example))
		}
	}
	left := ""
	if c.Out > 0 {
		left = fmt.Sprintf(", %d left out", c.Out)
	}
	out.printf("%d the same, %d worse, %d better, %d other, %d new%s\n", c.Same, len(c.Worse), len(c.Better), len(c.Other), c.New, left)
	_, err := io.WriteString(w, out.String())
	return err
}
