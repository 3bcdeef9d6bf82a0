//go:build linux && cgo

package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// play has the ways carry a load. Each is timed in turn, in another order in each round, between
// two samples of the reference. As long as a sample has more than that many descriptors, it has
// fewer passes.
func play(l load, ways []way, rounds, passes int) ([]row, error) {
	ways = slices.DeleteFunc(slices.Clone(ways), func(w way) bool { return !slices.Contains(l.takes, w.form) })
	if len(ways) == 0 {
		return nil, nil // nobody is asked
	}
	each := l.count * l.messages
	passes = max(1, passes/each)
	own := newPair(l.kind)
	loop := func(n int) error { return reference(own, l, n) }
	loops := make([]func(n int) error, len(ways))
	for i, w := range ways {
		loops[i] = w.loop(l)
	}
	var references []float64
	ratios := make([][]float64, len(ways))
	for range rounds {
		for _, i := range rand.Perm(len(ways)) {
			var took [3]float64
			for j, loop := range []func(n int) error{loop, loops[i], loop} {
				var err error
				if took[j], err = timed(loop, passes); err != nil {
					return nil, fmt.Errorf("%s: %w", ways[i].name, err)
				}
			}
			references = append(references, took[0], took[2])
			ratios[i] = append(ratios[i], 2*took[1]/(took[0]+took[2]))
		}
	}
	base := quantile(references, 0.5) / float64(passes*each)
	rows := []row{{Load: l.name, Way: "C", Nanoseconds: base, Ratio: 1, Low: 1, Top: 1}}
	for i, w := range ways {
		median := quantile(ratios[i], 0.5)
		allocs, bytes, err := allocated(loops[i], passes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		rows = append(rows, row{l.name, w.name, base * median, median, quantile(ratios[i], 0.25), quantile(ratios[i], 0.75), allocs, bytes})
	}
	return rows, nil
}

// loop makes a loop of passes over a pair of its own: what one way does to its sockets is no other's
// concern.
func (w way) loop(l load) func(n int) error {
	pass := w.make(newPair(l.kind), l.count)
	return func(n int) error {
		for range n {
			if err := pass(); err != nil {
				return err
			}
		}
		return nil
	}
}

// warmth is how long a way runs before it is timed: the first milliseconds behind an
// idle spell are slow.
const warmth = 9 * time.Millisecond

// timed returns how many nanoseconds a loop takes that is warm.
func timed(loop func(n int) error, passes int) (float64, error) {
	for start := time.Now(); time.Since(start) < warmth; {
		if err := loop(max(1, passes/10)); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	err := loop(passes)
	return float64(time.Since(start)), err
}

// allocated counts allocations a pass, apart from the time that is measured.
func allocated(loop func(n int) error, passes int) (count, bytes float64, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	err = loop(passes)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(passes), float64(after.TotalAlloc-before.TotalAlloc) / float64(passes), err
}

// quantile is the value below which that part of the list is.
func quantile(list []float64, part float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[int(part*float64(len(list)-1)+0.5)]
}
