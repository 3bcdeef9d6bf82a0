package interop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// maxFDs returns the number of descriptors per peer at which the processes of a pair get no more cases. A higher limit
// makes each case slower, because the runner inspects all of a peer's descriptors in each case. With a lower limit,
// peers are started more often. Starting a peer takes as long as a few cases, or a hundred if the peer is slow.
func maxFDs(c scenario.Case) int {
	if c.A.Slow || c.B.Slow {
		return 600
	}
	return 100
}

// maxFailures is how many starts in a row may fail until a pair starts no more peers. A single one can fail because
// the machine is busy, and each can take as long as the time for an answer.
const maxFailures = 3

// A pair runs cases that all have the same two peers, in either direction, in two processes. It starts new ones if
// these cannot run the next case.
type pair struct {
	*environment
	cases     []scenario.Case                // in the order in which they will probably run
	first     scenario.Case                  // its roles are the keys of processes
	processes map[scenario.Role]*peerProcess // those that are running
	// those that the processes have for the next cases, by the index of the case
	files    map[int]*caseFiles
	broken   error // why the processes could not be started the last time
	failures int   // how many starts have failed in a row
}

// runCases runs cases that all have the same two peers, in either direction, and passes each result to
// done. If the run is interrupted, the current case has no result.
func runCases(cases []scenario.Case, env *environment, done func(scenario.Result)) {
	p := &pair{environment: env, cases: cases}
	defer p.close()
	for i := 0; i < len(cases) && env.ctx.Err() == nil; i++ {
		if res := p.run(i); res.Verdict != "" {
			done(res)
		}
	}
}

// without returns the result of a case that was not run.
func without(c scenario.Case, verdict scenario.Verdict, why string, broken bool) scenario.Result {
	return scenario.Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: verdict, Why: why, Broken: broken}
}

// run runs the case at index i. It starts new peers unless those that are running have the files of the case. If the
// run is interrupted, the result has no verdict.
func (p *pair) run(i int) scenario.Result {
	if p.files[i] == nil {
		if res := p.start(i); p.files[i] == nil {
			return res
		}
	}
	files := p.files[i]
	delete(p.files, i)
	res, err := p.runOne(files)
	if err != nil || len(p.files) == 0 {
		p.close()
	}
	if errors.Is(err, process.ErrCut) {
		return scenario.Result{}
	}
	return res
}

// start starts new peers with the files of the case at index i and of those after it. If it cannot, it returns the
// result of the case.
func (p *pair) start(i int) scenario.Result {
	p.close()
	c := p.cases[i]
	if verdict, reason, why := p.obstacle(c); why != "" {
		res := without(c, verdict, why, false)
		res.Obstacle.Reason = reason
		return res
	}
	if peer, why := p.limit.givenUp(c); why != "" {
		res := without(c, scenario.NotRun, why, false)
		res.Obstacle.Reason, res.AskedNoMore = scenario.ReasonHangs, peer
		return res
	}
	if p.failures == maxFailures {
		return without(c, scenario.NotRun, p.broken.Error(), true)
	}
	owned, err := p.makeFiles(i)
	switch {
	case errors.Is(err, kinds.ErrTaken):
		return without(c, scenario.Unsupported, err.Error(), false)
	case err != nil:
		return without(c, scenario.NotRun, err.Error(), false)
	}
	if err = p.startPeers(owned); err == nil {
		p.failures = 0
		return scenario.Result{}
	}
	p.close()
	switch {
	case errors.Is(err, process.ErrCut):
		return scenario.Result{}
	case len(c.Scenario.Users) > 0 && !kinds.Exhausted(err):
		return without(c, scenario.Unsupported, "cannot start a peer as another user: "+err.Error(), false)
	}
	p.broken = err
	p.failures++
	return without(c, scenario.NotRun, err.Error(), true)
}

// obstacle returns why a case cannot run here, or "".
func (env *environment) obstacle(c scenario.Case) (verdict scenario.Verdict, reason scenario.Reason, why string) {
	if why = c.Unsupported(); why != "" {
		return scenario.Unsupported, scenario.ReasonHello, why
	}
	if c.Scenario.NeedsRoot() {
		if why = kinds.LacksRoot(); why != "" {
			return scenario.Unsupported, scenario.ReasonRoot, why
		}
	}
	why, err := kinds.Lacks(c.Scenario, env.folder)
	if err != nil {
		return scenario.NotRun, scenario.ReasonNotRun, err.Error()
	}
	if why != "" {
		return scenario.Unsupported, scenario.ReasonSystem, why
	}
	if env.runnerFails != nil {
		why = env.runnerFails(c)
	}
	return scenario.Unsupported, scenario.ReasonRunner, why
}

