package tracecmd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/display"
)

// A diffReport divides the differences between two programs into those that count, those that --allow
// allows, and those in bytes that the kernel ignores.
type diffReport struct {
	padding  bool
	allow    []string
	texts    map[string]*group // counted or allowed
	counted  []*group          // in the order in which they first occurred
	occurred map[string]bool   // the values of --allow that allowed a difference
	ignored  map[string]bool   // the names of the fields

	outA, outB int // how many calls --process leaves out
}

// A group is one or more differences with the same text, or that one value of --allow allows.
type group struct {
	first *recorder.Difference
	calls map[[2]*recorder.Call]bool
}

func newDiffReport(padding bool, allow []string) *diffReport {
	return &diffReport{padding: padding, allow: allow, texts: map[string]*group{}, occurred: map[string]bool{}, ignored: map[string]bool{}}
}

func (r *diffReport) add(found []*recorder.Difference) {
	for _, d := range found {
		if d.Ignored() && !r.padding {
			r.ignored[d.Field] = true
			continue
		}
		line := r.allows(d)
		text := cmp.Or(line, d.Text())
		g := r.texts[text]
		if g == nil {
			g = &group{d, map[[2]*recorder.Call]bool{}}
			r.texts[text] = g
			if line == "" {
				r.counted = append(r.counted, g)
			}
		}
		g.calls[[2]*recorder.Call{d.A, d.B}] = true
	}
}

// allows returns the value of --allow that allows the difference, or "".
func (r *diffReport) allows(d *recorder.Difference) (by string) {
	for _, line := range r.allow {
		if d.Allowed(line) {
			r.occurred[line] = true
			by = line
		}
	}
	return by
}

// mostTexts is how many texts a report lists.
const mostTexts = 20

// text returns the report of a comparison of that many calls.
func (r *diffReport) text(calls int) string {
	var s strings.Builder
	if len(r.counted) == 0 {
		fmt.Fprintf(&s, "same: %s", display.Plural(calls, "call"))
		if len(r.texts) > 0 {
			differing := map[[2]*recorder.Call]bool{}
			for _, t := range r.texts {
				maps.Copy(differing, t.calls)
			}
			fmt.Fprintf(&s, ", with %s in %s", display.Plural(len(r.texts), "allowed difference"), display.Plural(len(differing), "call"))
		}
		s.WriteByte('\n')
	} else {
		d := r.counted[0].first
		fmt.Fprintf(&s, "different: %v\n  A: %v\n  B: %v\n%s", d, orNone(d.A), orNone(d.B), notes(d))
	}
	for _, t := range r.counted[:min(len(r.counted), mostTexts)] {
		fmt.Fprintf(&s, "--allow '%s' (%s)\n", t.first.Text(), display.Plural(len(t.calls), "call"))
	}
	if n := len(r.counted) - mostTexts; n > 0 {
		fmt.Fprintf(&s, "and %s\n", display.Plural(n, "other difference"))
	}
	if len(r.ignored) > 0 {
		fields := strings.Join(slices.Sorted(maps.Keys(r.ignored)), ", ")
		fmt.Fprintf(&s, "not counted, the kernel ignores them: %s (--padding counts them)\n", fields)
	}
	for _, line := range r.allow {
		if !r.occurred[line] {
			fmt.Fprintf(&s, "allowed, but did not occur: %s\n", line)
		}
	}
	if r.outA+r.outB > 0 {
		fmt.Fprintf(&s, "left out by --process: %s of A, %d of B\n", display.Plural(r.outA, "call"), r.outB)
	}
	return s.String()
}

// notes returns reasons why the programs may be the same although the runs differ.
func notes(d *recorder.Difference) string {
	result := func(call string) bool {
		return d.Field == recorder.Result && strings.HasPrefix(d.A.Name(), call)
	}
	text := ""
	for _, note := range []struct {
		applies bool
		text    string
	}{
		{d.Threads, "The process has several threads that make calls: their order can change from run to run."},
		{d.Several, "Several processes make calls: which of them make calls, and in which order, can change from run to run."},
		{d.Field == recorder.OtherCall, "Whether there is another call, and which, can change from run to run."},
		{result("recv"), "The data available to a receive, from a stream or without waiting, can change from run to run."},
		{result("send"), "The space available to a send, to a stream or without waiting, can change from run to run."},
		{d.Ignored(), "The kernel ignores these bytes: a program that leaves them unset can differ from itself."},
		{d.Memory == recorder.Timeout, "A timeout that a program computes from the clock changes from run to run."},
	} {
		if note.applies {
			text += note.text + "\n"
		}
	}
	return text
}

func orNone(c *recorder.Call) string {
	if c == nil {
		return "no more calls"
	}
	return c.Text()
}
