package interop

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/scm-rights/scm/interop/scenario"
)

// An attribution finds out which of two peers is at fault, from what each does opposite the
// runner.
type attribution struct {
	environment
	runner *scenario.Peer // nil: no peer is run alone

	mu    sync.Mutex
	alone map[string][]scenario.Check // what is wrong with a peer opposite the runner, by Case.AloneName
}

func newAttribution(env environment, runner *scenario.Peer) *attribution {
	return &attribution{environment: env, runner: runner, alone: map[string][]scenario.Check{}}
}

// copy returns an attribution that knows the same and learns separately.
func (at *attribution) copy() *attribution {
	at.mu.Lock()
	defer at.mu.Unlock()
	return &attribution{environment: at.environment, runner: at.runner, alone: maps.Clone(at.alone)}
}

// mayBeOthersFault reports whether the peer opposite may be at fault for a finding: it is about
// what the peer received and not about what it did with that, or the peer ended, or the kernel
// does not show which of the two it was.
func mayBeOthersFault(f scenario.Finding) bool {
	checks := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer, scenario.CheckHang, scenario.CheckCrash}
	return !f.Own && (f.Ambiguous || slices.Contains(checks, f.Check))
}

// runPeersAlone runs the scenario with each of the two peers alone, the runner opposite, if the
// other peer may be at fault for a finding and that was not done before. The runs have no result
// of their own.
func (at *attribution) runPeersAlone(res *scenario.Result) {
	c := res.Case
	withRunner := c.A.Name == scenario.RunnerName || c.B.Name == scenario.RunnerName
	if at.runner == nil || c.Scenario.Play != scenario.PlayPair || c.A == c.B || withRunner {
		return
	}
	if !slices.ContainsFunc(res.Findings, mayBeOthersFault) {
		return
	}
	for _, role := range roles {
		at.mu.Lock()
		_, known := at.alone[c.AloneName(role)]
		at.mu.Unlock()
		if known {
			continue
		}
		next := c
		if role == scenario.RoleA {
			next.B = at.runner
		} else {
			next.A = at.runner
		}
		runCases([]scenario.Case{next}, at.environment, func(alone scenario.Result) { at.assignBlame(&alone) })
	}
}

// assignBlame attributes each finding to the peer at fault. It keeps what is wrong with a peer
// opposite the runner.
func (at *attribution) assignBlame(res *scenario.Result) {
	at.mu.Lock()
	defer at.mu.Unlock()
	c := res.Case
	var findings []scenario.Finding
	for _, f := range res.Findings {
		role := scenario.RoleA
		if f.Peer == c.B.Name {
			role = scenario.RoleB
		}
		for _, atFault := range at.rolesAtFault(c, role, f) {
			f := f
			f.Peer = c.Peer(atFault).Name
			if atFault != role {
				switch f.Check {
				case scenario.CheckHang:
					f.Check = scenario.CheckAnswer
					f.Text = causeOfHang(c.Scenario, role, f.Line)
				case scenario.CheckCrash:
					f.Text = "the peer opposite did not survive: " + f.Text
				}
			}
			findings = append(findings, f)
		}
	}
	res.Findings = findings
	if c.A == c.B || res.Verdict != scenario.Pass && res.Verdict != scenario.Fail {
		return // the case shows no peer alone
	}
	for _, role := range roles {
		if c.Peer(opposite(role)).Name != scenario.RunnerName {
			continue
		}
		name := c.AloneName(role)
		at.alone[name] = nil
		for _, f := range findings {
			if f.Peer == c.Peer(role).Name {
				at.alone[name] = append(at.alone[name], f.Check)
			}
			if f.Check == scenario.CheckLeak && f.Ambiguous {
				at.holders.Store(f.Peer, true)
			}
		}
	}
}

// rolesAtFault returns who is at fault for a finding about the peer in this role: the peer that
// also fails the scenario opposite the runner, which is never wrong, or else the peer that the
// finding is about. If neither fails opposite the runner, both are at fault.
func (at *attribution) rolesAtFault(c scenario.Case, role scenario.Role, f scenario.Finding) []scenario.Role {
	other := opposite(role)
	switch {
	case c.A == c.B, c.Peer(other).Name == scenario.RunnerName:
		return []scenario.Role{role}
	case c.Peer(role).Name == scenario.RunnerName && (mayBeOthersFault(f) || f.Check == scenario.CheckLeak):
		return []scenario.Role{other}
	case !mayBeOthersFault(f):
		return []scenario.Role{role}
	}
	failures, otherFailures := at.alone[c.AloneName(role)], at.alone[c.AloneName(other)]
	// A receiver has the sender's message, whatever else the receiver gets wrong.
	hasMessage := role == scenario.RoleB
	relevant := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer}
	if f.Ambiguous || f.Check == scenario.CheckCrash {
		hasMessage = false
		relevant = []scenario.Check{f.Check}
	}
	otherFails := slices.ContainsFunc(otherFailures, func(check scenario.Check) bool {
		return slices.Contains(relevant, check)
	})
	// Close-on-exec does not change what the other peer receives.
	fails := slices.ContainsFunc(failures, func(check scenario.Check) bool {
		return check != scenario.CheckCloexec
	})
	if f.Ambiguous {
		fails = slices.Contains(failures, f.Check)
	}
	// Whether a peer holds a file depends on the descriptors that it was started with, so one that
	// was found once counts as failing.
	if f.Ambiguous && f.Check == scenario.CheckLeak {
		_, holds := at.holders.Load(c.Peer(role).Name)
		_, otherHolds := at.holders.Load(c.Peer(other).Name)
		fails = fails || holds
		otherFails = otherFails || otherHolds
	}
	switch {
	case otherFails && (hasMessage || !fails):
		return []scenario.Role{other}
	case fails || at.runner == nil: // without a runner, no peer was run alone
		return []scenario.Role{role}
	}
	return []scenario.Role{role, other}
}

// causeOfHang returns what a peer did not do if the one opposite, in this role, waits in vain at
// this line: a send waits for room in the receiver's queue, anything else for a message.
func causeOfHang(s *scenario.Scenario, role scenario.Role, line int) string {
	verb := ""
	for _, st := range s.Steps {
		if st.Role == role && st.Kind == scenario.StepCommand && st.Line <= line {
			verb = st.Command.Verb
		}
	}
	if strings.HasPrefix(verb, "send") || verb == "write" {
		return "it did not receive what was sent: the sender waits for room in its queue"
	}
	return "the message that it reported as sent did not arrive"
}
