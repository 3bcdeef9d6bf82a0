package tracecmd

import (
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
	*diffOptions
	texts    map[string]*group            // counted or allowed
	counted  []*group                     // in the order in which they first occurred
	occurred map[*recorder.Allowance]bool // those that allowed a difference
	ignored  map[string]bool              // the names of the fields
}

// A group is one or more differences with the same text, or that one value of --allow allows.
type group struct {
	first *recorder.Difference
	calls map[[2]*recorder.Call]bool
	who   []string // made the calls
	near  bool     // each difference is next to bytes that --self-test allows
}

func newDiffReport(o *diffOptions) *diffReport {
	return &diffReport{diffOptions: o, texts: map[string]*group{}, occurred: map[*recorder.Allowance]bool{}, ignored: map[string]bool{}}
}

func (r *diffReport) add(found []*recorder.Difference) {
	for _, d := range found {
		if d.Ignored() && !r.padding {
			r.ignored[d.Field] = true
			continue
		}
		text, by := d.Text(), r.allows(d)
		if by != nil {
			text = by.String()
		}
		g := r.texts[text]
		if g == nil {
			g = &group{first: d, calls: map[[2]*recorder.Call]bool{}, near: true}
			r.texts[text] = g
			if by == nil {
				r.counted = append(r.counted, g)
			}
		}
		g.near = g.near && by == nil && slices.ContainsFunc(r.varying, func(a *recorder.Allowance) bool { return a.Near(d) })
		g.calls[[2]*recorder.Call{d.A, d.B}] = true
		if !slices.Contains(g.who, d.Who()) {
			g.who = append(g.who, d.Who())
		}
	}
}

// allows returns the Allowance that allows the difference, or nil.
func (r *diffReport) allows(d *recorder.Difference) (by *recorder.Allowance) {
	for _, a := range slices.Concat(r.allowed, r.varying) {
		if a.Allows(d) {
			r.occurred[a] = true
			by = a
		}
	}
	return by
}

// mostTexts is how many texts a report lists, unless it is verbose.
const mostTexts = 8

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
	var unmatched *recorder.Difference // a call that only one program makes
	listed, more, later, laterOf := 0, 0, 0, []string{}
	for _, g := range r.counted {
		switch {
		case unmatched != nil && g.first.Process != unmatched.Process && !r.verbose: // perhaps a consequence
			later++
			laterOf = append(laterOf, g.who...)
		case listed == mostTexts && !r.verbose:
			more++
		default:
			listed++
			fmt.Fprintf(&s, "--allow '%s' (%s of %s", g.first.Text(), display.Plural(len(g.calls), "call"), strings.Join(g.who, ", and "))
			if g.near {
				s.WriteString("; next to bytes that are not the same in each run of A")
			}
			if remark := g.first.Required(); remark != "" {
				fmt.Fprintf(&s, "; %s", remark)
			}
			s.WriteString(")\n")
		}
		if unmatched == nil && g.first.Ends() {
			unmatched = g.first
		}
	}
	if more > 0 {
		fmt.Fprintf(&s, "and %s (-v lists all)\n", display.Plural(more, "other difference"))
	}
	if later > 0 {
		slices.Sort(laterOf)
		fmt.Fprintf(&s, "and %s of %s (-v lists all)\n", display.Plural(later, "later difference"), strings.Join(slices.Compact(laterOf), ", and "))
	}
	if len(r.ignored) > 0 && (r.verbose || len(r.counted) > 0) {
		fields := strings.Join(slices.Sorted(maps.Keys(r.ignored)), ", ")
		fmt.Fprintf(&s, "not counted, the kernel ignores them: %s (--padding counts them)\n", fields)
	}
	for _, a := range r.allowed {
		if !r.occurred[a] {
			fmt.Fprintf(&s, "allowed, but did not occur: %v%s\n", a, r.meant(a))
		}
	}
	for i, a := range r.varying {
		if i == mostTexts && !r.verbose {
			fmt.Fprintf(&s, "and %s that are not the same in each run of A (-v lists all)\n", display.Plural(len(r.varying)-i, "other place"))
			break
		}
		fmt.Fprintf(&s, "--allow '%v' (not the same in each run of A)\n", a)
	}
	if r.incomplete {
		fmt.Fprintf(&s, "The list is not complete: other bytes changed in the last of %d runs of A.\n", mostRuns)
	}
	return s.String()
}

// meant returns a remark if what occurred differs from what is allowed only in its time or in the number of the buffer.
func (r *diffReport) meant(a *recorder.Allowance) string {
	for _, g := range r.counted {
		if other := a.Meant(g.first); other != nil {
			return fmt.Sprintf(" (but %v did)", other)
		}
	}
	return ""
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
		{d.Threads && d.InOrder(), "The process has several threads that make calls: their order can change from run to run."},
		{d.Several && d.InOrder(), "Several processes make calls: which of them make calls, and in which order, can change from run to run."},
		{d.Field == recorder.OtherCall, "Whether there is another call, and which, can change from run to run."},
		{result("recv"), "The data available to a receive, from a stream or without waiting, can change from run to run."},
		{result("send"), "The space available to a send, to a stream or without waiting, can change from run to run."},
		{d.Ignored(), "The kernel ignores these bytes: a program that leaves them unset can differ from itself."},
		{d.Memory == recorder.Address, "A name that a program chooses at random changes from run to run."},
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
