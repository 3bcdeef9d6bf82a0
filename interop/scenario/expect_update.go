package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// A Run describes the run of a report.
type Run struct {
	Kernel       Kernel
	StrictKernel bool              // as in Expectations
	Versions     map[string]string // of the peers that took part, by name; "" if unknown
	Results      []Result
}

// An Update contains the new text of a file of expected failures after a complete run, and
// lists the changes.
type Update struct {
	Text     []byte   // of the new file
	Dropped  []string // expectations that did not fail
	Narrowed []string // blocks that replace the dropped ones, with the same reasons
	Added    []string // blocks for unexpected findings; their reasons begin with "?"
	Kept     []string // expectations about every kernel that did not fail on this one
	Flaky    []string // blocks that would accept flaky cases; Text does not contain them

	// KernelPasses contains expectations below a release heading that did not fail, although the heading applies to
	// the kernel. They stay, because the run was not strict.
	KernelPasses []string

	Heading Heading // above the lines in Added

	// Examples contains the name of a case in which the failure occurred, by the block in Narrowed or Added.
	Examples map[string]string
}

// UpdateExpectations rewrites a file of expected failures after a complete run. The argument given
// contains the expectations of all other files, which stay as they are.
//
// If the expected failure did not occur in all cases that a pattern selects, UpdateExpectations
// replaces the pattern with blocks that select only the cases in which it did occur. On a kernel other
// than Linux, it keeps patterns that apply to every kernel. Unless the run was strict, it keeps
// those below a release heading. It adds blocks for unexpected findings, below the heading [linux]
// or [gvisor]. They select no case in which the peer passed the check.
// Flaky cases do not change the file, and expectations of flaky failures stay.
func UpdateExpectations(given []Expectation, file string, text []byte, scenarios []*Scenario, run Run) (u Update, err error) {
	results := run.Results
	list, err := ParseExpectations(file, text)
	if err == nil {
		err = ValidateExpectations(slices.Concat(given, list), scenarios)
	}
	if err == nil {
		err = setCases(scenarios, run.Versions, results)
	}
	if err != nil {
		return u, err
	}
	isOff := func(e Expectation) bool { return !e.On(run.Kernel) }
	list = slices.DeleteFunc(list, isOff)
	all := append(slices.DeleteFunc(slices.Clone(given), isOff), list...)
	onLine := map[int][]Expectation{}
	for _, e := range list {
		onLine[e.Line] = append(onLine[e.Line], e)
	}
	u.Heading = Heading{Kind: run.Kernel.Kind}
	part := Heading{} // of the last line
	old, marked := strings.CutPrefix(string(text), byteOrderMark)
	r := rewriting{Update: &u, run: run}
	for i, l := range strings.Split(strings.TrimRight(old, "\r\n"), "\n") {
		if m := headingForm.FindStringSubmatch(strings.TrimSpace(l)); m != nil {
			if part, err = parseHeading(m[1]); err != nil {
				return u, err
			}
		}
		r.add(i+1, strings.TrimSuffix(l, "\r"), onLine[i+1])
	}
	r.endBlock()
	out := r.out
	u.addUnexpected(all, results)
	if part.Kind == "" && run.Kernel.Kind == KernelLinux {
		u.Heading = part // Linux is the reference for lines about every kernel
	}
	if len(u.Added) > 0 && part != u.Heading {
		out = append(out, "", u.Heading.String())
	}
	new := strings.TrimLeft(strings.Join(append(out, u.Added...), "\n"), "\n") + "\n"
	if first, _, _ := strings.Cut(old, "\n"); strings.HasSuffix(first, "\r") {
		new = strings.ReplaceAll(new, "\n", "\r\n")
	}
	if marked {
		new = byteOrderMark + new
	}
	u.Text = []byte(new)
	return u, nil
}

// A rewriting makes the new text of a file, line by line.
type rewriting struct {
	*Update
	run Run
	out []string

	// The block or line to which the last expectation belongs.
	first, end int // where out has its first line, and the place after its last pattern
	isBlock    bool
	kept       int        // the number of its patterns that stay
	stay       []string   // lines for what stays of other patterns
	narrowed   *proposals // instead of them; nil if every pattern stays
}

