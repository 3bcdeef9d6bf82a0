package scenario

import (
	"cmp"
	"fmt"
	"slices"
)

// Plan lists the cases of the scenarios with the peers and the runner: pair
// scenarios with every ordered pair, kernel scenarios once, the others with the
// runner opposite.
func Plan(scenarios []*Scenario, peers []*Peer, runner *Peer) []Case {
	var cases []Case
	all := append(slices.Clone(peers), runner)
	for _, s := range scenarios {
		for _, t := range s.Types {
			add := func(a, b *Peer) {
				cases = append(cases, Case{Scenario: s.withPayload(cmp.Or(a.Hello.Payload, b.Hello.Payload)), Type: t, A: a, B: b})
			}
			if s.Play == PlayKernel {
				add(runner.Kernel(), runner.Kernel())
				continue
			}
			for _, p := range all {
				switch s.Play {
				case PlayPair:
					for _, q := range all {
						add(p, q)
					}
				case PlaySolo:
					add(p, runner)
					if p != runner {
						add(runner, p)
					}
				case PlaySender:
					add(p, runner)
				case PlayReceiver:
					add(runner, p)
				}
			}
		}
	}
	return cases
}

// Filter selects cases: those that any of Run matches, or all if there is none,
// without those that any of Skip matches.
type Filter struct {
	Run, Skip []Pattern
}

// Apply returns the selected cases. A pattern that matches no case is an error.
func (f Filter) Apply(cases []Case) ([]Case, error) {
	matched := map[string]bool{}
	match := func(patterns []Pattern, name string) bool {
		any := false
		for _, p := range patterns {
			if p.Match(name) {
				matched[p.text] = true
				any = true
			}
		}
		return any
	}
	var selected []Case
	for _, c := range cases {
		name := c.Name()
		run := match(f.Run, name) || len(f.Run) == 0
		skip := match(f.Skip, name)
		if run && !skip {
			selected = append(selected, c)
		}
	}
	for _, p := range slices.Concat(f.Run, f.Skip) {
		if !matched[p.text] {
			return nil, fmt.Errorf("pattern %q matches no case", p.text)
		}
	}
	return selected, nil
}
