package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// A Comparison holds the cases of a newer report against those of an older one, a line a case.
type Comparison struct {
	Same   int      // cases with the same outcome
	Worse  []string // passed and do not any more; or fail now, or fail another check too; or new, and not as expected
	Better []string // failed, and pass now
	Other  []string // without being the one or the other
	New    int      // cases that the older report does not have
}

// Compare holds a report against an older one, case by case. That a failure was
// expected makes it no better.
func Compare(old, new *Report) Comparison {
	const absent = "not there"
	var c Comparison
	now := map[string]scenario.Result{}
	for _, r := range new.Cases {
		now[r.Name] = r
	}
	for _, before := range old.Cases {
		after, there := now[before.Name]
		delete(now, before.Name)
		first, then := cameOut(before), cameOut(after)
		if !there {
			then = absent
		}
		line := fmt.Sprintf("%s: %s, then %s", before.Name, first, then)
		was, is := standing(before), standing(after)
		var more []string // what was not found before, in a case that failed already
		if was == failed && is == failed {
			had := found(before)
			more = slices.DeleteFunc(found(after), func(key string) bool { return slices.Contains(had, key) })
		}
		if len(more) > 0 {
			line += fmt.Sprintf(" (%s is new)", strings.Join(more, " "))
		}
		if there && before.Hash != after.Hash {
			line += " (the scenario has changed)"
		}
		switch {
		case there && first == then:
			c.Same++
		case was != failed && is == failed, was == passed && is != passed, len(more) > 0:
			c.Worse = append(c.Worse, line)
		case was == failed && is == passed:
			c.Better = append(c.Better, line)
		default:
			c.Other = append(c.Other, line)
		}
	}
	c.New = len(now)
	for _, after := range new.Cases {
		if _, is := now[after.Name]; is && standing(after) == failed && after.Verdict != scenario.Expected {
			c.Worse = append(c.Worse, fmt.Sprintf("%s: %s, then %s", after.Name, absent, cameOut(after)))
		}
	}
	return c
}

// What a case says of those who played it, whatever was expected of them.
const (
	silent = iota
	passed
	failed
)

func standing(r scenario.Result) int {
	switch r.Verdict {
	case scenario.Pass:
		return passed
	case scenario.UnexpectedPass:
		if len(r.Findings) == 0 {
			return passed
		}
		return failed // not all that was expected is mended
	case scenario.Fail, scenario.Expected, scenario.Flaky:
		return failed
	}
	return silent
}

// found lists CHECK@PEER of what was found.
func found(r scenario.Result) []string {
	keys := map[string]bool{}
	for _, f := range r.Findings {
		keys[fmt.Sprintf("%s@%s", f.Check, f.Peer)] = true
	}
	return slices.Sorted(maps.Keys(keys))
}

// cameOut returns the verdict and the findings, without what differs from run to
// run.
func cameOut(r scenario.Result) string {
	return strings.Join(append([]string{r.Verdict.String()}, found(r)...), " ")
}

// Console writes the comparison for a person.
func (c Comparison) Console(w io.Writer) error {
	var out text
	for i, lines := range [][]string{c.Worse, c.Better, c.Other} {
		for _, line := range lines {
			out.printf("%s: %s\n", []string{"worse", "better", "other"}[i], line)
		}
	}
	out.printf("%d the same, %d worse, %d better, %d other, %d new\n", c.Same, len(c.Worse), len(c.Better), len(c.Other), c.New)
	_, err := io.WriteString(w, out.String())
	return err
}
