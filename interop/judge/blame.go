package judge

import (
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// This file decides which of two peers is at fault for a finding. It compares how each of them behaves when it is
// paired with the runner, which is assumed to be correct.

// Known is what other cases have shown about the two peers of a case.
type Known struct {
	// the checks that the peer in this role failed in this scenario when paired with the runner
	Alone map[scenario.Role][]scenario.Check
	// those that it failed in any scenario of the first batch; no entry if it has no case there
	Batch  map[scenario.Role][]scenario.Check
	Runner bool // peers are paired with the runner
}

// MayBeOthersFault reports whether the other peer may be at fault for a finding. The other peer may be at fault if the
// finding is about what this peer received, if this peer hung or crashed, or if the kernel does not show which of the
// two peers was responsible. If this peer acted on its own (Finding.Own), the other peer is never at fault.
func MayBeOthersFault(f scenario.Finding) bool {
	checks := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer, scenario.CheckHang, scenario.CheckCrash}
	return !f.Own && (f.Ambiguous || slices.Contains(checks, f.Check))
}

// Blame returns the findings, each attributed to the peer at fault. If both are, there is a finding for each.
func Blame(c scenario.Case, findings []scenario.Finding, known Known) (blamed []scenario.Finding) {
	for _, f := range findings {
		role := scenario.RoleA
		if f.Peer == c.B.Name {
			role = scenario.RoleB
		}
		for _, atFault := range rolesAtFault(c, role, f, known) {
			f := f
			f.Hung = f.Check == scenario.CheckHang
			f.Peer = c.Peer(atFault).Name
			if atFault != role {
				const partner = "its partner"
				switch {
				case f.Ambiguous: // the text is about a file
				case f.Check == scenario.CheckHang:
					f.Check = scenario.CheckAnswer
					f.Text = causeOfHang(c.Scenario, role, f.Line)
				case f.Check == scenario.CheckCrash:
					f.Text = partner + " did not survive: " + f.Text
				case f.Check == scenario.CheckAnswer: // the text begins with a verb
					f.Text = partner + " " + f.Text
					if f.Short != "" {
						f.Short = partner + ": " + f.Short
					}
				default:
					f.Text = partner + ": " + f.Text
				}
			}
			blamed = append(blamed, f)
		}
	}
	return blamed
}

// rolesAtFault returns the roles of the peers that are at fault for a finding about the peer in the given role. If only
// one of the peers also fails the scenario when paired with the runner, that peer is at fault. If both peers fail, the
// sender is at fault for a finding about what the receiver received. For any other finding, the peer that the finding
// is about is at fault. If neither peer fails this scenario, and only one of them fails any scenario of the first
// batch, that peer is at fault. Otherwise both are.
func rolesAtFault(c scenario.Case, role scenario.Role, f scenario.Finding, known Known) []scenario.Role {
	other := role.Other()
	switch {
	case c.A == c.B, c.Peer(other).Name == scenario.RunnerName:
		return []scenario.Role{role}
	case c.Peer(role).Name == scenario.RunnerName && (MayBeOthersFault(f) || f.Check == scenario.CheckLeak):
		return []scenario.Role{other}
	case !MayBeOthersFault(f):
		return []scenario.Role{role}
	}
	fails, otherFails := failing(f, known.Alone[role], known.Alone[other])
	// The sender determines what the receiver receives, even if the receiver makes mistakes of its own.
	hasMessage := role == scenario.RoleB && !f.Ambiguous && f.Check != scenario.CheckCrash
	// A fault can depend on what the process did before this scenario, for example on the descriptors that it was
	// started with or on a buffer that its last call left behind.
	_, hasCase := known.Batch[role]
	_, otherHasCase := known.Batch[other]
	if !fails && !otherFails && hasCase && otherHasCase {
		fails, otherFails = failing(f, known.Batch[role], known.Batch[other])
		if fails && otherFails {
			return []scenario.Role{role, other}
		}
	}
	switch {
	case otherFails && (hasMessage || !fails):
		return []scenario.Role{other}
	case fails || !known.Runner: // without a runner, no peer was run alone
		return []scenario.Role{role}
	}
	return []scenario.Role{role, other}
}

// failing reports whether the checks that the peer with the finding failed explain the finding, and whether those that
// the other peer failed do.
func failing(f scenario.Finding, failures, otherFailures []scenario.Check) (fails, otherFails bool) {
	relevant := []scenario.Check{scenario.CheckFile, scenario.CheckAnswer}
	if f.Ambiguous || f.Check == scenario.CheckCrash {
		relevant = []scenario.Check{f.Check}
	}
	otherFails = slices.ContainsFunc(otherFailures, func(check scenario.Check) bool {
		return slices.Contains(relevant, check)
	})
	// A missing close-on-exec flag explains no other finding.
	fails = slices.ContainsFunc(failures, func(check scenario.Check) bool {
		return check != scenario.CheckCloexec
	})
	if f.Ambiguous {
		fails = slices.Contains(failures, f.Check)
	}
	return fails, otherFails
}

// causeOfHang describes what the other peer failed to do if the peer in this role hangs at this line. A send hangs
// because the receiver's queue is full. Any other command hangs because no message arrives.
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
