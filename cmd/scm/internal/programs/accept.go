package programs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// ParseAccepted reads a file of accepted findings: lines of the form
//
//	WHAT CHECK@PROGRAM[VERSIONS] REASON
//
// or blocks with several WHAT. WHAT is one of Items or Faults, or a pattern for several. [scenario.ParseLines]
// describes the rest.
func ParseAccepted(file string, text []byte) ([]scenario.Expectation, error) {
	known := append(slices.Clone(Items), Faults...)
	return scenario.ParseLines(file, text, scenario.LineForm{
		First: "WHAT", Name: "PROGRAM", Checks: Checks,
		Validate: func(list []scenario.Expectation) error {
			unknown := list[0].Pattern.Unmatched(known)
			if len(unknown) == 0 {
				return nil
			}
			hint := ""
			if near := scenario.Near(unknown[0], known); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			}
			return fmt.Errorf("%q is neither an item of scm poke (%s) nor a fault of scm proxy (%s)%s",
				unknown[0], strings.Join(Items, ", "), strings.Join(Faults, ", "), hint)
		},
	})
}

// ValidateAccepted returns an error if a reason is unfinished, or if a line about the program has a range of versions
// and the version of the program is unknown.
func ValidateAccepted(list []scenario.Expectation, program, version string) error {
	for _, e := range list {
		if e.Peer == program && e.Version != "" && version == "" {
			return fmt.Errorf("%s: the line is about versions of %s; add --program-version", e, program)
		}
	}
	return scenario.ValidateReasons(list)
}

// Accept marks the findings that the list accepts. For each of its lines that did not occur in a trial, it adds the
// line to the trial, unless the line is about a flaky finding, or below the heading of a release. It counts the lines
// that are about another program, kernel or version, or about an item or fault that has no verdict, or no such finding.
func (r *Report) Accept(list []scenario.Expectation, kernel scenario.Kernel) {
	used, aside := map[string]bool{}, map[string]bool{}
	for _, e := range list {
		aside[e.Place()] = true
	}
	list = slices.DeleteFunc(slices.Clone(list), func(e scenario.Expectation) bool {
		return e.Peer != r.Program || !e.On(kernel) || !e.InVersions(r.ProgramVersion)
	})
	for _, e := range list {
		for i := range r.Trials {
			t := &r.Trials[i]
			if (t.Skipped == "" || e.Check == CheckUnread) && e.Pattern.Match(t.What) && t.canHave(e.Check) {
				used[e.Place()] = true
				t.accept(e, list)
			}
		}
	}
	r.Aside = len(aside) - len(used)
}

// canHave reports whether a finding of the check is possible. The fault none changes nothing, opath adds no
// descriptor, and only an item must have a verdict.
func (t *Trial) canHave(check scenario.Check) bool {
	if check == CheckUnread {
		return slices.Contains(Items, t.What)
	}
	return t.What != FaultNone && (t.What != "opath" || check != CheckLeak)
}

// accept marks the findings that the line accepts, or adds the line to those that are missing.
func (t *Trial) accept(e scenario.Expectation, list []scenario.Expectation) {
	found := e.Check == CheckUnread && t.Skipped != ""
	if found {
		t.Accepted = e.Reason
	}
	for i := range t.Findings {
		if f := &t.Findings[i]; f.Check == e.Check {
			f.Accepted, found = e.Reason, true
		}
	}
	flaky := func(other scenario.Expectation) bool {
		return other.Flaky() && other.Check == e.Check && other.Pattern.Match(t.What)
	}
	if !found && e.Heading.Releases == "" && !slices.ContainsFunc(list, flaky) {
		t.Missing = append(t.Missing, e.String())
	}
}
