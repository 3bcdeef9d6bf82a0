package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// An Expectation is a line of a file of expected failures: in the cases that
// the pattern selects, the peer fails the check, for the reason given.
type Expectation struct {
	Pattern Pattern
	Check   Check
	Peer    string
	Reason  string
	Line    int
}

func (e Expectation) String() string {
	return fmt.Sprintf("line %d: %s %s@%s", e.Line, e.Pattern, e.Check, e.Peer)
}

// ParseExpectations reads a file of expected failures. Each line is
//
//	PATTERN CHECK@PEER REASON
//
// with {a,b} for either in the first two; the reason, a sentence or a link, is
// compulsory. "#" begins a comment.
func ParseExpectations(text []byte) ([]Expectation, error) {
	var list []Expectation
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		l := strings.TrimSpace(lines.Text())
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		more, err := parseExpectation(strings.Fields(l))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, e := range more {
			e.Line = number
			list = append(list, e)
		}
	}
	return list, lines.Err()
}

// parseExpectation makes one of each CHECK@PEER that braces stand for.
func parseExpectation(words []string) (list []Expectation, err error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("PATTERN CHECK@PEER REASON, and the reason is compulsory")
	}
	e := Expectation{Reason: strings.Join(words[2:], " ")}
	if strings.HasPrefix(e.Reason, wanting) {
		return nil, fmt.Errorf("a reason has to be given in the place of %q", e.Reason)
	}
	if e.Pattern, err = ParsePattern(words[0]); err != nil {
		return nil, err
	}
	keys, err := expandBraces(words[1])
	if err != nil {
		return nil, fmt.Errorf("%q: %w", words[1], err)
	}
	for _, key := range keys {
		check, peer, ok := strings.Cut(key, "@")
		e.Check, e.Peer = Check(check), peer
		if !ok || peer == "" || !slices.Contains(Checks, e.Check) {
			return nil, fmt.Errorf("%q is not CHECK@PEER; checks are %v", key, Checks)
		}
		list = append(list, e)
	}
	return list, nil
}

// Expectations are expected failures, held against a plan.
type Expectations struct {
	List  []Expectation
	Aside []Expectation // those whose peers were not built
}

// Expect holds a list of expected failures against the whole plan. One that
// names a peer which was not built is set aside; one that applies to no case is
// an error.
func Expect(list []Expectation, scenarios []*Scenario, peers []*Peer, missing []*Peer, runner *Peer) (*Expectations, error) {
	x := &Expectations{}
	here := Plan(scenarios, peers, runner)
	var all []Case
	for _, e := range list {
		if slices.ContainsFunc(here, e.Selects) {
			x.List = append(x.List, e)
			continue
		}
		if all == nil {
			all = Plan(scenarios, append(slices.Clone(peers), missing...), runner)
		}
		if !slices.ContainsFunc(all, e.Selects) {
			return nil, fmt.Errorf("%s applies to no case", e)
		}
		x.Aside = append(x.Aside, e)
	}
	return x, nil
}

// Selects tells whether the expectation is about the case: its pattern matches,
// its peer plays, and the check can be made there at all.
func (e Expectation) Selects(c Case) bool {
	for _, role := range []Role{RoleA, RoleB} {
		if c.peer(role).Name != e.Peer {
			continue
		}
		if e.Check != CheckCloexec || c.Scenario.receives(role) {
			return e.Pattern.Match(c.Name())
		}
	}
	return false
}

// For lists the expectations that are about the case.
func (x *Expectations) For(c Case) []Expectation {
	var list []Expectation
	for _, e := range x.List {
		if e.Selects(c) {
			list = append(list, e)
		}
	}
	return list
}

// hangs tells whether it is expected that the peer does not answer, or, of the
// runner, that the peer opposite gets something wrong, for which it may wait.
func (x *Expectations) hangs(c Case, role Role) bool {
	name := c.peer(role).Name
	return slices.ContainsFunc(x.For(c), func(e Expectation) bool {
		return e.Check == CheckHang && e.Peer == name || name == RunnerName && e.Check == CheckAnswer
	})
}

// senderWrong tells whether the sender is to blame for something, so that
// nothing can be said of the receiver.
func senderWrong(r *Result, peer string) bool {
	return peer != r.Case.A.Name && slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Peer == r.Case.A.Name && f.Check != CheckCloexec
	})
}

// judge turns what was found into the verdict that the expectations make of it.
func (x *Expectations) judge(r *Result) {
	if r.Verdict != Pass && r.Verdict != Fail {
		return
	}
	found := map[string]bool{}
	for _, f := range r.Findings {
		found[f.key()] = true
	}
	covered := map[string]bool{}
	var gone []string
	for _, e := range x.For(r.Case) {
		key := string(e.Check) + "@" + e.Peer
		covered[key] = true
		if found[key] {
			r.Reasons = append(r.Reasons, e.Reason)
		} else if (e.Check != CheckCloexec || r.judged[e.Peer]) && !senderWrong(r, e.Peer) {
			gone = append(gone, e.String())
		}
	}
	unexpected := slices.ContainsFunc(r.Findings, func(f Finding) bool { return !covered[f.key()] })
	r.Gone = gone
	switch {
	case unexpected:
		r.Verdict = Fail
	case len(gone) > 0:
		r.Verdict = Fixed
		r.Why = "expected to fail, and does not: " + strings.Join(gone, "; ")
	case len(r.Findings) > 0:
		r.Verdict = Expected
	}
}
