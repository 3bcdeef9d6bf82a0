package scenario

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/scm-rights/scm/interop/expected"
)

// Plan returns all cases that combine the scenarios with the peers and the runner.
func Plan(scenarios []*Scenario, peers []*Peer, runner *Peer) []Case {
	var cases []Case
	all := append(slices.Clone(peers), runner)
	for _, s := range scenarios {
		for _, t := range s.Types {
			add := func(a, b *Peer) {
				sent := s.withPayload(cmp.Or(a.Hello.Payload, b.Hello.Payload))
				cases = append(cases, Case{Scenario: sent, Type: t, A: a, B: b})
			}
			if s.Play == PlayKernel {
				add(runner.Kernel(), runner.Kernel())
				continue
			}
			for _, p := range all {
				if s.Play == PlayPair {
					for _, q := range all {
						add(p, q)
					}
				}
				if s.Play == PlaySolo || s.Play == PlaySender {
					add(p, runner)
				}
				if s.Play == PlayReceiver || s.Play == PlaySolo && p != runner {
					add(runner, p)
				}
			}
		}
	}
	return cases
}

// About reports whether a run about these peers includes the case: one of them takes part, or it is a control, or it
// tests the kernel. Every case belongs to a run about no peer in particular.
func (c Case) About(names []string) bool {
	return len(names) == 0 || slices.Contains(names, c.A.Name) || slices.Contains(names, c.B.Name) || c.Control() || c.A.Name == KernelName
}

// Spare reports whether a run with few pairs leaves out the case: it pairs a peer that has FewPairs with a
// peer other than itself, the runner and the partner.
func (c Case) Spare(partner string) bool {
	return c.A.spares(c.B, partner) || c.B.spares(c.A, partner)
}

func (p *Peer) spares(other *Peer, partner string) bool {
	return p.FewPairs && !slices.Contains([]string{p.Name, RunnerName, partner}, other.Name)
}

// A Filter selects the cases that match a pattern in Run and do not match any pattern in
// Skip. If Run is empty, it selects all cases that do not match a pattern in Skip.
type Filter struct {
	Run, Skip []expected.Pattern
}

// Apply returns the selected cases. It returns an error if a pattern matches no case, or
// if an alternative in its braces matches no case, whatever the peers.
func (f Filter) Apply(cases []Case) (selected []Case, err error) {
	matched := map[string]bool{}
	match := func(patterns []expected.Pattern, name string) (any bool) {
		for _, p := range patterns {
			if p.Match(name) {
				matched[p.String()], any = true, true
			}
		}
		return any
	}
	for _, c := range cases {
		run, skip := match(f.Run, c.Name()), match(f.Skip, c.Name())
		if (run || len(f.Run) == 0) && !skip {
			selected = append(selected, c)
		}
	}
	patterns := slices.Concat(f.Run, f.Skip)
	if len(patterns) == 0 {
		return selected, nil
	}
	starts, peers := partsOf(cases)
	for _, p := range patterns {
		if !matched[p.String()] {
			return nil, fmt.Errorf("pattern %q matches no case: %s", p.String(), p.Mismatch(starts, peers))
		}
		for _, alt := range p.Alternatives() {
			if !slices.ContainsFunc(starts, alt.Only.MatchesStart) {
				return nil, fmt.Errorf("pattern %q: the alternative %q matches no case: %s", p.String(), alt.Text, alt.Only.Mismatch(starts, peers))
			}
		}
	}
	return selected, nil
}

// KernelOnly returns the kernel cases that an alternative of a pattern in Run selects that matches no other case.
func (f Filter) KernelOnly(cases []Case) (selected []Case) {
	for _, run := range f.Run {
		for _, p := range run.Expand() {
			matches := func(kernel bool) func(Case) bool {
				return func(c Case) bool { return c.Kernel() == kernel && p.Match(c.Name()) }
			}
			if !slices.ContainsFunc(cases, matches(true)) || slices.ContainsFunc(cases, matches(false)) {
				continue
			}
			for _, c := range cases {
				if matches(true)(c) {
					selected = append(selected, c)
				}
			}
		}
	}
	return selected
}

// partsOf returns the starts of the cases, and the names of their peers.
func partsOf(cases []Case) (starts []expected.Start, peers []string) {
	seen := map[*Scenario]bool{}
	for _, c := range cases {
		if !seen[c.Scenario] {
			seen[c.Scenario] = true
			starts = append(starts, startsOf(c.Scenario)...)
		}
		for _, p := range []*Peer{c.A, c.B} {
			if !slices.Contains(peers, p.Name) {
				peers = append(peers, p.Name)
			}
		}
	}
	return starts, peers
}
