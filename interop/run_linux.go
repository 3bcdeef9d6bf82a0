package interop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how to run.
type Options struct {
	Jobs     int           // sessions at once; 0 is 1
	Timeout  time.Duration // for each answer; 0 is DefaultTimeout
	Retries  int           // how often a case is played again that is not as expected
	FailFast bool          // the run ends with the first case that is not as expected
	Runner   *Peer         // to play opposite where it has to be found out who is to blame
	Recorder Recorder      // records a case that has failed, when it is played once more; nil records nothing
	Done     func(Result)  // called for each result, one at a time, as it comes
}

// errFailFast is why a run ends that was to end so.
var errFailFast = errors.New("the first case that is not as expected")

// DefaultTimeout ends what hangs: no verdict depends on how fast a peer is.
const DefaultTimeout = 10 * time.Second

// jobNumbers is how many numbers of this process a job may take: the runner's
// copies of the files of a session, their other ends, and what the peers that are
// inside this process hold.
const jobNumbers = 4 * poolNumbers

// MaxJobs is how many jobs this process has descriptors for. It is an error if
// there are not enough for one.
func MaxJobs() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	if limit.Cur < jobNumbers {
		return 0, fmt.Errorf("the limit of open files is %d, and a run needs %d: see ulimit -n", limit.Cur, jobNumbers)
	}
	return int(min(limit.Cur/jobNumbers, 1000)), nil
}

// An Outcome is what came of a run.
type Outcome struct {
	Results   []Result
	Witnesses map[string]int // how often each of the kernel's ways of telling was used
	Cut       error          // why the run ended early
	Broken    error          // why it did not begin
}

// Run plays the cases and judges them by the expectations, which may be nil.
func Run(ctx context.Context, cases []Case, x *Expectations, o Options) Outcome {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if x == nil {
		x = &Expectations{}
	}
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	r := &run{options: o, expectations: x, cut: cut, standings: map[string][]Check{}}
	area, err := newArea()
	if err != nil {
		return Outcome{Broken: err}
	}
	defer area.remove()
	r.rules = rules{ctx: ctx, timeout: o.Timeout, witness: &witness{}, area: area, holders: &holders{}, crowd: &sync.RWMutex{}, hangs: x.hangs, beyond: x.beyond}
	r.all(cases)
	return Outcome{Results: r.results, Witnesses: r.witness.counts(), Cut: context.Cause(ctx)}
}

type run struct {
	rules
	options      Options
	expectations *Expectations
	cut          context.CancelCauseFunc

	mu        sync.Mutex
	results   []Result
	standings map[string][]Check // by Case.standing: what a peer gets wrong with the runner
}

func (r *run) all(cases []Case) {
	// The runner's own pairs first: they tell who is to blame in the others.
	var batches [2][][]Case
	for _, group := range groupByPeers(cases) {
		first, i := group[0], 1
		if first.A.Name == RunnerName || first.B.Name == RunnerName {
			i = 0
		}
		batches[i] = slices.AppendSeq(batches[i], slices.Chunk(group, mostTogether))
	}
	for _, groups := range batches {
		work := make(chan []Case)
		var wg sync.WaitGroup
		for range max(1, r.options.Jobs) {
			wg.Go(func() {
				for group := range work {
					playAll(group, r.rules, r.done)
				}
			})
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
const mostTogether = 200

// groupByPeers puts the cases of each two peers together, in both directions.
func groupByPeers(cases []Case) [][]Case {
	type pair struct{ a, b *Peer }
	at := map[pair]int{}
	var groups [][]Case
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

// done judges a result, and keeps it.
func (r *run) done(res Result) {
	r.judge(&res)
	if !res.AsExpected() {
		r.again(&res)
		r.record(&res)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, res)
	if r.options.Done != nil {
		r.options.Done(res)
	}
	if r.options.FailFast && !res.AsExpected() {
		r.cut(errFailFast)
	}
}

func (r *run) judge(res *Result) {
	r.refer(res)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blame(res)
	r.learn(res)
	r.expectations.judge(res)
}

// again plays a case that is not as expected once more, or more often. One that is
// as expected then has been neither: it is flaky.
func (r *run) again(res *Result) {
	for try := range r.options.Retries {
		var next Result
		playAll([]Case{res.Case}, r.rules, func(again Result) {
			r.judge(&again)
			next = again
		})
		if next.Verdict == "" {
			return // the run is cut short
		}
		res.Tries = try + 2
		if next.AsExpected() {
			res.Why = fmt.Sprintf("%s at first, and %s when it was played for the %d. time", res.Verdict, next.Verdict, res.Tries)
			res.Verdict = Flaky
			return
		}
	}
}
