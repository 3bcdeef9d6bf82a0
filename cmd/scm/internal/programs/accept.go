package programs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/expected"
)

// ParseAccepted reads a list of accepted findings. Its lines have the form
//
//	WHAT CHECK@PROGRAM[VERSIONS] REASON
//
// WHAT is one of Items, or a pattern for several. [expected.Parse] describes the rest.
func ParseAccepted(file string, text []byte) ([]expected.Line, error) {
	return expected.Parse(file, text, expected.Form{
		First: "WHAT", Name: "PROGRAM", Checks: Checks,
		Validate: func(l expected.Line) error {
			unknown := l.Pattern.Unmatched(Items)
			if len(unknown) == 0 {
				return nil
			}
			return fmt.Errorf("%q is not an item of scm poke (%s)%s",
				unknown[0], strings.Join(Items, ", "), expected.DidYouMean(unknown[0], Items))
		},
	})
}

// ValidateAccepted returns an error if a reason is unfinished, or if a line about the program has a range of versions
// and the version of the program is unknown.
func ValidateAccepted(list []expected.Line, program, version string) error {
	for _, l := range list {
		if l.Peer == program && l.Versions != "" && version == "" {
			return fmt.Errorf("%s: the line is about versions of %s; add --program-version", l, program)
		}
	}
	return expected.ValidateReasons(list)
}

// Accept marks the findings that the list accepts. If a line of the list did not occur in a trial, Accept adds the
// line to the trial, unless the line is about a flaky finding. It counts the lines that are about another program or
// version, or about an item that was not tried or has no verdict.
func (r *Report) Accept(list []expected.Line) {
	used, aside := map[string]bool{}, map[string]bool{}
	for _, l := range list {
		aside[l.Place()] = true
	}
	list = slices.DeleteFunc(slices.Clone(list), func(l expected.Line) bool {
		return l.Peer != r.Program || !expected.InVersions(l.Versions, r.ProgramVersion)
	})
	for _, l := range list {
		for i := range r.Trials {
			t := &r.Trials[i]
			if (t.Skipped+t.Untried == "" || l.Check == CheckUnread) && l.Pattern.Match(t.What) {
				used[l.Place()] = true
				t.accept(l, list)
			}
		}
	}
	r.Aside = len(aside) - len(used)
}

// accept marks the findings that the line accepts, or adds the line to those that are missing.
func (t *Trial) accept(l expected.Line, list []expected.Line) {
	found := l.Check == CheckUnread && t.Skipped != ""
	if found {
		t.Accepted = l.Reason
	}
	for i := range t.Findings {
		if f := &t.Findings[i]; f.Check == l.Check {
			f.Accepted, found = l.Reason, true
		}
	}
	flaky := func(other expected.Line) bool {
		return other.Flaky() && other.Check == l.Check && other.Pattern.Match(t.What)
	}
	if !found && !slices.ContainsFunc(list, flaky) {
		t.Missing = append(t.Missing, l.String())
	}
}
