package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// A Change is a case with another outcome in a later run.
type Change struct {
	Name     string
	Old, New string   // the verdict, and what was found
	More     []string // CHECK@PEER: what was not found before, in a case that failed already
	Edited   bool     // the scenario is not the same any more
}

func (c Change) String() string {
	text := fmt.Sprintf("%s: %s, then %s", c.Name, c.Old, c.New)
	if len(c.More) > 0 {
		text += fmt.Sprintf(" (%s is new)", strings.Join(c.More, " "))
	}
	if c.Edited {
		text += " (the scenario has changed)"
	}
	return text
}

// A Comparison holds the cases of a newer report against those of an older one.
type Comparison struct {
	Same   int      // cases with the same outcome
	Worse  []Change // passed and do not any more; or fail now, or fail another check too; or new, and not as expected
	Better []Change // failed, and pass now
	Other  []Change // without being the one or the other
	New    int      // cases that the older report does not have
}

// Compare holds a report against an older one, case by case. That a failure was
// expected makes it no better.
func Compare(old, new *Report) Comparison {
	var c Comparison
	now := map[string]scenario.Result{}
	for _, r := range new.Cases {
		now[r.Name] = r
	}
	for _, before := range old.Cases {
		after, there := now[before.Name]
		delete(now, before.Name)
		change := Change{Name: before.Name, Old: cameOut(before), New: cameOut(after), Edited: there && before.Hash != after.Hash}
		if !there {
			change.New = "not there"
		}
		was, is := standing(before), standing(after)
		if was == failed && is == failed {
			had := found(before)
			change.More = slices.DeleteFunc(found(after), func(key string) bool { return slices.Contains(had, key) })
		}
		switch {
		case there && change.Old == change.New:
			c.Same++
		case was != failed && is == failed, was == passed && is != passed, len(change.More) > 0:
			c.Worse = append(c.Worse, change)
		case was == failed && is == passed:
			c.Better = append(c.Better, change)
		default:
			c.Other = append(c.Other, change)
		}
	}
	for _, after := range new.Cases {
		if _, is := now[after.Name]; !is {
			continue
		}
		c.New++
		if standing(after) == failed && after.Verdict != scenario.Expected {
			c.Worse = append(c.Worse, Change{Name: after.Name, Old: "not there", New: cameOut(after)})
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
	case scenario.Fixed:
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
	return strings.Join(append([]string{string(r.Verdict)}, found(r)...), " ")
}

// Console writes the comparison for a person.
func (c Comparison) Console(w io.Writer) error {
	out := &printer{w: w}
	for _, list := range []struct {
		name    string
		changes []Change
	}{{"worse", c.Worse}, {"better", c.Better}, {"other", c.Other}} {
		for _, change := range list.changes {
			out.printf("%s: %s\n", list.name, change)
		}
	}
	out.printf("%d the same, %d worse, %d better, %d other, %d new\n", c.Same, len(c.Worse), len(c.Better), len(c.Other), c.New)
	return out.err
}
