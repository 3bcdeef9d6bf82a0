package interop

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how to run.
type Options struct {
	Jobs    int           // sessions at once; 0 is 1
	Timeout time.Duration // for each answer; 0 is DefaultTimeout
	Done    func(Result)  // called for each result, one at a time, as it comes
}

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
}

// Runner is the runner as a peer: a name in cases, and the one opposite in
// scenarios that are not for pairs.
func Runner() (*Peer, error) {
	p := runnerPeer()
	return p, p.Probe(DefaultTimeout)
}

// Run plays the cases and judges them by the expectations, which may be nil.
func Run(ctx context.Context, cases []Case, x *Expectations, o Options) Outcome {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if x == nil {
		x = &Expectations{}
	}
	r := &run{options: o, expectations: x, witness: &witness{}, blamed: map[string]bool{}}
	r.all(ctx, cases)
	return Outcome{Results: r.results, Witnesses: r.witness.counts(), Cut: context.Cause(ctx)}
}

type run struct {
	options      Options
	expectations *Expectations
	witness      *witness

	mu      sync.Mutex
	results []Result
	blamed  map[string]bool // by Case.asSender: who gets it wrong with the runner
}

func (r *run) all(ctx context.Context, cases []Case) {
	common := rules{ctx: ctx, timeout: r.options.Timeout, witness: r.witness, hangs: r.expectations.hangs}
	// The runner's own pairs first: they tell who is to blame in the others.
	var batches [2][][]Case
	for _, group := range groupByPeers(cases) {
		first := group[0]
		if first.A.Name == RunnerName || first.B.Name == RunnerName {
			batches[0] = append(batches[0], group)
		} else {
			batches[1] = append(batches[1], group)
		}
	}
	for _, groups := range batches {
		work := make(chan []Case)
		var wg sync.WaitGroup
		for range max(1, r.options.Jobs) {
			wg.Go(func() {
				for group := range work {
					playAll(group, common, r.done)
				}
			})
		}
		for _, group := range groups {
			if ctx.Err() != nil {
				break
			}
			work <- group
		}
		close(work)
		wg.Wait()
	}
}

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

func (r *run) done(res Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blame(&res)
	r.expectations.judge(&res)
	r.results = append(r.results, res)
	if r.options.Done != nil {
		r.options.Done(res)
	}
}

// blame gives a wrong file or answer at the receiver, or one that never came, to
// the sender, if the sender gets the same scenario wrong with the runner too. The
// runner itself is never wrong.
func (r *run) blame(res *Result) {
	c := res.Case
	for i := range res.Findings {
		f := &res.Findings[i]
		message := f.Check == CheckFile || f.Check == CheckAnswer || f.Check == CheckHang
		switch {
		case f.Peer == RunnerName && c.A != c.B && (message || f.Check == CheckLeak):
			f.Peer = c.opposite(RunnerName).Name
		case f.Peer == c.B.Name && message && r.blamed[c.asSender()]:
			f.Peer = c.A.Name
		default:
			continue
		}
		if f.Check == CheckHang {
			f.Check, f.Text = CheckAnswer, "what it said that it sent did not come"
		}
	}
	for _, f := range res.Findings {
		if c.B.Name == RunnerName && f.Peer == c.A.Name && (f.Check == CheckFile || f.Check == CheckAnswer) {
			r.blamed[c.asSender()] = true
		}
	}
}
