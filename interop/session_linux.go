package interop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// maxFDs returns the number of descriptors per peer at which a session gets no more cases. A higher
// limit makes each case slower, because the runner inspects all of a peer's descriptors in each case.
// With a lower limit, peers are started more often. Starting a peer takes as long as a few cases, or as
// a hundred cases if the peer is slow.
func maxFDs(c scenario.Case) int {
	if c.A.Slow || c.B.Slow {
		return 600
	}
	return 100
}

// A session consists of two running peers and the cases that they run one after the other.
type session struct {
	environment
	first     scenario.Case // its roles are the keys of processes
	cases     []*caseFiles
	processes map[scenario.Role]*peerProcess
}

// runCases runs cases that all have the same two peers, in either direction, and passes each result to
// done. If a peer exits or hangs, runCases starts a new session for the remaining cases. If the run is
// interrupted, the current case has no result.
func runCases(cases []scenario.Case, env environment, done func(scenario.Result)) {
	without := func(c scenario.Case, verdict scenario.Verdict, why string, broken bool) {
		done(scenario.Result{Name: c.Name(), Hash: c.Scenario.Hash, Case: c, Verdict: verdict, Why: why, Broken: broken})
	}
	cases = slices.DeleteFunc(slices.Clone(cases), func(c scenario.Case) bool {
		verdict, why := env.obstacle(c)
		if why != "" {
			without(c, verdict, why, false)
		}
		return why != ""
	})
	var made []*caseFiles // files of the next cases; if a session ends early, the next one uses its remaining files
	defer func() {
		for _, files := range made {
			files.close()
		}
	}()
	for len(cases) > 0 && env.ctx.Err() == nil {
		var err error
		if made, err = makeFiles(made, cases, env.folder); err != nil {
			verdict := scenario.NotRun
			if errors.Is(err, kinds.ErrTaken) {
				verdict = scenario.Unsupported
			}
			without(cases[0], verdict, err.Error(), false)
			cases = cases[1:]
			continue
		}
		finished := 1
		s, err := newSession(made, env)
		switch {
		case errors.Is(err, process.ErrCut):
			return
		case err == nil:
			finished = s.runUntilOver(done)
		case len(cases[0].Scenario.Users) > 0 && !kinds.Exhausted(err):
			without(cases[0], scenario.Unsupported, "cannot start a peer as another user: "+err.Error(), false)
			made[0].close()
		default:
			for _, c := range cases {
				without(c, scenario.NotRun, err.Error(), true)
			}
			return
		}
		cases, made = cases[finished:], made[finished:]
	}
}

// obstacle returns why a case cannot run here, or "".
func (env environment) obstacle(c scenario.Case) (verdict scenario.Verdict, why string) {
	if why = c.Unsupported(); why == "" {
		var err error
		if why, err = kinds.Lacks(c.Scenario, env.folder); err != nil {
			return scenario.NotRun, err.Error()
		}
	}
	if why == "" && env.runnerFails != nil {
		why = env.runnerFails(c)
	}
	return scenario.Unsupported, why
}

// makeFiles creates the files of the cases that one session runs, starting with the first case. made
// contains the files of the first few cases if these already exist. makeFiles returns an error if it
// cannot create the files of the first case.
func makeFiles(made []*caseFiles, cases []scenario.Case, dir string) ([]*caseFiles, error) {
	used := map[scenario.Role]int{}
	for i, c := range cases {
		full := max(used[scenario.RoleA], used[scenario.RoleB]) >= maxFDs(c)
		// A peer that runs as another user runs only one case.
		asUser := len(c.Scenario.Users)+len(cases[0].Scenario.Users) > 0
		if i > 0 && (full || asUser) {
			break
		}
		if i == len(made) {
			files, err := newCaseFiles(c, dir)
			if err != nil && i > 0 {
				break // it is the first case of the next session
			}
			if err != nil {
				return nil, err
			}
			made = append(made, files)
		}
		for _, role := range roles {
			used[processRole(cases[0], c, role)] += len(made[i].ownedBy(role))
		}
	}
	return made, nil
}

// processRole returns the role that a process of the session had in the first case, if the process has
// the given role in case c. The two roles can differ, because a session runs cases in both directions.
func processRole(first, c scenario.Case, role scenario.Role) scenario.Role {
	if c.A == first.A && c.B == first.B {
		return role
	}
	return opposite(role)
}

// newSession starts the two peers and passes them the files of all the cases.
func newSession(cases []*caseFiles, env environment) (s *session, err error) {
	s = &session{environment: env, first: cases[0].Case, cases: cases, processes: map[scenario.Role]*peerProcess{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	owned := map[scenario.Role][]*witness.File{}
	for _, files := range cases {
		for _, role := range roles {
			at := processRole(s.first, files.Case, role)
			owned[at] = append(owned[at], files.ownedBy(role)...)
		}
	}
	for _, role := range roles { // both start at the same time
		var fds []int
		for _, file := range owned[role] {
			fds = append(fds, file.Own)
		}
		proc, err := process.Start(s.first.Peer(role), fds, s.first.Scenario.Users[role], env.records[role])
		if err != nil {
			return s, fmt.Errorf("%s: %w", s.first.Peer(role).Name, err)
		}
		s.processes[role] = newPeerProcess(proc)
	}
	for _, role := range roles {
		p := s.processes[role]
		if err := p.greet(env.ctx, process.StartTimeout(env.timeout)); err != nil {
			return s, fmt.Errorf("%s: %w", s.first.Peer(role).Name, err)
		}
		for i, file := range owned[role] {
			p.giveFD(p.FDs[i], file)
		}
	}
	return s, nil
}

// runUntilOver runs the cases of a session until the session is over, and returns how many have a result.
func (s *session) runUntilOver(done func(scenario.Result)) (finished int) {
	defer s.close()
	for _, files := range s.cases {
		result, err := s.runOne(files)
		if errors.Is(err, process.ErrCut) {
			break
		}
		done(result)
		finished++
		if err != nil || s.ctx.Err() != nil {
			break
		}
	}
	return finished
}

// runOne runs a case. If the case depends on limits per user, no other case runs at the same time.
func (s *session) runOne(files *caseFiles) (scenario.Result, error) {
	// The kernel limits how many files a user's processes may together have in flight. The limit is
	// RLIMIT_NOFILE of the sending process; root is exempt. A case whose peers run as another user also
	// runs alone, because another scenario can use the same user.
	if files.Scenario.Limits() && os.Getuid() != 0 || len(files.Scenario.Users) > 0 {
		s.exclusive.Lock()
		defer s.exclusive.Unlock()
	} else {
		s.exclusive.RLock()
		defer s.exclusive.RUnlock()
	}
	peers := map[scenario.Role]*peerProcess{}
	for _, role := range roles {
		peers[role] = s.processes[processRole(s.first, files.Case, role)]
	}
	began := time.Now()
	result, err := runCase(s.environment, files, peers)
	result.Seconds = time.Since(began).Seconds()
	return result, err
}

func (s *session) close() {
	for _, p := range s.processes {
		_ = p.Close() // how a peer ends after its cases is not judged
	}
}
