package scenario

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// wanting stands in the place of a reason that somebody is still to give.
const wanting = "?"

// An Update is what a run makes of a file of expected failures.
type Update struct {
	Text    []byte   // of the new file
	Dropped []string // what does not come true any more
	Added   []string // what was not expected; the reasons are still to be given
	Kept    []string // what did not come true, and stays
	Left    []string // CASE CHECK@PEER: what was not expected, and no line can be about
}

// UpdateExpectations rewrites a file of expected failures after a run on a kernel:
// lines that came true stay as they are, what did not come true is dropped, or
// narrowed to the cases in which it did, and what was not expected is added, without
// a reason. Lines about other kernels stay, and so do those of which a case was not
// played, or is flaky: it may be the one in which they come true. A flaky case adds
// no line. A line about no case is an error, as it is to a run.
//
// Lines without a kernel are Linux's to change: on another, what did not come true of
// one is Linux's alone from then on.
// versions has the peers that could play, and the version of each that gave one.
func UpdateExpectations(text []byte, kernel string, versions map[string]string, scenarios []*Scenario, results []Result) (u Update, err error) {
	end := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		text, end = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), "\r\n"
	}
	list, err := ParseExpectations(text)
	if err == nil {
		err = CheckExpectations(list, scenarios)
	}
	if err != nil {
		return u, fmt.Errorf("expected failures: %w", err)
	}
	if !slices.Contains(KernelKinds, kernel) {
		return u, noKernel(kernel)
	}
	if err := CheckResults(results); err != nil {
		return u, err
	}
	list = slices.DeleteFunc(list, func(e Expectation) bool { return !e.On(kernel) })
	played := casesOf(scenarios, versions, results)
	var lines []string
	if len(text) > 0 {
		lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	add := map[int][]string{}      // behind the line
	below := map[string][]string{} // the heading
	gone := map[int][]Expectation{}
	complete := completeFor(scenarios, versions, results)
	for _, e := range list {
		switch {
		case !e.gone(played):
		case complete(e):
			gone[e.Line] = append(gone[e.Line], e)
		default:
			u.Kept = append(u.Kept, e.line(e.Pattern.text))
		}
	}
	for number, some := range gone {
		for _, e := range list {
			if e.Line != number {
				continue
			}
			if !slices.ContainsFunc(some, func(g Expectation) bool { return g.key() == e.key() }) {
				add[number] = append(add[number], e.line(e.Pattern.text))
				continue
			}
			u.Dropped = append(u.Dropped, e.line(e.Pattern.text))
			stays, _ := cover(played, e.key(), func(r Result) bool { return e.Selects(r.Case) })
			if e.Kernel == "" && kernel != KernelLinux {
				below[KernelLinux] = append(below[KernelLinux], e.line(e.Pattern.text))
				for _, p := range stays {
					below[kernel] = append(below[kernel], e.line(p))
				}
				continue
			}
			for _, p := range stays {
				add[number] = append(add[number], e.line(p))
			}
		}
	}

	covered := func(r Result, f Finding) bool {
		return slices.ContainsFunc(list, func(e Expectation) bool { return e.key() == f.Key() && e.Selects(r.Case) })
	}
	var keys []string
	for _, r := range played {
		for _, f := range r.Findings {
			if !covered(r, f) && !slices.Contains(keys, f.Key()) {
				keys = append(keys, f.Key())
			}
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		check, peer, _ := strings.Cut(key, "@")
		e := Expectation{Check: Check(check), Peer: peer, Reason: wanting}
		patterns, left := cover(played, key, func(r Result) bool { return !covered(r, Finding{Check: e.Check, Peer: peer}) })
		for _, p := range patterns {
			u.Added = append(u.Added, e.line(p))
		}
		for _, r := range left {
			u.Left = append(u.Left, r.Name+" "+key)
		}
	}

	for _, r := range results {
		if r.Verdict == Flaky || slices.ContainsFunc(scenarios, func(s *Scenario) bool { return strings.HasPrefix(r.Name, s.Name+"/") }) {
			continue
		}
		for _, f := range r.Findings {
			if left := r.Name + " " + f.Key(); !slices.Contains(u.Left, left) {
				u.Left = append(u.Left, left)
			}
		}
	}

	if kernel == KernelLinux {
		kernel = "" // before all headings
	}
	below[kernel] = append(below[kernel], u.Added...)
	var more []string // with headings of their own
	for _, name := range slices.Sorted(maps.Keys(below)) {
		last, ok := lastLine(lines, name)
		if ok {
			add[last] = append(add[last], below[name]...)
		} else if len(below[name]) > 0 {
			more = slices.Concat(more, []string{"", heading(name)}, below[name])
		}
	}

	out := slices.Clone(add[0])
	for i, l := range lines {
		if gone[i+1] == nil {
			out = append(out, l)
		}
		out = append(out, add[i+1]...)
	}
	u.Text = []byte(strings.Join(append(out, more...), end) + end)
	slices.Sort(u.Dropped)
	return u, nil
}

// lastLine is the number of the last line below a heading, or, for "", before all of
// them. Blank lines at its end do not count.
func lastLine(lines []string, kernel string) (last int, ok bool) {
	at := ""
	ok = kernel == ""
	for i, l := range lines {
		if name, is := parseHeading(l); is {
			at = name
			ok = ok || at == kernel
		}
		if at == kernel && strings.TrimSpace(l) != "" {
			last = i + 1
		}
	}
	return last, ok
}

// completeFor returns what tells whether a run says all there is to say of an
// expectation: each case that it selects was played, and none of them is flaky. An
// unsupported case was played if another case of its scenario was: no run with these peers
// plays it. If none was, the system lacks something, as rights.
func completeFor(scenarios []*Scenario, versions map[string]string, results []Result) func(Expectation) bool {
	verdicts := map[string]Verdict{}
	played := map[string]bool{} // by the scenario's name
	for _, r := range results {
		verdicts[r.Name] = r.Verdict
		if r.Verdict != Unsupported && r.Verdict != NotRun {
			part := strings.Split(r.Name, "/")
			played[part[0]+"/"+part[1]] = true
		}
	}
	runner := RunnerPeer()
	runner.Hello.Version = versions[RunnerName]
	peers := map[string]*Peer{}
	for name, version := range versions {
		if name != RunnerName {
			peers[name] = &Peer{Name: name, Hello: contract.Hello{Version: version}}
		}
	}
	return func(e Expectation) bool {
		open := func(c Case) bool {
			if !e.Selects(c) {
				return false
			}
			verdict := verdicts[c.Name()]
			return slices.Contains([]Verdict{"", NotRun, Flaky}, verdict) || verdict == Unsupported && !played[c.Scenario.Name]
		}
		// The plan of its peer with one other at a time: the whole plan is long.
		two := []*Peer{}
		if p := peers[e.Peer]; p != nil {
			two = append(two, p)
		}
		if slices.ContainsFunc(Plan(scenarios, two, runner), open) {
			return false
		}
		for name, p := range peers {
			if name != e.Peer && slices.ContainsFunc(Plan(scenarios, append(two[:len(two):len(two)], p), runner), open) {
				return false
			}
		}
		return true
	}
}

// gone tells whether it did not come true in one of the cases that were played. A flaky
// case says nothing of that. The run may have had another file of expected failures, or none: its findings decide.
//
// A report does not have at whom close-on-exec was looked at. Such a line is gone if
// the run found so of the same line, or if it came true nowhere, and could have.
func (e Expectation) gone(played []Result) bool {
	some, failed := false, false
	for _, r := range played {
		switch {
		case r.Verdict == Flaky || !e.Selects(r.Case) || senderWrong(&r, e.Peer):
		case slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Key() == e.key() }):
			failed = true
		case e.Check != CheckCloexec, slices.ContainsFunc(r.Gone, e.named):
			return true
		default:
			some = some || len(r.Findings) == 0
		}
	}
	return some && !failed
}

