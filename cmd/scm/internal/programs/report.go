package programs

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
)

// A Report is the result of scm poke. Its fields are those of the JSON report.
type Report struct {
	Tool           string  `json:"tool"` // "scm poke"
	Version        string  `json:"version"`
	Kernel         string  `json:"kernel"`
	Program        string  `json:"program"`
	ProgramVersion string  `json:"program_version,omitempty"`
	Trials         []Trial `json:"trials"`
	// lines of the lists of accepted findings that are about something else
	Aside  int    `json:"aside"`
	Broken string `json:"broken,omitempty"` // why the run was cut short, or nothing could be found out
}

// NewReport returns a report without trials.
func NewReport(version, program, programVersion string, kernel expected.System) *Report {
	return &Report{
		Tool: "scm poke", Version: version, Program: program, ProgramVersion: programVersion,
		Kernel: strings.TrimSpace(kernel.Kind + " " + kernel.Release), Trials: []Trial{},
	}
}

// Failed reports whether a trial has failed.
func (r *Report) Failed() bool {
	return slices.ContainsFunc(r.Trials, func(t Trial) bool { return t.Failed() })
}

// Undecided reports whether an item has no verdict, and no line accepts that.
func (r *Report) Undecided() bool {
	return slices.ContainsFunc(r.Trials, func(t Trial) bool { return t.Skipped != "" && t.Accepted == "" })
}

// JSON writes the report as JSON.
func (r *Report) JSON(w io.Writer) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = w.Write(append(display.JSON(text), '\n'))
	}
	return err
}

// Console writes the report for a person: each result, with the trials that have it, and the verdict.
func (r *Report) Console(w io.Writer) error {
	var b strings.Builder
	var lines []string
	trials := map[string][]string{}
	for _, t := range r.Trials {
		for _, line := range r.lines(t) {
			if trials[line] == nil {
				lines = append(lines, line)
			}
			trials[line] = append(trials[line], t.What)
		}
	}
	for _, line := range lines {
		line = fmt.Sprintf("%-10s %s", strings.Join(trials[line], ", "), line)
		b.WriteString(display.Block("", line) + "\n")
	}
	shown := func(t Trial) bool { return t.Failed() && t.Output != "" }
	if i := slices.IndexFunc(r.Trials, shown); i >= 0 {
		t := r.Trials[i]
		b.WriteString(display.Block("", "The server printed during "+t.What+":\n"+t.Output) + "\n")
	}
	b.WriteString(display.Block("", r.Verdict()) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// lines returns the lines about a trial, without its name.
func (r *Report) lines(t Trial) (lines []string) {
	say := func(format string, a ...any) {
		lines = append(lines, fmt.Sprintf(format, a...))
	}
	for _, f := range t.Findings {
		if f.Accepted == "" {
			say("FOUND %s@%s: %s. To fix it: %s", f.Check, r.Program, f.Text, f.Remedy)
		} else {
			say("accepted %s@%s: %s (%s)", f.Check, r.Program, f.Text, f.Accepted)
		}
	}
	for _, line := range t.Missing {
		say("NOT FOUND although accepted: %s", line)
	}
	switch {
	case t.Accepted != "":
		say("accepted %s@%s: %s (%s)", CheckUnread, r.Program, t.Skipped, t.Accepted)
	case t.Skipped != "":
		say("no verdict: %s", t.Skipped)
	case t.Untried != "":
		say("not tried: %s", t.Untried)
	case len(lines) == 0:
		say("ok")
	}
	for _, note := range t.Notes {
		say("note: %s", note)
	}
	return lines
}

// Verdict returns the last line of the console.
func (r *Report) Verdict() string {
	found, accepted, missing, untried, skipped, verdicts := 0, 0, 0, 0, 0, 0
	for _, t := range r.Trials {
		for _, f := range t.Findings {
			if f.Accepted == "" {
				found++
			} else {
				accepted++
			}
		}
		missing += len(t.Missing)
		switch {
		case t.Accepted != "":
			accepted++
		case t.Skipped != "":
			skipped++
		case t.Untried != "":
			untried++
		default:
			verdicts++
		}
	}
	if r.Broken != "" && verdicts == 0 {
		return r.Program + ": " + r.Broken
	}
	text := r.Program + ": no findings"
	if found > 0 {
		text = r.Program + ": " + display.Plural(found, "finding")
	}
	for _, part := range []struct {
		n    int
		text string
	}{{accepted, "accepted"}, {missing, "accepted but not found"}, {untried, "not tried"}, {skipped, "without a verdict"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.text)
		}
	}
	if r.Aside > 0 {
		text += ", " + display.Plural(r.Aside, "accepted line") + " set aside"
	}
	if r.Broken != "" {
		text += ", cut short: " + r.Broken
	}
	return text
}
