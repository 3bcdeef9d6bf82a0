package interop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// faultsAlone is what a peer gets wrong in a scenario that it plays with the runner.
type faultsAlone struct {
	wrong   []scenario.Check // what it got wrong
	unknown string           // why nobody knows that, or ""
}

// doubtful tells whether the one opposite may be to blame: it is about what came, and
// not about what the peer did with it; or the peer was killed; or the kernel did not
// tell which of the two it is.
func doubtful(f scenario.Finding) bool {
	if f.Own {
		return false
	}
	return f.Check == scenario.CheckFile || f.Check == scenario.CheckAnswer || f.Check == scenario.CheckHang || f.Check == scenario.CheckCrash || f.Ambiguous
}

// playWithRunner plays the scenario with each of the peers and the runner, if that was not
// done yet, and somebody may be to blame for what the other did. It has no result.
func (r *run) playWithRunner(res *scenario.Result) {
	c := res.Case
	if r.options.Runner == nil || c.Scenario.Play != scenario.PlayPair || c.A == c.B || c.A.Name == scenario.RunnerName || c.B.Name == scenario.RunnerName ||
		!slices.ContainsFunc(res.Findings, doubtful) {
		return
	}
	for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
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
		unknown := "the run was cut short"
		playAll([]scenario.Case{next}, r.shared, func(reference scenario.Result) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.assignBlame(&reference)
			r.learn(&reference)
			unknown = fmt.Sprintf("%s: %s", reference.Verdict, reference.Why)
		})
		r.mu.Lock()
		if _, known := r.alone[c.AloneName(role)]; !known {
			r.alone[c.AloneName(role)] = faultsAlone{unknown: fmt.Sprintf("%s with the runner: %s", c.Peer(role).Name, unknown)}
		}
		r.mu.Unlock()
	}
}

// assignBlame moves a finding at one peer to the other peer, if that one gets the same
// scenario wrong with the runner too. The runner itself is never wrong. Where nobody knows
// what a peer does with the runner, and it matters, the case has no verdict.
func (r *run) assignBlame(res *scenario.Result) {
	c := res.Case
	if c.A == c.B || c.A.Name == scenario.RunnerName || c.B.Name == scenario.RunnerName {
		defer func() { r.holders.learn(res.Findings) }()
	}
	if c.A == c.B {
		return
	}
	for i := range res.Findings {
		f := &res.Findings[i]
		role := scenario.RoleA
		if f.Peer == c.B.Name {
			role = scenario.RoleB
		}
		theirs, unknown := false, ""
		switch {
		case !doubtful(*f) && !(f.Peer == scenario.RunnerName && f.Check == scenario.CheckLeak):
			continue
		case f.Peer == scenario.RunnerName:
			theirs = true
		default:
			theirs, unknown = r.causedByOther(c, role, *f)
		}
		if unknown != "" {
			res.Verdict, res.Why = scenario.NotRun, fmt.Sprintf("nobody can tell whose doing it is: %s\n%s", f.Located(), unknown)
			res.Findings = nil
			return
		}
		if !theirs && r.neither(c, *f) {
			own, opposite := r.holders.known(f.Peer), r.holders.known(c.Opposite(f.Peer).Name)
			if theirs = f.Check == scenario.CheckLeak && opposite && !own; !theirs {
				f.Text += "; neither does so with the runner: it may be the other one's doing"
			}
		}
		if !theirs {
			continue
		}
		f.Peer = c.Opposite(f.Peer).Name
		switch f.Check {
		case scenario.CheckHang:
			f.Check, f.Text = scenario.CheckAnswer, causeOfHang(c.Scenario, role, f.Line)
		case scenario.CheckCrash:
			f.Text = "the one opposite did not survive: " + f.Text
		}
	}
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

// causedByOther tells whether what was found at the one in this role is to blame on the
// other. A receiver's message is the sender's if the sender gets it wrong with the
// runner; anything else only if the one at whom it was found gets it right there. If that
// depends on what nobody knows, it returns why.
func (r *run) causedByOther(c scenario.Case, role scenario.Role, f scenario.Finding) (theirs bool, unknown string) {
	other := scenario.RoleA + scenario.RoleB - role
	if c.Peer(other).Name == scenario.RunnerName {
		return false, ""
	}
	own, played := r.alone[c.AloneName(role)]
	opposite := r.alone[c.AloneName(other)]
	blamed := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer}
	message := role == scenario.RoleB // what it says is the sender's, whatever else it gets wrong
	wrong := own.anything()
	switch {
	case f.Check == scenario.CheckCrash:
		message, blamed = false, []scenario.Check{f.Check}
	case f.Ambiguous:
		message, blamed = false, []scenario.Check{f.Check}
		wrong = own.gets(f.Check)
	}
	switch {
	case wrong && !message, opposite.unknown != "" && own.gets(f.Check):
		return false, ""
	case opposite.unknown != "":
		return false, opposite.unknown
	case !slices.ContainsFunc(blamed, opposite.gets):
		return false, ""
	}
	if message {
		return true, ""
	}
	return played && own.unknown == "", own.unknown
}

// gets tells whether a peer is known to get this wrong with the runner.
func (s faultsAlone) gets(check scenario.Check) bool { return slices.Contains(s.wrong, check) }

// anything reports whether a peer is known to get anything but close-on-exec wrong with the
// runner. Close-on-exec does not change what the other peer receives.
func (s faultsAlone) anything() bool {
	return slices.ContainsFunc(s.wrong, func(check scenario.Check) bool { return check != scenario.CheckCloexec })
}

// neither reports whether both peers of a case are known to be right with the runner: in
// everything, or in the check of a finding that the kernel attributes to neither.
func (r *run) neither(c scenario.Case, f scenario.Finding) bool {
	for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
		s, played := r.alone[c.AloneName(role)]
		wrong := s.anything()
		if f.Ambiguous {
			wrong = s.gets(f.Check)
		}
		if !played || s.unknown != "" || wrong {
			return false
		}
	}
	return true
}

// learn keeps what a peer gets wrong with the runner. A case without a verdict shows
// nothing of that.
func (r *run) learn(res *scenario.Result) {
	c := res.Case
	if res.Verdict != scenario.Pass && res.Verdict != scenario.Fail {
		return
	}
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
		r.alone[c.AloneName(role)] = faultsAlone{wrong: checks}
	}
}
