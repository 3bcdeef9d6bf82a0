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
	verbose  bool // list all differences, and what is not counted
	allow    []string
	texts    map[string]*group // counted or allowed
	counted  []*group          // in the order in which they first occurred
	occurred map[string]bool   // the values of --allow that allowed a difference
	ignored  map[string]bool   // the names of the fields

	unset []recorder.PayloadBytes // that --self-test allows

	outA, outB int // how many calls --process leaves out
}

// A group is one or more differences with the same text, or that one value of --allow allows.
type group struct {
	first *recorder.Difference
	calls map[[2]*recorder.Call]bool
	who   []string // made the calls
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
			g = &group{first: d, calls: map[[2]*recorder.Call]bool{}}
			r.texts[text] = g
			if line == "" {
				r.counted = append(r.counted, g)
			}
		}
		g.calls[[2]*recorder.Call{d.A, d.B}] = true
		if !slices.Contains(g.who, d.Who()) {
			g.who = append(g.who, d.Who())
		}
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
	for _, bytes := range r.unset {
		if by == "" && d.Allowed(bytes.String()) {
			by = bytes.String()
		}
	}
	return by
}

// mostTexts is how many texts a report lists, unless it is verbose.
const mostTexts = 8

// listed returns the texts to list. It leaves out those that first occurred in other processes after a call that only
// one program makes, because they can be consequences.
func (r *diffReport) listed() (list, consequences, more []*group) {
	var cause *recorder.Difference
	for _, g := range r.counted {
		switch {
		case r.verbose:
			list = append(list, g)
		case cause != nil && g.first.Process != cause.Process:
			consequences = append(consequences, g)
		case len(list) == mostTexts:
			more = append(more, g)
		default:
			list = append(list, g)
		}
		if cause == nil && g.first.Ends() {
			cause = g.first
		}
	}
	return list, consequences, more
}

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
	list, consequences, more := r.listed()
	for _, t := range list {
		fmt.Fprintf(&s, "--allow '%s' (%s of %s)\n", t.first.Text(), display.Plural(len(t.calls), "call"), strings.Join(t.who, ", and "))
	}
	if len(more) > 0 {
		fmt.Fprintf(&s, "and %s (-v lists all)\n", display.Plural(len(more), "other difference"))
	}
	if len(consequences) > 0 {
		var who []string
		for _, t := range consequences {
			who = append(who, t.who...)
		}
		slices.Sort(who)
		fmt.Fprintf(&s, "and %s of %s (-v lists all)\n", display.Plural(len(consequences), "later difference"), strings.Join(slices.Compact(who), ", and "))
	}
	if len(r.ignored) > 0 && (r.verbose || len(r.counted) > 0) {
		fields := strings.Join(slices.Sorted(maps.Keys(r.ignored)), ", ")
		fmt.Fprintf(&s, "not counted, the kernel ignores them: %s (--padding counts them)\n", fields)
	}
	for _, line := range r.allow {
		if !r.occurred[line] {
			fmt.Fprintf(&s, "allowed, but did not occur: %s\n", line)
		}
	}
	for _, bytes := range r.unset {
		fmt.Fprintf(&s, "--allow '%v' (not the same in each run of A)\n", bytes)
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
