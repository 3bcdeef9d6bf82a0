package interop

import (
	"slices"

	"github.com/scm-rights/scm/interop/scenario"
)

// doubtful tells whether the one opposite may be to blame: it is about what came, and
// not about what the peer did with it; or the peer was killed; or the kernel did not
// tell which of the two it is.
func doubtful(f scenario.Finding) bool {
	if f.Own {
		return false
	}
	return f.Check == scenario.CheckFile || f.Check == scenario.CheckAnswer || f.Check == scenario.CheckHang || f.Check == scenario.CheckCrash || f.Ambiguous
}

// refer plays the scenario with each of the peers and the runner, if that was not
// done yet, and somebody may be to blame for what the other did. It has no result.
func (r *run) refer(res *scenario.Result) {
	c := res.Case
	if r.options.Runner == nil || c.Scenario.Play != scenario.PlayPair || c.A == c.B || c.A.Name == scenario.RunnerName || c.B.Name == scenario.RunnerName ||
		!slices.ContainsFunc(res.Findings, doubtful) {
		return
	}
	for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
		r.mu.Lock()
		_, known := r.standings[c.Standing(role)]
		r.mu.Unlock()
		if known {
			continue
		}
		next := c
		if role == scenario.RoleA {
			next.B = r.options.Runner
		} else {
			next.A = r.options.Runner
		}
		playAll([]scenario.Case{next}, r.shared, func(reference scenario.Result) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.attribute(&reference)
			r.learn(&reference)
		})
	}
}

// attribute gives what one peer was found to do to the other, if that one gets the same
// scenario wrong with the runner too. The runner itself is never wrong.
func (r *run) attribute(res *scenario.Result) {
	c := res.Case
	if c.A == c.B {
		return
	}
	for i := range res.Findings {
		f := &res.Findings[i]
		switch {
		case f.Peer == scenario.RunnerName && (doubtful(*f) || f.Check == scenario.CheckLeak):
			f.Peer = c.Opposite(scenario.RunnerName).Name
		case f.Peer == c.B.Name && doubtful(*f) && r.causedByOther(c, scenario.RoleB, *f):
			f.Peer = c.A.Name
		case f.Peer == c.A.Name && doubtful(*f) && r.causedByOther(c, scenario.RoleA, *f):
			f.Peer = c.B.Name
		default:
			continue
		}
		switch f.Check {
		case scenario.CheckHang:
			f.Check, f.Text = scenario.CheckAnswer, "what it said that it sent did not come"
		case scenario.CheckCrash:
			f.Text = "the one opposite did not survive: " + f.Text
		}
	}
}

// opposite tells whether what was found at the one in this role is to blame on the
// other. A receiver's message is the sender's if the sender gets it wrong with the
// runner; anything else only if the one at whom it was found gets it right there.
func (r *run) causedByOther(c scenario.Case, role scenario.Role, f scenario.Finding) bool {
	other := scenario.RoleA
	if role == scenario.RoleA {
		other = scenario.RoleB
	}
	if c.Peer(other).Name == scenario.RunnerName {
		return false
	}
	theirs := r.standings[c.Standing(other)]
	message := slices.Contains(theirs, scenario.CheckFile) || slices.Contains(theirs, scenario.CheckAnswer)
	if role == scenario.RoleB && f.Check != scenario.CheckCrash && !f.Ambiguous {
		return message
	}
	own, known := r.standings[c.Standing(role)]
	if !known || len(own) > 0 {
		return false
	}
	switch {
	case f.Check == scenario.CheckCrash:
		return slices.Contains(theirs, scenario.CheckCrash)
	case f.Ambiguous:
		return slices.Contains(theirs, f.Check)
	}
	return message
}

// learn keeps what a peer gets wrong with the runner.
func (r *run) learn(res *scenario.Result) {
	c := res.Case
	for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
		if p := c.Peer(role); c.Opposite(p.Name).Name != scenario.RunnerName {
			continue
		}
		checks := []scenario.Check{}
		for _, f := range res.Findings {
			if f.Peer == c.Peer(role).Name {
				checks = append(checks, f.Check)
			}
		}
		r.standings[c.Standing(role)] = checks
	}
}
