package interop

import (
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// opposite is the other one of the roles A and B.
func opposite(role scenario.Role) scenario.Role { return scenario.RoleA + scenario.RoleB - role }

// doubtful tells whether the one opposite may be to blame: it is about what was received, and
// not about what the peer did with it; or the peer was killed; or the kernel did not tell
// which of the two it is.
func doubtful(f scenario.Finding) bool {
	checks := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer, scenario.CheckHang, scenario.CheckCrash}
	return !f.Own && (f.Ambiguous || slices.Contains(checks, f.Check))
}

// playWithRunner plays the scenario with each of the peers and the runner, if that was not
// done yet, and somebody may be to blame for what the other did. It has no result.
func (r *run) playWithRunner(res *scenario.Result) {
	c := res.Case
	if r.options.Runner == nil || c.Scenario.Play != scenario.PlayPair || c.A == c.B ||
		c.A.Name == scenario.RunnerName || c.B.Name == scenario.RunnerName || !slices.ContainsFunc(res.Findings, doubtful) {
		return
	}
	for _, role := range roles {
		r.mu.Lock()
		_, known := r.alone[c.AloneName(role)]
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
		playAll([]scenario.Case{next}, r.shared, func(alone scenario.Result) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.assignBlame(&alone)
		})
	}
}

// assignBlame gives each finding to who is to blame for it, and keeps what a peer gets wrong
// with the runner.
func (r *run) assignBlame(res *scenario.Result) {
	c := res.Case
	var findings []scenario.Finding
	for _, f := range res.Findings {
		role := scenario.RoleA
		if f.Peer == c.B.Name {
			role = scenario.RoleB
		}
		for _, guilty := range r.guilty(c, role, f) {
			f := f
			if f.Peer = c.Peer(guilty).Name; guilty != role {
				switch f.Check {
				case scenario.CheckHang:
					f.Check, f.Text = scenario.CheckAnswer, causeOfHang(c.Scenario, role, f.Line)
				case scenario.CheckCrash:
					f.Text = "the one opposite did not survive: " + f.Text
				}
			}
			findings = append(findings, f)
		}
	}
	res.Findings = findings
	for _, role := range roles {
		if c.A == c.B || c.Peer(opposite(role)).Name != scenario.RunnerName || res.Verdict != scenario.Pass && res.Verdict != scenario.Fail {
			continue // it shows nothing of a peer alone
		}
		name := c.AloneName(role)
		r.alone[name] = nil
		for _, f := range findings {
			if f.Peer == c.Peer(role).Name {
				r.alone[name] = append(r.alone[name], f.Check)
			}
			if f.Check == scenario.CheckLeak && f.Ambiguous {
				r.holders.Store(f.Peer, true)
			}
		}
	}
}

// guilty returns who is to blame for what the peer in this role shows: who fails the same
// scenario alone with the runner, which is never wrong, or else whoever shows it. If neither
// fails alone, it is a failure of both.
func (r *run) guilty(c scenario.Case, role scenario.Role, f scenario.Finding) []scenario.Role {
	other := opposite(role)
	switch {
	case c.A == c.B, c.Peer(other).Name == scenario.RunnerName:
		return []scenario.Role{role}
	case c.Peer(role).Name == scenario.RunnerName && (doubtful(f) || f.Check == scenario.CheckLeak):
		return []scenario.Role{other}
	case !doubtful(f):
		return []scenario.Role{role}
	}
	mine, theirs := r.alone[c.AloneName(role)], r.alone[c.AloneName(other)]
	// Close-on-exec does not change what the other peer receives.
	fails := slices.ContainsFunc(mine, func(check scenario.Check) bool { return check != scenario.CheckCloexec })
	message := role == scenario.RoleB // which is the sender's, whatever else the receiver gets wrong
	blamed := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer}
	if f.Ambiguous || f.Check == scenario.CheckCrash {
		message, blamed = false, []scenario.Check{f.Check}
	}
	theirsFails := slices.ContainsFunc(theirs, func(check scenario.Check) bool { return slices.Contains(blamed, check) })
	if f.Ambiguous {
		fails = slices.Contains(mine, f.Check)
	}
	if f.Ambiguous && f.Check == scenario.CheckLeak { // which depends on what it was started with
		_, mine := r.holders.Load(c.Peer(role).Name)
		_, theirs := r.holders.Load(c.Peer(other).Name)
		fails, theirsFails = fails || mine, theirsFails || theirs
	}
	switch {
	case theirsFails && (message || !fails):
		return []scenario.Role{other}
	case fails || r.options.Runner == nil: // nobody was played alone
		return []scenario.Role{role}
	}
	return []scenario.Role{role, other}
}

// causeOfHang is what a peer did not do, if the one opposite, in this role, waits in vain at
// this line: a send waits for room, all else for what is to come.
func causeOfHang(s *scenario.Scenario, role scenario.Role, line int) string {
	verb := ""
	for _, st := range s.Steps {
		if st.Role == role && st.Kind == scenario.StepSay && st.Line <= line {
			verb = st.Command.Verb
		}
	}
	if strings.HasPrefix(verb, "send") || verb == "write" {
		return "it did not receive what was sent: the sender waits for room"
	}
	return "what it said that it sent did not come"
}
