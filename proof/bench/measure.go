//go:build linux && cgo

package main

import (
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

type loop func(passes int)

// measure measures each way with each load that it can pass.
func measure(ways []way, rounds int) (rows []row) {
	if os.Getenv(stepped) != "" {
		beCounted(ways)
	}
	for _, l := range loads {
		if ways := l.of(ways); len(ways) > 0 {
			rows = append(rows, play(l, ways, rounds)...)
		}
	}
	countInstructions(rows)
	return rows
}

// play measures each way between two samples of the reference. The order of the ways changes from round to round.
func play(l load, ways []way, rounds int) []row {
	if l.echo {
		defer onOneProcessor()() // otherwise processors would sleep in between, and take long to wake up
	}
	passes := max(1, 1500/l.count)
	c := l.loop(func(s sockets, l load) loop { return func(n int) { check(reference(s, l, n)) } })
	var loops []loop
	for _, w := range ways {
		loops = append(loops, l.loop(w.loop))
	}
	var references []float64
	ratios := make([][]float64, len(ways))
	for range rounds {
		for _, i := range rand.Perm(len(ways)) {
			before, took, after := c.time(passes), loops[i].time(passes), c.time(passes)
			references = append(references, before, after)
			ratios[i] = append(ratios[i], 2*took/(before+after))
		}
	}
	base := quantile(references, 0.5) / float64(passes*l.count)
	rows := []row{{Load: l.name, Way: "C", Nanoseconds: base, Ratio: 1, Low: 1, Top: 1}}
	for i, w := range ways {
		r := row{Load: l.name, Way: w.name, counted: l.counted(), Ratio: quantile(ratios[i], 0.5), Low: quantile(ratios[i], 0.25), Top: quantile(ratios[i], 0.75)}
		r.Nanoseconds = base * r.Ratio
		r.Allocs = testing.AllocsPerRun(1, func() { loops[i](passes) }) / float64(passes)
		rows = append(rows, r)
	}
	return rows
}

func (l load) of(ways []way) []way {
	return slices.DeleteFunc(slices.Clone(ways), func(w way) bool { return !slices.Contains(l.takes, w.form) })
}

// loop returns a loop over a new pair of sockets, because some ways change the mode of their sockets. If there are
// several goroutines, they share the passes.
func (l load) loop(make func(s sockets, l load) loop) loop {
	if l.goroutines == 1 {
		return make(newSockets(l), l)
	}
	var loops []loop
	for range l.goroutines {
		loops = append(loops, make(newSockets(l), l))
	}
	return func(n int) {
		var all sync.WaitGroup
		for _, loop := range loops {
			all.Go(func() { loop(max(1, n/len(loops))) })
		}
		all.Wait()
	}
}

func (w way) loop(s sockets, l load) loop {
	pass := w.make(s, l)
	return func(n int) {
		for range n {
			pass()
		}
	}
}

// time returns how many nanoseconds n passes take. It warms up first, because a processor is slow in the first
// milliseconds after an idle period.
func (l loop) time(n int) float64 {
	for start := time.Now(); time.Since(start) < 9*time.Millisecond; {
		l(max(1, n/10))
	}
	start := time.Now()
	l(n)
	return float64(time.Since(start))
}

// quantile returns the value below which this part of the list lies, and 0 for an empty list.
func quantile(list []float64, part float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[int(part*float64(len(list)-1)+0.5)]
}
