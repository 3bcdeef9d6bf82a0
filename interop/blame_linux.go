package interop

import "slices"

// doubtful tells whether the one opposite may be to blame: it is about what came, and
// not about what the peer did with it; or the peer was killed; or the kernel did not
// tell which of the two it is.
func (f Finding) doubtful() bool {
	if f.own {
		return false
	}
	return f.Check == CheckFile || f.Check == CheckAnswer || f.Check == CheckHang || f.Check == CheckCrash || f.either
}

// refer plays the scenario with each of the peers and the runner, if that was not
// done yet, and somebody may be to blame for what the other did. It has no result.
func (r *run) refer(res *Result) {
	c := res.Case
	if r.options.Runner == nil || c.Scenario.Play != PlayPair || c.A == c.B || c.A.Name == RunnerName || c.B.Name == RunnerName ||
		!slices.ContainsFunc(res.Findings, Finding.doubtful) {
		return
	}
	for _, role := range []Role{RoleA, RoleB} {
		r.mu.Lock()
		_, known := r.standings[c.standing(role)]
		r.mu.Unlock()
		if known {
			continue
		}
		next := c
		if role == RoleA {
			next.B = r.options.Runner
		} else {
			next.A = r.options.Runner
		}
		playAll([]Case{next}, r.rules, func(reference Result) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.blame(&reference)
			r.learn(&reference)
		})
	}
}

// blame gives what one peer was found to do to the other, if that one gets the same
// scenario wrong with the runner too. The runner itself is never wrong.
func (r *run) blame(res *Result) {
	c := res.Case
	if c.A == c.B {
		return
	}
	for i := range res.Findings {
		f := &res.Findings[i]
		switch {
		case f.Peer == RunnerName && (f.doubtful() || f.Check == CheckLeak):
			f.Peer = c.opposite(RunnerName).Name
		case f.Peer == c.B.Name && f.doubtful() && r.opposite(c, RoleB, *f):
			f.Peer = c.A.Name
		case f.Peer == c.A.Name && f.doubtful() && r.opposite(c, RoleA, *f):
			f.Peer = c.B.Name
		default:
			continue
		}
		switch f.Check {
		case CheckHang:
			f.Check, f.Text = CheckAnswer, "what it said that it sent did not come"
		case CheckCrash:
			f.Text = "the one opposite did not survive: " + f.Text
		}
	}
}

// opposite tells whether what was found at the one in this role is to blame on the
// other. A receiver's message is the sender's if the sender gets it wrong with the
// runner; anything else only if the one at whom it was found gets it right there.
func (r *run) opposite(c Case, role Role, f Finding) bool {
	other := RoleA
	if role == RoleA {
		other = RoleB
	}
	if c.peer(other).Name == RunnerName {
		return false
	}
	theirs := r.standings[c.standing(other)]
	message := slices.Contains(theirs, CheckFile) || slices.Contains(theirs, CheckAnswer)
	if role == RoleB && f.Check != CheckCrash && !f.either {
		return message
	}
	own, known := r.standings[c.standing(role)]
	if !known || len(own) > 0 {
		return false
	}
	switch {
	case f.Check == CheckCrash:
		return slices.Contains(theirs, CheckCrash)
	case f.either:
		return slices.Contains(theirs, f.Check)
	}
	return message
}

// learn keeps what a peer gets wrong with the runner.
func (r *run) learn(res *Result) {
	c := res.Case
	for _, role := range []Role{RoleA, RoleB} {
		if p := c.peer(role); c.opposite(p.Name).Name != RunnerName {
			continue
		}
		checks := []Check{}
		for _, f := range res.Findings {
			if f.Peer == c.peer(role).Name {
				checks = append(checks, f.Check)
			}
		}
		r.standings[c.standing(role)] = checks
	}
}
