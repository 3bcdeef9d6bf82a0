package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// Options configure a run.
type Options struct {
	Jobs     int                   // pairs in parallel; 0 is 1
	Timeout  time.Duration         // for each answer; 0 is process.DefaultTimeout
	Retries  int                   // how often an unexpected case is run again
	FailFast bool                  // end the run at the first unexpected case
	MaxHangs int                   // give up a peer after this many hangs in a row, or twice as many in all; 0 is 5, negative is never
	Runner   *scenario.Peer        // paired with each of two peers to find out which one is at fault; nil disables this
	Recorder process.Launcher      // records a failed case while it runs once more; nil records nothing
	Observe  func(*judge.Log)      // called with all facts of each case, by several jobs at the same time
	Done     func(scenario.Result) // called for each result, one at a time, as soon as there is one
}

// errFailFast is the cause of a run that Options.FailFast ended.
var errFailFast = errors.New("the first case that is not as expected")

// fdsPerJob is how many descriptors of this process a job may need: the runner's copies of the
// files of a pair, and their other ends.
const fdsPerJob = 2400

// fdsPerPeer is how many descriptors a peer may need: those that it is started with and those that it receives.
const fdsPerPeer = 1024

// MaxJobs returns the number of jobs that the limit of open files allows. It returns an error if
// the limit is too low for one job or for a peer.
func MaxJobs() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	if limit.Cur < fdsPerJob {
		return 0, fmt.Errorf("the limit of open files is %d, and a run needs %d: see ulimit -n", limit.Cur, fdsPerJob)
	}
	// The Go runtime raises the soft limit of this process, but restores the original limit in
	// the programs that it starts.
	text, err := exec.Command("/bin/sh", "-c", "ulimit -Sn").Output()
	if n, e := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && e == nil && n < fdsPerPeer {
		return 0, fmt.Errorf("the soft limit of open files is %d, and a peer needs %d: see ulimit -Sn", n, fdsPerPeer)
	}
	return int(min(limit.Cur/fdsPerJob, 1000)), nil
}

// Run runs the cases and compares their results with the expectations, which may be nil.
func Run(ctx context.Context, cases []scenario.Case, x *scenario.Expectations, o Options) scenario.RunResult {
	s, err := Open(nil, x, o)
	if err != nil {
		return scenario.RunResult{Broken: err}
	}
	r := s.run
	r.cases = cases
	r.ctx, r.cut = context.WithCancelCause(ctx)
	defer r.cut(nil)
	r.runAll(cases)
	result := scenario.RunResult{Results: r.results, Witnesses: r.witness.Counts(), Cut: context.Cause(r.ctx)}
	result.Left = s.Close()
	return result
}

// A Session runs cases one at a time. Peers keep running from one case to the next. Only one goroutine may use a
// Session at a time.
type Session struct {
	run   *run
	pairs []*pair
}

// Open returns a Session for the cases of the plan. The expectations may be nil. Open starts no peers. A peer inherits
// the files of the next cases when it starts, so running the cases in another order than that of the plan starts peers
// more often. A Session does not use the options Jobs, FailFast and Done. The caller must close it.
func Open(plan []scenario.Case, x *scenario.Expectations, o Options) (*Session, error) {
	if o.Timeout == 0 {
		o.Timeout = process.DefaultTimeout
	}
	if x == nil {
		x = &scenario.Expectations{}
	}
	if err := process.CloseInheritedOnExec(); err != nil {
		return nil, err
	}
	folder, err := tempFolder()
	if err != nil {
		return nil, err
	}
	r := &run{options: o, expectations: x, cases: plan, batched: map[string]bool{}}
	r.environment = &environment{
		ctx:         context.Background(),
		timeout:     o.Timeout,
		folder:      folder,
		hangs:       x.Hangs,
		limit:       newHangLimit(o.MaxHangs),
		runnerFails: x.RunnerFails,
		witness:     &witness.Witness{},
		holders:     &sync.Map{},
		exclusive:   &sync.RWMutex{},
		observe:     o.Observe,
	}
	r.attribution = newAttribution(r.environment, o.Runner)
	s := &Session{run: r}
	for _, group := range groupByPeers(plan) {
		s.pairs = append(s.pairs, &pair{environment: r.environment, cases: group})
	}
	return s, nil
}

