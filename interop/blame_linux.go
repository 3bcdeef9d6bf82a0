package interop

import (
	"maps"
	"slices"
	"sync"

	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/scenario"
)

// An attribution determines which of two peers is at fault. It compares how each of them behaves
// when it is paired with the runner.
type attribution struct {
	*environment
	runner *scenario.Peer // nil: no peer is run alone

	mu    sync.Mutex
	alone map[string][]scenario.Check // the checks that a peer failed when paired with the runner, by Case.AloneName
	batch map[string][]scenario.Check // those that it failed in the first batch of the run, by name of the peer
}

func newAttribution(env *environment, runner *scenario.Peer) *attribution {
	return &attribution{environment: env, runner: runner, alone: map[string][]scenario.Check{}, batch: map[string][]scenario.Check{}}
}

// runPeersAlone pairs each of the two peers with the runner and runs the scenario, if the other
// peer may be at fault for a finding. It skips what has already run. The results of these
// runs are used for attribution only and do not appear in the report.
func (at *attribution) runPeersAlone(res *scenario.Result) {
	c := res.Case
	withRunner := c.A.Name == scenario.RunnerName || c.B.Name == scenario.RunnerName
	if at.runner == nil || c.Scenario.Play != scenario.PlayPair || c.A == c.B || withRunner {
		return
	}
	if !slices.ContainsFunc(res.Findings, judge.MayBeOthersFault) {
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

// blame returns the findings, each attributed to the peer at fault. If both are, there is a finding for each.
func (at *attribution) blame(res *scenario.Result) []scenario.Finding {
	at.mu.Lock()
	defer at.mu.Unlock()
	return judge.Blame(res.Case, res.Findings, at.known(res.Case))
}

// assignBlame attributes each finding to the peer at fault. If one of the two peers is the runner,
// it stores which checks the other peer failed.
func (at *attribution) assignBlame(res *scenario.Result) {
	c := res.Case
	res.Findings = at.blame(res)
	if c.A == c.B || res.Verdict != scenario.Pass && res.Verdict != scenario.Fail {
		return // the case shows no peer alone
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	for _, role := range roles {
		if c.Peer(role.Other()).Name != scenario.RunnerName {
			continue
		}
		name := c.AloneName(role)
		at.alone[name] = nil
		for _, f := range res.Findings {
			if f.Peer == c.Peer(role).Name {
				at.alone[name] = append(at.alone[name], f.Check)
			}
			if f.Check == scenario.CheckLeak && f.Ambiguous {
				at.holders.Store(f.Peer, true)
			}
		}
	}
}

// known returns what other cases have shown about the two peers of a case.
func (at *attribution) known(c scenario.Case) judge.Known {
	known := judge.Known{
		Alone:  map[scenario.Role][]scenario.Check{},
		Batch:  map[scenario.Role][]scenario.Check{},
		Runner: at.runner != nil,
	}
	for _, role := range roles {
		known.Alone[role] = at.alone[c.AloneName(role)]
		if failed, ok := at.batch[c.Peer(role).Name]; ok && known.Runner {
			known.Batch[role] = failed
		}
	}
	return known
}

// inBatch reports whether the peer has a case in the first batch.
func (at *attribution) inBatch(p *scenario.Peer) bool {
	at.mu.Lock()
	defer at.mu.Unlock()
	_, ok := at.batch[p.Name]
	return ok
}

// join adds the batch of another attribution.
func (at *attribution) join(other *attribution) {
	at.mu.Lock()
	defer at.mu.Unlock()
	maps.Copy(at.batch, other.batch)
}

// addToBatch stores which checks a peer failed in a case of the first batch, which pairs it with the runner. A failure
// that the repository's own list expects, if the run uses that list, is no sign of another fault.
func (at *attribution) addToBatch(res *scenario.Result, x *scenario.Expectations) {
	c := res.Case
	if c.A == c.B || res.Verdict == scenario.Unsupported || res.Verdict == scenario.NotRun {
		return // the case shows no peer
	}
	name := c.A.Name
	if name == scenario.RunnerName {
		name = c.B.Name
	}
	at.mu.Lock()
	defer at.mu.Unlock()
	failed := at.batch[name]
	for _, f := range res.Findings {
		if f.Peer == name && !x.Builtin(c, f) {
			failed = append(failed, f.Check)
		}
	}
	at.batch[name] = failed
}
