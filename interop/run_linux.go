package interop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// Options say how to run.
type Options struct {
	Jobs     int                   // sessions at once; 0 is 1
	Timeout  time.Duration         // for each answer; 0 is DefaultTimeout
	Retries  int                   // how often a case is played again that is not as expected
	FailFast bool                  // the run ends with the first case that is not as expected
	Runner   *scenario.Peer        // to play opposite where it has to be found out whose doing it is
	Recorder process.Recorder      // records a case that has failed, when it is played once more; nil records nothing
	Done     func(scenario.Result) // called for each result, one at a time, as it comes
}

// errFailFast is why a run ends that was to end so.
var errFailFast = errors.New("the first case that is not as expected")

// jobNumbers is how many numbers of this process a job may take: the runner's
// copies of the files of a session, and their other ends.
const jobNumbers = 2400

// peerNumbers is how many numbers a peer may take: those that it is given, and those that
// it receives.
const peerNumbers = 1024

// MaxJobs is how many jobs this process has descriptors for. It is an error if
// there are not enough for one, or if a peer would have too few.
func MaxJobs() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	if limit.Cur < jobNumbers {
		return 0, fmt.Errorf("the limit of open files is %d, and a run needs %d: see ulimit -n", limit.Cur, jobNumbers)
	}
	// Go raises the soft limit of this process, and gives a program that it starts the old one.
	text, err := exec.Command("/bin/sh", "-c", "ulimit -Sn").Output()
	if n, e := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && e == nil && n < peerNumbers {
		return 0, fmt.Errorf("the soft limit of open files is %d, and a peer needs %d: see ulimit -Sn", n, peerNumbers)
	}
	return int(min(limit.Cur/jobNumbers, 1000)), nil
}

// Run plays the cases and judges them by the expectations, which may be nil.
func Run(ctx context.Context, cases []scenario.Case, x *scenario.Expectations, o Options) scenario.Outcome {
	if o.Timeout == 0 {
		o.Timeout = process.DefaultTimeout
	}
	if x == nil {
		x = &scenario.Expectations{}
	}
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	if err := process.KeepToOurselves(); err != nil {
		return scenario.Outcome{Broken: err}
	}
	folder, err := newFolder()
	if err != nil {
		return scenario.Outcome{Broken: err}
	}
	r := &run{options: o, expectations: x, cut: cut, alone: map[string][]scenario.Check{}}
	r.shared = shared{
		ctx: ctx, timeout: o.Timeout, folder: folder, hangs: x.Hangs, runnerFails: x.RunnerFails,
		witness: &witness.Witness{}, holders: &sync.Map{}, exclusive: &sync.RWMutex{},
	}
	r.all(cases)
	outcome := scenario.Outcome{Results: r.results, Witnesses: r.witness.Counts(), Cut: context.Cause(ctx)}
	outcome.Left = os.RemoveAll(folder)
	return outcome
}

// newFolder makes a folder for whatever has a name. Its own is for every working folder, and
// for a line of the runner's own sides.
func newFolder() (string, error) {
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return "", err
	}
	if !contract.Printable(temp) || strings.Contains(temp, " ") {
		return "", fmt.Errorf("the folder of temporary files, %q, has a name that no command can tell: "+
			"set TMPDIR to one of ASCII characters, without spaces", temp)
	}
	dir, err := os.MkdirTemp(temp, fmt.Sprintf("scm-interop-%d-*.d", os.Getpid()))
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711) // other users, as whom a side may play, pass through
}

type run struct {
	shared
	options      Options
	expectations *scenario.Expectations
	cut          context.CancelCauseFunc

	mu      sync.Mutex
	results []scenario.Result
	alone   map[string][]scenario.Check // what a peer gets wrong with the runner, by Case.AloneName
}

