package report

import (
	"slices"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// abbreviated returns a copy of the report in which long lists, data and lines are abbreviated. All
// reports for people use it. JSON reports contain the full texts.
func (r *Report) abbreviated() *Report {
	short := *r
	short.Cases = slices.Clone(r.Cases)
	for i, c := range short.Cases {
		short.Cases[i] = Abbreviate(c)
	}
	return &short
}

// Abbreviate returns the result with long lists, data and lines abbreviated. It does not change the
// recorded calls.
func Abbreviate(c scenario.Result) scenario.Result {
	c.Why = display.Abbreviate(c.Why)
	c.Findings = slices.Clone(c.Findings)
	for i := range c.Findings {
		f := &c.Findings[i]
		f.Text = display.Abbreviate(f.Text)
	}
	c.Reasons = abbreviateLines(c.Reasons)
	c.Transcript = abbreviateLines(c.Transcript)
	c.Facts = abbreviateLines(c.Facts)
	if c.Trace != nil {
		trace := *c.Trace
		trace.Why = display.Abbreviate(trace.Why)
		trace.Transcript = abbreviateLines(trace.Transcript)
		c.Trace = &trace
	}
	return c
}

func abbreviateLines(lines []string) []string {
	lines = slices.Clone(lines)
	for i, l := range lines {
		lines[i] = display.Abbreviate(l)
	}
	return lines
}
