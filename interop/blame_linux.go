package interop

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/scm-rights/scm/interop/scenario"
)

// An attribution determines which of two peers is at fault. It compares how each of them behaves
// when it is paired with the runner.
type attribution struct {
	environment
	runner *scenario.Peer // nil: no peer is run alone

	mu    sync.Mutex
	alone map[string][]scenario.Check // the checks that a peer failed when paired with the runner, by Case.AloneName
}

func newAttribution(env environment, runner *scenario.Peer) *attribution {
	return &attribution{environment: env, runner: runner, alone: map[string][]scenario.Check{}}
}

// copy returns an attribution with the same results. Results that are added to the copy do not
// appear in the original, and vice versa.
func (at *attribution) copy() *attribution {
	at.mu.Lock()
	defer at.mu.Unlock()
	return &attribution{environment: at.environment, runner: at.runner, alone: maps.Clone(at.alone)}
}

// mayBeOthersFault reports whether the other peer may be at fault for a finding. The other peer
// may be at fault if the finding is about what this peer received, if this peer hung or crashed,
// or if the kernel does not show which of the two peers was responsible. If this peer acted on its
// own (Finding.Own), the other peer is never at fault.
func mayBeOthersFault(f scenario.Finding) bool {
	checks := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer, scenario.CheckHang, scenario.CheckCrash}
	return !f.Own && (f.Ambiguous || slices.Contains(checks, f.Check))
}

// runPeersAlone pairs each of the two peers with the runner and runs the scenario, if the other
// peer may be at fault for a finding. It skips a pair that has already run. The results of these
// runs are used for attribution only and do not appear in the report.
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

// assignBlame attributes each finding to the peer at fault. If one of the two peers is the runner,
// it stores which checks the other peer failed.
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

// rolesAtFault returns the roles of the peers that are at fault for a finding about the peer in the
// given role. If only one of the peers also fails the scenario when paired with the runner, which
// is assumed to be correct, that peer is at fault. If both peers fail, the sender is at fault for a
// finding about what the receiver received. For any other finding, the peer that the finding is
// about is at fault. If neither peer fails, both are at fault.
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
	// The sender determines what the receiver receives, even if the receiver makes mistakes of its
	// own.
	hasMessage := role == scenario.RoleB
	relevant := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer}
	if f.Ambiguous || f.Check == scenario.CheckCrash {
		hasMessage = false
		relevant = []scenario.Check{f.Check}
	}
	otherFails := slices.ContainsFunc(otherFailures, func(check scenario.Check) bool {
		return slices.Contains(relevant, check)
	})
	// A missing close-on-exec flag does not cause any other finding.
	fails := slices.ContainsFunc(failures, func(check scenario.Check) bool {
		return check != scenario.CheckCloexec
	})
	if f.Ambiguous {
		fails = slices.Contains(failures, f.Check)
	}
	// Whether a peer keeps a file open can depend on the descriptors that it was started with, so a
	// peer that has kept a file open in at least one case counts as failing.
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

// causeOfHang describes what the other peer failed to do if the peer in this role hangs at this
// line. A send hangs because the receiver's queue is full. Any other command hangs because no
// message arrives.
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