func (r *run) all(cases []scenario.Case) {
	// The runner's own pairs first: they tell whose doing it is in the others.
	var batches [2][][]scenario.Case
	for _, group := range groupByPeers(cases) {
		first, i := group[0], 1
		if first.A.Name == scenario.RunnerName || first.B.Name == scenario.RunnerName {
			i = 0
		}
		batches[i] = slices.AppendSeq(batches[i], slices.Chunk(group, mostTogether))
	}
	for _, groups := range batches {
		work := make(chan []scenario.Case)
		var wg sync.WaitGroup
		for range max(1, r.options.Jobs) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for group := range work {
					playAll(group, r.shared, r.done)
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

// mostTogether is how many cases of two peers are played one after the other; the
// rest may be played at the same time.
const mostTogether = 400

// groupByPeers puts the cases of each two peers together, in both directions.
func groupByPeers(cases []scenario.Case) [][]scenario.Case {
	type pair struct{ a, b *scenario.Peer }
	at := map[pair]int{}
	var groups [][]scenario.Case
	for _, c := range cases {
		key := pair{c.A, c.B}
		if _, ok := at[pair{c.B, c.A}]; ok {
			key = pair{c.B, c.A}
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

// done decides a result, and keeps it.
func (r *run) done(res scenario.Result) {
	r.decide(&res)
	if res.Unexpected() {
		r.again(&res)
		r.record(&res)
	}
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

// decide finds out which peer a finding is about, and sets the verdict.
func (r *run) decide(res *scenario.Result) {
	r.playWithRunner(res)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.assignBlame(res)
	r.expectations.SetVerdict(res)
}

// again plays a case that is not as expected once more, or more often. One that is
// as expected then has been neither: it is flaky.
func (r *run) again(res *scenario.Result) {
	for try := range r.options.Retries {
		var next scenario.Result
		playAll([]scenario.Case{res.Case}, r.shared, func(again scenario.Result) {
			r.decide(&again)
			next = again
		})
		if next.Verdict == "" {
			return // the run is cut short
		}
		res.Tries = try + 2
		if next.Verdict == scenario.Pass || next.Verdict == scenario.Expected { // the others say nothing of the peers, or are not expected
			res.Why = fmt.Sprintf("%s at first, and %s when it was played for the %d. time", res.Verdict, next.Verdict, res.Tries)
			res.Verdict = scenario.Flaky
			return
		}
	}
}

// record plays a case that has failed once more, under the recorder. The verdict and what
// is known of the peers stay.
func (r *run) record(res *scenario.Result) {
	if r.options.Recorder == nil || !res.Unexpected() || len(res.Findings) == 0 {
		return
	}
	shared := r.shared
	shared.records = map[scenario.Role]*process.Record{}
	for _, role := range roles {
		shared.records[role] = &process.Record{With: r.options.Recorder}
	}
	var next *scenario.Result
	playAll([]scenario.Case{res.Case}, shared, func(again scenario.Result) { next = &again })
	if next == nil {
		return // the run is cut short
	}
	r.mu.Lock()
	alone := maps.Clone(r.alone) // what a peer does under a recorder is no reference
	r.assignBlame(next)
	r.alone = alone
	r.mu.Unlock()
	r.expectations.SetVerdict(next)
	a, b := shared.records[scenario.RoleA].Take(), shared.records[scenario.RoleB].Take()
	res.Trace = &scenario.Trace{Why: differs(res, next), Transcript: next.Transcript, A: a, B: b}
	for role, rec := range shared.records {
		if rec.Err != nil {
			res.Trace.Why = fmt.Sprintf("%s cannot be recorded: %v", res.Case.Peer(role).Name, rec.Err)
		}
	}
}

// differs tells how what came of a case under the recorder is not what came of it
// before.
func differs(was, now *scenario.Result) string {
	keys := func(r *scenario.Result) []string {
		var list []string
		for _, f := range r.Findings {
			list = append(list, f.Key())
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	switch found := keys(now); {
	case !now.Unexpected():
		return strings.TrimSuffix(fmt.Sprintf("it does not fail under the recorder: %s: %s", now.Verdict, now.Why), ": ")
	case !slices.Equal(keys(was), found):
		return "it fails in another way under the recorder: " + strings.Join(found, " ")
	}
	return ""
}
