package programs

import (
	"slices"
)

// The checks that a program can fail.
const (
	CheckLeak    = "leak"    // it keeps a descriptor that it did not ask for
	CheckCrash   = "crash"   // it ends
	CheckRefuses = "refuses" // it runs, but no longer serves clients
	CheckUnread  = "unread"  // an item has no verdict, usually because it does not read it
)

// Checks lists all checks.
var Checks = []string{CheckLeak, CheckCrash, CheckRefuses, CheckUnread}

// A Finding is a check that a program failed.
type Finding struct {
	Check    string `json:"check"`
	Text     string `json:"text"`               // what happened, as a sentence without a period
	Remedy   string `json:"remedy"`             // the section that says how to fix it
	Accepted string `json:"accepted,omitempty"` // the reason in a list of accepted findings
}

// A Trial is what happened when one item was sent.
type Trial struct {
	What     string    `json:"what"` // one of Items
	Findings []Finding `json:"findings,omitempty"`
	Notes    []string  `json:"notes,omitempty"`   // other remarks, which are not findings
	Untried  string    `json:"untried,omitempty"` // why the server could not receive the descriptors, if that is normal
	Skipped  string    `json:"skipped,omitempty"` // why there is no verdict, or ""
	// the reason in a list of accepted findings why there may be no verdict
	Accepted string   `json:"accepted,omitempty"`
	Missing  []string `json:"missing,omitempty"` // accepted findings that did not occur, although they should have
	Output   string   `json:"output,omitempty"`  // the end of what the server has printed, if there are findings
	Seconds  float64  `json:"seconds"`
}

// remedy returns the section that says how to fix a fault. The sections are named after the checks.
func remedy(check string) string {
	return "docs/testing-a-daemon.md#" + check + " in the scm repository"
}

// Find adds a finding.
func (t *Trial) Find(check string, text string) {
	t.Findings = append(t.Findings, Finding{Check: check, Text: text, Remedy: remedy(check)})
}

// Failed reports whether the trial has a finding that is not accepted, or lacks one that is.
func (t *Trial) Failed() bool {
	open := func(f Finding) bool { return f.Accepted == "" }
	return len(t.Missing) > 0 || slices.ContainsFunc(t.Findings, open)
}