// Run runs a case of the plan, which may have run before. If ctx is done first, or if the case is not in the plan, the
// verdict is NotRun.
func (s *Session) Run(ctx context.Context, c scenario.Case) scenario.Result {
	s.run.ctx = ctx
	for _, p := range s.pairs {
		i := slices.Index(p.cases, c)
		if i < 0 {
			continue
		}
		if res := p.run(i); res.Verdict != "" {
			s.run.complete(&res, false)
			return res
		}
		res := without(c, scenario.NotRun, fmt.Sprint("cut short: ", context.Cause(ctx)), false)
		res.Obstacle.Reason = scenario.ReasonCut
		return res
	}
	return without(c, scenario.NotRun, "it is not in the plan of the session", false)
}

// Close ends the peers.
func (s *Session) Close() error {
	for _, p := range s.pairs {
		p.close()
	}
	return nil
}

// tempFolder returns the directory for files that have a name for a moment, and for the folders of cases. The runner
// sends its own processes chdir commands with paths in this directory, so its path must be absolute and must be
// printable ASCII without spaces.
func tempFolder() (string, error) {
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return "", err
	}
	if !contract.Printable(temp) || strings.Contains(temp, " ") {
		return "", fmt.Errorf("the name of the folder for temporary files, %q, cannot be part of a command: "+
			"set TMPDIR to a folder whose name is printable ASCII without spaces", temp)
	}
	if err := unix.Access(temp, unix.W_OK|unix.X_OK); err != nil {
		return "", fmt.Errorf("the folder for temporary files, %s: %w", temp, err)
	}
	return temp, nil
}

// A run is one call of Run, or a Session.
type run struct {
	*environment
	options      Options
	expectations *scenario.Expectations
	attribution  *attribution
	cases        []scenario.Case // the plan
	cut          context.CancelCauseFunc

	batches sync.Mutex
	batched map[string]bool // the peers for which runBatch has run their cases with the runner

	mu      sync.Mutex
	results []scenario.Result
}

// runAll runs the cases in as many jobs as the options allow. It starts with the cases in which
// the runner takes a role, because their results show which peer is at fault in the other cases.
func (r *run) runAll(cases []scenario.Case) {
	var batches [2][][]scenario.Case
	for _, group := range groupByPeers(cases) {
		first, i := group[0], 1
		if first.A.Name == scenario.RunnerName || first.B.Name == scenario.RunnerName {
			i = 0
		}
		batches[i] = slices.AppendSeq(batches[i], slices.Chunk(group, maxBatch))
	}
	for i, groups := range batches {
		work := make(chan []scenario.Case)
		var wg sync.WaitGroup
		for range max(1, r.options.Jobs) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for group := range work {
					runCases(group, r.environment, func(res scenario.Result) { r.done(res, i == 0) })
				}
			}()
		}
		for _, group := range groups {
			if r.ctx.Err() != nil {
				break
			}
			work <- group
		}
		close(work)
		wg.Wait()
	}
}

// maxBatch is how many cases of two peers run one after the other; the rest may run in parallel.
const maxBatch = 400

// groupByPeers returns a group of cases for each two peers, with the cases of both directions.
func groupByPeers(cases []scenario.Case) [][]scenario.Case {
	type peers struct{ a, b *scenario.Peer }
	at := map[peers]int{}
	var groups [][]scenario.Case
	for _, c := range cases {
		key := peers{c.A, c.B}
		if _, ok := at[peers{c.B, c.A}]; ok {
			key = peers{c.B, c.A}
		}
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], c)
	}
	return groups
}

// withRunner returns the cases in which the runner takes a role. For each peer, scenario and role of those that pair
// two peers, it returns the case with the runner as the partner.
func withRunner(cases []scenario.Case, runner *scenario.Peer) (list []scenario.Case) {
	seen := map[string]bool{}
	for _, c := range cases {
		var next []scenario.Case
		switch {
		case c.A.Name == scenario.RunnerName || c.B.Name == scenario.RunnerName:
			next = []scenario.Case{c}
		case c.Scenario.Play == scenario.PlayPair:
			next = []scenario.Case{{Scenario: c.Scenario, Type: c.Type, A: c.A, B: runner}, {Scenario: c.Scenario, Type: c.Type, A: runner, B: c.B}}
		}
		for _, next := range next {
			if !seen[next.Name()] {
				seen[next.Name()] = true
				list = append(list, next)
			}
		}
	}
	return list
}

// complete sets the verdict of a case. A case with an unexpected verdict can run again, or under the recorder. The
// first result of a case of the first batch also helps to find the peer at fault in later cases.
func (r *run) complete(res *scenario.Result, first bool) {
	r.decide(res)
	r.limit.count(*res)
	if first {
		r.attribution.addToBatch(res, r.expectations)
	}
	if res.Unexpected() {
		r.retry(res)
		r.record(res)
	}
}