// add adds a line of the old text, unless it changes. The list has its expectations.
func (r *rewriting) add(number int, line string, list []Expectation) {
	below := len(list) > 0 && list[0].Head < number
	if text := strings.TrimSpace(line); !below && text != "" && !strings.HasPrefix(text, "#") {
		r.endBlock()
		r.first = len(r.out)
	}
	r.isBlock = r.isBlock || below
	if !r.changes(list) {
		r.out = append(r.out, line)
		if below {
			r.kept++
		}
	}
	if len(list) > 0 {
		r.end = len(r.out)
	}
}

// changes reports whether the line with these expectations is to be replaced, and stores what replaces it.
func (r *rewriting) changes(list []Expectation) (changes bool) {
	var stay []string
	for _, e := range list {
		must, never, gone := e.split(r.run.Results)
		switch {
		case !gone || e.Flaky():
		case e.Heading.Releases != "" && !r.run.StrictKernel:
			r.KernelPasses = append(r.KernelPasses, e.line())
		case e.Heading.Kind == "" && r.run.Kernel.Kind != KernelLinux:
			r.Kept = append(r.Kept, e.line())
		default:
			r.Dropped, changes = append(r.Dropped, e.line()), true
			if r.narrowed == nil {
				r.narrowed = newProposals("", e.Reason) // all expectations of a block have the same reason
			}
			r.narrowed.add(e.subject(), e.Version, cover(e.subject(), must, never), e.failures(r.run.Results))
			continue
		}
		stay = append(stay, e.line())
	}
	if changes {
		r.stay = append(r.stay, stay...)
	}
	return changes
}

// endBlock adds what replaces patterns of the block. If none of them stays, neither does its first line.
func (r *rewriting) endBlock() {
	if r.narrowed != nil {
		instead := r.addExamples(r.narrowed.blocks())
		r.Narrowed = append(r.Narrowed, instead...)
		r.out = slices.Insert(r.out, r.end, append(r.stay, instead...)...)
		if r.isBlock && r.kept == 0 {
			r.out = slices.Delete(r.out, r.first, r.first+1)
		}
	}
	r.isBlock, r.kept, r.stay, r.narrowed = false, 0, nil, nil
}

// addExamples adds the examples of the proposals to u.Examples, and returns their blocks.
func (u *Update) addExamples(list []proposal) (blocks []string) {
	if u.Examples == nil {
		u.Examples = map[string]string{}
	}
	for _, p := range list {
		blocks = append(blocks, p.block)
		if p.example != "" {
			u.Examples[p.block] = p.example
		}
	}
	return blocks
}

// failures returns the failures that the expectation covers.
func (e Expectation) failures(results []Result) (list []failure) {
	for _, r := range results {
		for _, f := range r.Findings {
			if f.Key() == e.key() && e.Selects(r.Case) {
				list = append(list, failure{f, &r})
			}
		}
	}
	return list
}

// addUnexpected sets u.Added and u.Flaky, given the expectations of all files.
func (u *Update) addUnexpected(all []Expectation, results []Result) {
	unexpected, flaky := map[subject][]failure{}, map[subject][]failure{}
	for _, r := range results {
		to := unexpected
		if r.Verdict == Flaky {
			to = flaky
			u.Flaky = append(u.Flaky, missing(all, r)...)
		}
		for _, f := range r.Findings {
			covers := func(e Expectation) bool { return e.key() == f.Key() && e.Selects(r.Case) }
			if !slices.ContainsFunc(all, covers) {
				s := subject{f.Check, f.Peer}
				to[s] = append(to[s], failure{f, &r})
			}
		}
	}
	u.Added = u.addExamples(propose(unfinishedMark+" ", unexpected, results))
	for _, p := range propose(flakyMark+" "+unfinishedMark+" ", flaky, results) {
		u.Flaky = append(u.Flaky, p.block)
	}
	slices.Sort(u.Flaky)
	u.Flaky = slices.Compact(u.Flaky)
}

