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

// maxFDs returns how many descriptors a peer of a session has before the session is given no
// further case. Each case looks at all of them, and to start a peer costs as much as a few
// cases or, for a slow peer, as a hundred.
func maxFDs(c scenario.Case) int {
	if c.A.Slow || c.B.Slow {
		return 600
	}
	return 100
}

// A session is two running peers and the cases that they run one after the other.
type session struct {
	environment
	first     scenario.Case // in which the peers have the roles of processes
	cases     []*caseFiles
	processes map[scenario.Role]*peerProcess
}

// runCases runs the cases, all of the same two peers in either direction, and passes each
// result to done. If a peer ends or hangs, a new session runs the rest. A case that is cut
// short has no result.
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
	var made []*caseFiles // of the first of the cases; a new session uses those of one that ended early
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

// makeFiles makes the files of as many of the cases as one session is given. made has the files
// of the first few already. The error is that the first case lacks what it needs.
func makeFiles(made []*caseFiles, cases []scenario.Case, dir string) ([]*caseFiles, error) {
	used := map[scenario.Role]int{}
	for i, c := range cases {
		full := max(used[scenario.RoleA], used[scenario.RoleB]) >= maxFDs(c)
		// A peer that is started as another user runs one case.
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

// processRole returns which process of a session has this role in the case c, as the role that
// the process has in the first case. The peers of a session run cases in both directions.
func processRole(first, c scenario.Case, role scenario.Role) scenario.Role {
	if c.A == first.A && c.B == first.B {
		return role
	}
	return opposite(role)
}

// newSession starts the two peers of the cases, with the files of all of them.
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
		timeout := max(env.timeout, process.DefaultTimeout) // a start takes longer than an answer
		if err := p.greet(env.ctx, timeout); err != nil {
			return s, fmt.Errorf("%s: %w", s.first.Peer(role).Name, err)
		}
		for i, file := range owned[role] {
			file.FD = p.FDs[i]
			p.tracked[file.FD] = trackedFD{file: file, Identity: file.Identity, known: true}
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

// runOne runs a case while no other case disturbs it.
func (s *session) runOne(files *caseFiles) (scenario.Result, error) {
	// How many files a user may have in flight, over all its processes, depends on the limit of
	// the sending process; root has no limit. Another scenario can start a peer as the same user.
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