// done completes the result of a case and keeps it.
func (r *run) done(res scenario.Result, first bool) {
	r.complete(&res, first)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, res)
	if r.options.Done != nil {
		r.options.Done(res)
	}
	if r.options.FailFast && res.Unexpected() {
		r.cut(errFailFast)
	}
}

// decide attributes each finding to the peer at fault and sets the verdict.
func (r *run) decide(res *scenario.Result) {
	r.attribution.runPeersAlone(res)
	r.runBatch(res)
	r.attribution.assignBlame(res)
	r.expectations.SetVerdict(res)
	if !res.Unexpected() {
		res.Facts = nil
	}
}

// runBatch runs the cases of the two peers with the runner if a finding would otherwise name both peers, unless the run
// began with them. Most sessions, and most runs about some of the peers, have no such finding, so they save the time.
// The results are used for attribution only and do not appear in the report.
func (r *run) runBatch(res *scenario.Result) {
	if r.options.Runner == nil || len(r.attribution.blame(res)) == len(res.Findings) {
		return // no finding names both peers
	}
	r.batches.Lock()
	defer r.batches.Unlock()
	for _, p := range []*scenario.Peer{res.Case.A, res.Case.B} {
		if r.batched[p.Name] || r.attribution.inBatch(p) {
			continue
		}
		batch := newAttribution(r.environment, nil) // other jobs must not see a part of the batch
		env := *r.environment
		env.limit = newHangLimit(r.options.MaxHangs) // hangs that the report does not contain do not count there
		all := withRunner(r.cases, r.options.Runner)
		for _, group := range groupByPeers(slices.DeleteFunc(all, func(c scenario.Case) bool { return c.A != p && c.B != p })) {
			runCases(group, &env, func(res scenario.Result) {
				r.decide(&res)
				batch.addToBatch(&res, r.expectations)
				env.limit.count(res)
			})
		}
		if r.ctx.Err() != nil {
			return
		}
		r.batched[p.Name] = true
		r.attribution.join(batch)
	}
}

// retry runs an unexpected case again, up to Options.Retries times. If a later result is as expected, the case is
// flaky.
func (r *run) retry(res *scenario.Result) {
	for try := range r.options.Retries {
		var next scenario.Result
		runCases([]scenario.Case{res.Case}, r.environment, func(again scenario.Result) {
			r.decide(&again)
			next = again
		})
		if next.Verdict == "" {
			return // the run is cut short
		}
		res.Tries = try + 2
		// Any other verdict is unexpected or says nothing about the peers.
		if next.Verdict == scenario.Pass || next.Verdict == scenario.Expected {
			res.Why = fmt.Sprintf("%s at first, and %s on attempt %d", res.Verdict, next.Verdict, res.Tries)
			res.Verdict = scenario.Flaky
			return
		}
	}
}

// record runs a failed case again under the recorder. The second result does not change the
// verdict, and is not used to attribute later findings.
func (r *run) record(res *scenario.Result) {
	if r.options.Recorder == nil || !res.Unexpected() || len(res.Findings) == 0 {
		return
	}
	env := *r.environment
	env.recordings = map[scenario.Role]*process.Recording{}
	for _, role := range roles {
		env.recordings[role] = &process.Recording{With: r.options.Recorder}
	}
	var next *scenario.Result
	runCases([]scenario.Case{res.Case}, &env, func(again scenario.Result) { next = &again })
	if next == nil {
		return // the run is cut short
	}
	next.Findings = r.attribution.blame(next) // how a peer behaves under a recorder is no reference
	r.expectations.SetVerdict(next)
	a, b := env.recordings[scenario.RoleA].Take(), env.recordings[scenario.RoleB].Take()
	res.Trace = &scenario.Trace{Why: differs(res, next), Transcript: next.Transcript, A: a, B: b}
	for role, rec := range env.recordings {
		if rec.Err != nil {
			res.Trace.Why = fmt.Sprintf("%s cannot be recorded: %v", res.Case.Peer(role).Name, rec.Err)
		}
	}
}

// differs returns how the result of a case under the recorder differs from the one before, or "".
func differs(was, now *scenario.Result) string {
	switch found := now.Keys(); {
	case !now.Unexpected():
		return strings.TrimSuffix(fmt.Sprintf("it does not fail under the recorder: %s: %s", now.Verdict, now.Why), ": ")
	case !slices.Equal(was.Keys(), found):
		return "it fails in another way under the recorder: " + strings.Join(found, " ")
	}
	return ""
}