// missing returns the expectations that a flaky case did not meet when it ran first, as lines
// about flaky failures.
func missing(all []Expectation, r Result) (lines []string) {
	r.Verdict = Fail
	for _, e := range all {
		if !e.Flaky() && e.Selects(r.Case) && e.subject().outcome(&r) == hasPassed {
			e.Reason = flakyMark + " " + e.Reason
			lines = append(lines, e.line())
		}
	}
	return lines
}

// propose returns blocks that expect these failures, and select no other case that shows the peer
// to pass the check or is flaky. The reasons begin with the mark.
func propose(mark string, failures map[subject][]failure, results []Result) []proposal {
	p := newProposals(mark, "")
	for s, list := range failures {
		var must, never []Case
		failed := map[string]bool{} // a case can have several findings of a check
		for _, f := range list {
			if !failed[f.Name] {
				failed[f.Name] = true
				must = append(must, f.Case)
			}
		}
		for _, r := range results {
			o := s.outcome(&r)
			if o == hasPassed || o == isFlaky && !failed[r.Name] {
				never = append(never, r.Case)
			}
		}
		p.add(s, "", cover(s, must, never), list)
	}
	return p.blocks()
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
			return fmt.Errorf("the report is not of a whole run, probably because of --run, --skip, --shard or --fail-fast: %s was not run", c.Name())
		case r.Hash != c.Scenario.Hash:
			return fmt.Errorf("the report is of a different version of %s", c.Scenario.Name)
		case slices.ContainsFunc(r.Findings, func(f Finding) bool {
			return f.Check == CheckCloexec && !slices.Contains(r.CloexecChecked, f.Peer)
		}):
			return fmt.Errorf("the report is from an older version of scm, and does not say where close-on-exec was checked: %s", c.Name())
		default:
			r.Case = c
		}
		for _, f := range at[c.Name()].Findings {
			if f.Peer != c.A.Name && f.Peer != c.B.Name {
				return fmt.Errorf("the report has a finding about %q, which does not take part in %s", f.Peer, c.Name())
			}
		}
	}
	if len(plan) != len(results) {
		return fmt.Errorf("the report has %d cases, but the scenarios with its peers have %d", len(results), len(plan))
	}
	return nil
}

// A subject is a check of a peer.
type subject struct {
	check Check
	peer  string
}

func (e Expectation) subject() subject { return subject{e.Check, e.Peer} }

// An outcome is what a case shows about a check of a peer.
type outcome int

const (
	unknown outcome = iota // nothing: the check was not made, or the other peer is at fault
	hasPassed
	hasFailed
	isFlaky
)

// outcome returns what the result shows about the check of the peer.
func (s subject) outcome(r *Result) outcome {
	e := Expectation{Pattern: anyCase, Check: s.check, Peer: s.peer}
	switch {
	case r.Verdict == Unsupported || !e.concerns(r.Case):
		return unknown
	case r.Verdict == Flaky:
		return isFlaky
	case slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Key() == e.key() }):
		return hasFailed
	case senderWrong(r, s.peer), s.check == CheckCloexec && !slices.Contains(r.CloexecChecked, s.peer):
		return unknown
	}
	return hasPassed
}

// anyCase matches every case.
var anyCase = Pattern{text: "**", alts: [][]string{{"**"}}}

// split returns the cases that a replacement for this expectation must select, because they
// failed as expected or are flaky, and those that it must not select. The latter include cases
// that failed but that it does not select. It reports whether the failure did not occur in
// a case that it selects.
func (e Expectation) split(results []Result) (must, never []Case, gone bool) {
	for _, r := range results {
		o := e.subject().outcome(&r)
		switch selects := e.Selects(r.Case); {
		case o == unknown:
		case selects && o != hasPassed:
			must = append(must, r.Case)
		default:
			never = append(never, r.Case)
			gone = gone || selects
		}
	}
	return must, never, gone
}
