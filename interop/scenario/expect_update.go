package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// noReason is the placeholder for the reason in a new line.
const noReason = "?"

// An Update contains the new text of a file of expected failures after a complete run, and
// lists the changes.
type Update struct {
	Text    []byte   // of the new file
	Dropped []string // lines that did not fail as expected
	Added   []string // lines for unexpected findings, without a reason
	Kept    []string // lines about every kernel that did not fail on this one
}

// UpdateExpectations rewrites a file of expected failures after a complete run on a kernel. If
// the expected failure did not occur in all cases that a line selects, UpdateExpectations
// replaces the line with one line for each case in which it did occur. On a kernel other than
// Linux, it keeps lines that apply to every kernel. It adds a line for each unexpected finding.
// Flaky cases do not change the file, and lines about flaky failures stay. The expectations in
// given are those of other files, which do not change. The keys of versions are the names of the peers that took
// part, and the values are their versions, if known.
func UpdateExpectations(given []Expectation, file string, text []byte, kernel string, versions map[string]string, scenarios []*Scenario, results []Result) (u Update, err error) {
	list, err := ParseExpectations(file, text)
	if err == nil {
		err = ValidateExpectations(slices.Concat(given, list), scenarios)
	}
	if err != nil {
		return u, err
	}
	if err := setCases(scenarios, versions, results); err != nil {
		return u, err
	}
	list = slices.DeleteFunc(list, func(e Expectation) bool { return !e.On(kernel) })
	given = slices.DeleteFunc(slices.Clone(given), func(e Expectation) bool { return !e.On(kernel) })
	all := slices.Concat(given, list)
	var out []string
	part := KernelLinux
	for i, l := range strings.Split(strings.TrimRight(string(text), "\r\n"), "\n") {
		if m := headingForm.FindStringSubmatch(strings.TrimSpace(l)); m != nil {
			part = m[1]
		}
		instead, changed := []string(nil), false
		for _, e := range list {
			if e.Line != i+1 {
				continue
			}
			line := e.line(e.Pattern.text)
			stays, gone := e.cases(results)
			switch {
			case !gone || e.Flaky():
				stays = []string{line}
			case e.Kernel == "" && kernel != KernelLinux:
				u.Kept = append(u.Kept, line)
				stays = []string{line}
			default:
				u.Dropped, changed = append(u.Dropped, line), true
			}
			instead = append(instead, stays...)
		}
		if !changed {
			instead = []string{strings.TrimSuffix(l, "\r")}
		}
		out = append(out, instead...)
	}
	for _, r := range results {
		for _, f := range r.Findings {
			covers := func(e Expectation) bool { return e.key() == f.Key() && e.Selects(r.Case) }
			added := Expectation{Check: f.Check, Peer: f.Peer, Reason: noReason}.line(r.Name)
			if r.Verdict != Flaky && !slices.ContainsFunc(all, covers) && !slices.Contains(u.Added, added) {
				u.Added = append(u.Added, added)
			}
		}
	}
	slices.Sort(u.Added)
	if len(u.Added) > 0 && part != kernel {
		out = append(out, "", "["+kernel+"]")
	}
	u.Text = []byte(strings.TrimLeft(strings.Join(append(out, u.Added...), "\n"), "\n") + "\n")
	return u, nil
}

// setCases sets the Case of each result from a report. It returns an error unless the report
// contains a result for every case of the scenarios with these peers, no other results, and
// no case that was not run.
func setCases(scenarios []*Scenario, versions map[string]string, results []Result) error {
	runner := RunnerPeer()
	runner.Hello.Version = versions[RunnerName]
	var peers []*Peer
	for name, version := range versions {
		if name != RunnerName {
			peers = append(peers, &Peer{Name: name, Hello: contract.Hello{Version: version}})
		}
	}
	at := map[string]*Result{}
	for i := range results {
		at[results[i].Name] = &results[i]
	}
	plan := Plan(scenarios, peers, runner)
	for _, c := range plan {
		switch r := at[c.Name()]; {
		case r == nil || r.Verdict == NotRun:
			return fmt.Errorf("the report is not of a whole run: %s was not run", c.Name())
		case r.Hash != c.Scenario.Hash:
			return fmt.Errorf("the report is of a different version of %s", c.Scenario.Name)
		default:
			r.Case = c
		}
	}
	if len(plan) != len(results) {
		return fmt.Errorf("the report has %d cases, but the scenarios with its peers have %d", len(results), len(plan))
	}
	return nil
}

// cases returns a line for each case that failed as expected or is flaky, and reports whether
// the failure did not occur in another case. A report does not say which peers were checked
// for close-on-exec. For a cloexec expectation, cases therefore relies on the Gone field of
// the results.
func (e Expectation) cases(results []Result) (lines []string, gone bool) {
	_, text, _ := strings.Cut(e.String(), ": ")
	for _, r := range results {
		switch {
		case r.Verdict == Unsupported || !e.Selects(r.Case):
		case r.Verdict == Flaky, slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Key() == e.key() }):
			lines = append(lines, e.line(r.Name))
		case senderWrong(&r, e.Peer):
		case e.Check != CheckCloexec, slices.ContainsFunc(r.Gone, func(was string) bool { return strings.HasSuffix(was, ": "+text) }):
			gone = true
		}
	}
	return lines, gone
}

// line returns the expectation as a line of the file, with this pattern.
func (e Expectation) line(pattern string) string {
	return fmt.Sprintf("%s %s%s %s", pattern, e.key(), e.Version, e.Reason)
}