// makeFiles creates the files of the case at index first, and of as many of the next ones as the same processes run. It
// returns those that each process is started with, or an error if it cannot create the files of the first case.
func (p *pair) makeFiles(first int) (owned map[scenario.Role][]*witness.File, err error) {
	p.first, p.files, owned = p.cases[first], map[int]*caseFiles{}, map[scenario.Role][]*witness.File{}
	for i, c := range p.cases[first:] {
		full := max(len(owned[scenario.RoleA]), len(owned[scenario.RoleB])) >= maxFDs(c)
		// A peer that runs as another user runs only one case.
		asUser := len(c.Scenario.Users)+len(p.first.Scenario.Users) > 0
		if i > 0 && (full || asUser) {
			break
		}
		if _, _, why := p.obstacle(c); i > 0 && why != "" {
			continue
		}
		files, err := newCaseFiles(c, p.folder)
		if err != nil && i > 0 {
			break // it is the first case of the next processes
		}
		if err != nil {
			return nil, err
		}
		p.files[first+i] = files
		for _, role := range roles {
			at := processRole(p.first, c, role)
			owned[at] = append(owned[at], files.ownedBy(role)...)
		}
	}
	return owned, nil
}

// processRole returns the role that a process of the pair had in the first case, if the process has
// the given role in case c. The two roles can differ, because a pair runs cases in both directions.
func processRole(first, c scenario.Case, role scenario.Role) scenario.Role {
	if c.A == first.A && c.B == first.B {
		return role
	}
	return role.Other()
}

// startPeers starts the two peers and passes them these files.
func (p *pair) startPeers(owned map[scenario.Role][]*witness.File) error {
	p.processes = map[scenario.Role]*peerProcess{}
	for _, role := range roles { // both start at the same time
		var fds []int
		for _, file := range owned[role] {
			fds = append(fds, file.Own)
		}
		proc, err := process.Start(p.first.Peer(role), fds, p.first.Scenario.Users[role], p.recordings[role])
		if err != nil {
			return fmt.Errorf("%s: %w", p.first.Peer(role).Name, err)
		}
		p.processes[role] = &peerProcess{Process: proc, cache: map[int]*cachedFD{}}
	}
	for _, role := range roles {
		proc := p.processes[role]
		if err := proc.greet(p.ctx, process.StartTimeout(p.timeout)); err != nil {
			return fmt.Errorf("%s: %w", p.first.Peer(role).Name, err)
		}
		for i, file := range owned[role] {
			file.FD = proc.FDs[i]
			proc.cache[file.FD] = &cachedFD{later: true, known: true, id: file.FileID, file: file}
		}
	}
	return nil
}

// runOne runs a case.
func (p *pair) runOne(files *caseFiles) (scenario.Result, error) {
	if files.Scenario.RunsAlone() {
		p.exclusive.Lock()
		defer p.exclusive.Unlock()
	} else {
		p.exclusive.RLock()
		defer p.exclusive.RUnlock()
	}
	peers := map[scenario.Role]*peerProcess{}
	for _, role := range roles {
		peers[role] = p.processes[processRole(p.first, files.Case, role)]
	}
	began := time.Now()
	result, err := runCase(p.environment, files, peers)
	result.Seconds = time.Since(began).Seconds()
	return result, err
}

// close ends the running peers and closes the files that they have inherited.
func (p *pair) close() {
	for _, proc := range p.processes {
		_ = proc.Close() // how a peer ends after its cases is not judged
	}
	for _, files := range p.files {
		files.close()
	}
	p.processes, p.files = nil, nil
}

// A peerProcess is one of the two processes of a pair. It runs many cases, in either role.
type peerProcess struct {
	*process.Process
	held  *judge.Held
	cache map[int]*cachedFD // of its descriptors, when the runner last looked
}

// greet sends hello, and records which descriptors the peer has open afterwards.
func (p *peerProcess) greet(ctx context.Context, timeout time.Duration) error {
	hello, err := p.Greet(ctx, timeout)
	if err == nil && !hello.Same(p.Peer.Hello) {
		err = errors.New("its answer to hello is not the one that it gave before")
	}
	var standard []int
	for fd := range 3 {
		if _, e := procfs.Identify(p.Pid, fd); e == nil || witness.MayNotInspect(p.Pid, e) {
			standard = append(standard, fd)
		}
	}
	p.held = judge.NewHeld(p.FDs, standard...)
	return err
}
