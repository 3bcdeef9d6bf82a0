package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop"
)

// A Change is a case that came out otherwise in a later run.
type Change struct {
	Name     string
	Old, New string // what came of it, and what was found
	Edited   bool   // the scenario is not the same any more
}

func (c Change) String() string {
	text := fmt.Sprintf("%s: %s, then %s", c.Name, c.Old, c.New)
	if c.Edited {
		text += " (the scenario has changed)"
	}
	return text
}

// A Comparison is what became of the cases of an older report in a newer one.
type Comparison struct {
	Same   int      // cases of which the same came
	Worse  []Change // did not fail, and fail or have no verdict now, or are not there
	Better []Change // failed, and pass now
	Other  []Change // without being the one or the other
	New    int      // cases that the older report does not have
}

// Compare holds a report against an older one, case by case. That a failure was
// expected makes it no better.
func Compare(old, new *Report) Comparison {
	var c Comparison
	now := map[string]interop.Result{}
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
		switch was, is := standing(before), standing(after); {
		case there && change.Old == change.New:
			c.Same++
		case was != failed && is == failed, was == passed && is != passed:
			c.Worse = append(c.Worse, change)
		case was == failed && is == passed:
			c.Better = append(c.Better, change)
		default:
			c.Other = append(c.Other, change)
		}
	}
	c.New = len(now)
	return c
}

// What a case says of those who played it, whatever was expected of them.
const (
	silent = iota
	passed
	failed
)

func standing(r interop.Result) int {
	switch r.Verdict {
	case interop.Pass, interop.Fixed:
		return passed
	case interop.Fail, interop.Expected, interop.Flaky:
		return failed
	}
	return silent
}

// cameOut tells the verdict, and what was found, without what differs from run to
// run.
func cameOut(r interop.Result) string {
	found := map[string]bool{}
	for _, f := range r.Findings {
		found[fmt.Sprintf("%s@%s", f.Check, f.Peer)] = true
	}
	return strings.Join(append([]string{string(r.Verdict)}, slices.Sorted(maps.Keys(found))...), " ")
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
