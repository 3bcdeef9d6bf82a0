//go:build linux && cgo

package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// A contest is the ways that can carry a load, and their results.
type contest struct {
	load    load
	pair    pair // the reference's
	results []*result
}

// A result is what was measured of a way.
type result struct {
	name   string
	pass   pass
	ratios []float64 // to the reference beside it
	allocs float64   // a pass
	bytes  float64
}

func newContest(l load, ways []way) (*contest, error) {
	c := &contest{load: l}
	var err error
	if c.pair, err = newPair(l.kind); err != nil {
		return nil, err
	}
	for _, w := range ways {
		if !slices.Contains(l.takes, w.form) {
			continue
		}
		// A pair of its own: what one way does to its sockets is no other's concern.
		p, err := newPair(l.kind)
		if err != nil {
			return nil, err
		}
		r := &result{name: w.name}
		if r.pass, err = w.make(p, l.count); err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		c.results = append(c.results, r)
	}
	return c, nil
}

// warmth is how long a way runs before it is timed: the first milliseconds behind an
// idle spell are slow.
const warmth = 9 * time.Millisecond

// measure times all ways in turn, in another order in each round, each between two
// samples of the reference, and returns what those took.
func (c *contest) measure(rounds, passes int) (references []time.Duration, err error) {
	for range rounds {
		for _, i := range rand.Perm(len(c.results)) {
			r := c.results[i]
			before, err := c.reference(passes)
			if err != nil {
				return nil, err
			}
			took, err := timed(r.pass, passes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			after, err := c.reference(passes)
			if err != nil {
				return nil, err
			}
			references = append(references, before, after)
			r.ratios = append(r.ratios, 2*float64(took)/float64(before+after))
		}
	}
	for _, r := range c.results {
		if err := r.count(passes); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return references, nil
}

func (c *contest) reference(passes int) (time.Duration, error) {
	return timedLoop(func(n int) error { return reference(c.pair, c.load, n) }, passes)
}

func timed(one pass, passes int) (time.Duration, error) {
	return timedLoop(func(n int) error {
		for range n {
			if err := one(); err != nil {
				return err
			}
		}
		return nil
	}, passes)
}

// timedLoop times a loop that is warm.
func timedLoop(loop func(n int) error, passes int) (time.Duration, error) {
	for start := time.Now(); time.Since(start) < warmth; {
		if err := loop(max(1, passes/10)); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	err := loop(passes)
	return time.Since(start), err
}

// count counts allocations, apart from the time that is measured.
func (r *result) count(passes int) error {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range passes {
		if err := r.pass(); err != nil {
			return err
		}
	}
	runtime.ReadMemStats(&after)
	r.allocs = float64(after.Mallocs-before.Mallocs) / float64(passes)
	r.bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(passes)
	return nil
}

// quantile is the value below which that part of the list is.
func quantile[T float64 | time.Duration](list []T, part float64) T {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[int(part*float64(len(list)-1)+0.5)]
}
