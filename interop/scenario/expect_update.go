package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// wanting stands in the place of a reason that somebody is still to give.
const wanting = "?"

// An Update is what a whole run makes of a file of expected failures.
type Update struct {
	Text    []byte   // of the new file
	Dropped []string // what does not come true any more
	Added   []string // what was not expected; the reasons are still to be given
	Kept    []string // what did not come true on this kernel, and is about every kernel
}

// UpdateExpectations rewrites a file of expected failures after a whole run on a kernel: a line
// that did not come true in each of its cases is dropped for a line for each in which it did.
// On another kernel than Linux, lines about every kernel stay. A flaky case changes nothing.
// versions has the peers that could play, and the version of each that gave one.
func UpdateExpectations(text []byte, kernel string, versions map[string]string, scenarios []*Scenario, results []Result) (u Update, err error) {
	list, err := ParseExpectations(text)
	if err == nil {
		err = CheckExpectations(list, scenarios)
	}
	if err != nil {
		return u, fmt.Errorf("expected failures: %w", err)
	}
	if err := giveCases(scenarios, versions, results); err != nil {
		return u, err
	}
	list = slices.DeleteFunc(list, func(e Expectation) bool { return !e.On(kernel) })
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
			case !gone:
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
			added := Expectation{Check: f.Check, Peer: f.Peer, Reason: wanting}.line(r.Name)
			if r.Verdict != Flaky && !slices.ContainsFunc(list, covers) && !slices.Contains(u.Added, added) {
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

// giveCases gives results that were read from a report their cases again. It returns an error
// unless they are all those of the scenarios with these peers, and each was run.
func giveCases(scenarios []*Scenario, versions map[string]string, results []Result) error {
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
			return fmt.Errorf("the report is not of a whole run: %s was not played", c.Name())
		case r.Hash != c.Scenario.Hash:
			return fmt.Errorf("the report is of another text of %s", c.Scenario.Name)
		default:
			r.Case = c
		}
	}
	if len(plan) != len(results) {
		return fmt.Errorf("the report has %d cases, and the scenarios with its peers %d", len(results), len(plan))
	}
	return nil
}

// cases returns lines for the cases in which it came true, or which are flaky, and whether it
// did not in others. A report does not have at whom close-on-exec was looked at: a line about
// that is gone where the run found so of it.
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

// line is how it is written.
func (e Expectation) line(pattern string) string {
	return fmt.Sprintf("%s %s%s %s", pattern, e.key(), e.Version, e.Reason)
}