// named tells whether a report names this expectation, whatever its line was.
func (e Expectation) named(text string) bool {
	_, was, _ := strings.Cut(text, ": ")
	_, is, _ := strings.Cut(e.String(), ": ")
	return was == is
}

func (e Expectation) key() string { return string(e.Check) + "@" + e.Peer }

// line is how it is written.
func (e Expectation) line(pattern string) string {
	return fmt.Sprintf("%s %s%s %s", pattern, e.key(), e.Version, e.Reason)
}

// casesOf gives results that were read from a report their cases again. Those
// without a verdict are left out, and so are the findings of a flaky case.
func casesOf(scenarios []*Scenario, versions map[string]string, results []Result) (played []Result) {
	peers := map[string]*Peer{}
	peer := func(name string) *Peer {
		if peers[name] == nil {
			peers[name] = &Peer{Name: name, Hello: contract.Hello{Version: versions[name]}}
		}
		return peers[name]
	}
	for _, r := range results {
		part := strings.Split(r.Name, "/")
		i := slices.IndexFunc(scenarios, func(s *Scenario) bool { return strings.HasPrefix(r.Name, s.Name+"/") })
		if i < 0 || len(part) != 5 || r.Verdict == Unsupported || r.Verdict == NotRun {
			continue
		}
		if r.Verdict == Flaky {
			r.Findings = nil
		}
		r.Case = Case{Scenario: scenarios[i], Type: part[2], A: peer(part[3]), B: peer(part[4])}
		played = append(played, r)
	}
	return played
}

// cover finds patterns for the cases with a finding, the widest that select no
// case that was played without it. It also returns the cases that no pattern selects:
// a scenario of today has no such finding.
func cover(played []Result, key string, of func(Result) bool) (patterns []string, without []Result) {
	check, peer, _ := strings.Cut(key, "@")
	has := func(r Result) bool {
		return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Key() == key })
	}
	left := slices.DeleteFunc(slices.Clone(played), func(r Result) bool { return !has(r) || !of(r) })
	for len(left) > 0 {
		first := left[0]
		left = left[1:]
		without = append(without, first)
		for _, text := range candidates(first, peer) {
			p, err := ParsePattern(text)
			if err != nil {
				continue
			}
			e := Expectation{Pattern: p, Check: Check(check), Peer: peer}
			if !e.Selects(first.Case) || slices.ContainsFunc(played, func(r Result) bool { return e.Selects(r.Case) && (!has(r) || !of(r)) }) {
				continue
			}
			patterns = append(patterns, text)
			without = without[:len(without)-1]
			left = slices.DeleteFunc(left, func(r Result) bool { return e.Selects(r.Case) })
			break
		}
	}
	slices.Sort(patterns)
	return patterns, without
}

// candidates are patterns that select a case, the widest first, the case itself
// last.
func candidates(r Result, peer string) []string {
	c := r.Case
	s, t := c.Scenario.Name, c.Type
	list := []string{s}
	if c.B.Name == peer {
		list = append(list, s+"/*/*/"+peer)
	}
	if c.A.Name == peer {
		list = append(list, s+"/*/"+peer)
	}
	list = append(list, s+"/"+t)
	if c.B.Name == peer {
		list = append(list, s+"/"+t+"/*/"+peer)
	}
	if c.A.Name == peer {
		list = append(list, s+"/"+t+"/"+peer)
	}
	return append(list, s+"/*/"+c.A.Name+"/"+c.B.Name, c.Name())
}
