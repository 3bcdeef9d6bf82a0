package programs

import (
	"io"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/junit"
)

// JUnit writes the report for CI servers. The program is a suite, and each trial is a test. Trials with only accepted
// findings, those that were not tried, and those without a verdict, count as skipped. A run without a result counts as
// an error.
func (r *Report) JUnit(w io.Writer) error {
	suite := &junit.Suite{Name: r.Program}
	for _, t := range r.Trials {
		lines := r.lines(t)
		outcome := ""
		switch {
		case t.Failed():
			outcome = "failure"
		case t.Skipped != "" || t.Untried != "" || len(t.Findings) > 0:
			outcome = "skipped"
		}
		message := display.Shorten(lines[0], junit.MaxMessage)
		if t.Output != "" {
			lines = append(lines, "The server printed:", t.Output)
		}
		text := display.Block("", strings.Join(lines, "\n"))
		test := junit.Case{Class: r.Program, Name: t.What, Seconds: junit.Seconds(t.Seconds)}
		if outcome == "" && len(t.Notes) > 0 {
			test.Out = text
		}
		suite.Add(test, outcome, message, text)
	}
	if r.Broken != "" {
		text := display.Block("", r.Broken)
		suite.Add(junit.Case{Class: r.Program, Name: "run"}, "error", display.Shorten(text, junit.MaxMessage), text)
	}
	all := junit.Suites{Name: r.Tool, Suites: []*junit.Suite{suite}}
	return all.Write(w)
}
