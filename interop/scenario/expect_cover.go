package scenario

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A scope is a part of a pattern: one scenario, all of a group if the name is GROUP/*, or all of
// them if the name is empty, and the pattern for the rest of the name of a case, TYPE/SENDER/RECEIVER.
type scope struct{ scenario, tail string }

// anyID replaces the ID of a scenario in the scope of a whole group.
const anyID = "/*"

// selects reports whether the pattern with this scope matches the name of a case.
func (s scope) selects(name string) bool {
	scenario, tail := cutCaseName(name)
	group, ofGroup := strings.CutSuffix(s.scenario, anyID)
	if s.scenario != "" && s.scenario != scenario && !(ofGroup && group == groupOf(scenario)) {
		return false
	}
	p, err := ParsePattern(s.tail)
	return err == nil && p.Match(tail) // cover has parsed the tail
}

// cutCaseName splits the name of a case into GROUP/ID and TYPE/SENDER/RECEIVER.
func cutCaseName(name string) (scenario, tail string) {
	parts := strings.SplitN(name, "/", 3)
	return strings.Join(parts[:2], "/"), parts[2]
}

// groupOf returns the group of GROUP/ID.
func groupOf(scenario string) string {
	group, _, _ := strings.Cut(scenario, "/")
	return group
}

// parsePatterns parses several patterns. They contain names from a report, which can be invalid.
func parsePatterns(texts ...string) (list []Pattern, err error) {
	for _, text := range texts {
		p, err := ParsePattern(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// cover returns few scopes that together select every case in must and no case in never. All
// these cases involve the peer. In each step, it takes the tail that selects most of the remaining
// cases, in all scenarios where that tail selects no case in never. The tails are those that are
// common in lists of expected failures, so cover does not always find the fewest scopes.
func cover(peer string, must, never []string) ([]scope, error) {
	return coverWith(peer, must, never, false)
}

// coverWith is cover, and also uses scopes of whole groups if byGroup is true.
func coverWith(peer string, must, never []string, byGroup bool) (list []scope, err error) {
	c := &coverage{peer: peer, must: byScenario(must), never: byScenario(never), matches: map[[2]string]bool{}}
	types := typePatterns(must)
	roles, err := rolePatterns(peer, types)
	if err != nil {
		return nil, err
	}
	partners, err := partnerPatterns(peer, types, must, never)
	if err != nil {
		return nil, err
	}
	anyRole := append([]Pattern{anyCase}, roles...) // "**" is the simplest of those that select everything
	for tail, n := c.best(anyRole, c.countEverywhere); n > 0; tail, n = c.best(anyRole, c.countEverywhere) {
		list = append(list, scope{"", tail.text})
		for s := range c.must {
			c.drop(s, tail)
		}
	}
	if byGroup {
		list = append(list, c.coverGroups(roles)...)
	}
	tails := append(roles, partners...)
	for tail, n := c.best(tails, c.count); n > 0; tail, n = c.best(tails, c.count) {
		for _, s := range slices.Sorted(maps.Keys(c.must)) {
			n := c.countIn(s, tail)
			if n == 0 {
				continue
			}
			simplest := slices.IndexFunc(tails, func(p Pattern) bool { return c.countIn(s, p) == n })
			list = append(list, scope{s, tails[simplest].text})
			c.drop(s, tails[simplest])
		}
	}
	return list, nil
}

// coverGroups returns scopes for whole groups, where a tail selects no case in never, and drops
// the cases that they select. A group of which fewer than two scenarios remain needs no such scope.
func (c *coverage) coverGroups(tails []Pattern) (list []scope) {
	groups := map[string]int{} // number of remaining scenarios
	for s := range c.must {
		groups[groupOf(s)]++
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		if groups[group] < 2 {
			continue
		}
		count := func(p Pattern) int { return c.countInGroup(group, p) }
		for tail, n := c.best(tails, count); n > 0; tail, n = c.best(tails, count) {
			list = append(list, scope{group + anyID, tail.text})
			for s := range c.must {
				if groupOf(s) == group {
					c.drop(s, tail)
				}
			}
		}
	}
	return list
}

// countInGroup is the sum of countIn for the scenarios of a group. It returns 0 if the pattern selects
// a case that it must not select in any of them.
func (c *coverage) countInGroup(group string, p Pattern) (n int) {
	for s, tails := range c.never {
		if groupOf(s) == group && slices.ContainsFunc(tails, c.selector(p)) {
			return 0
		}
	}
	for s := range c.must {
		if groupOf(s) == group {
			n += c.countIn(s, p)
		}
	}
	return n
}

// A coverage contains the cases that remain to be covered and those that must not be, as tails of
// their names for each scenario.
type coverage struct {
	peer        string
	must, never map[string][]string
	matches     map[[2]string]bool // whether a pattern matches a tail
}

func byScenario(names []string) map[string][]string {
	m := map[string][]string{}
	for _, name := range names {
		scenario, tail := cutCaseName(name)
		m[scenario] = append(m[scenario], tail)
	}
	return m
}

// selector returns a function that reports whether the pattern matches a tail.
func (c *coverage) selector(p Pattern) func(tail string) bool {
	return func(tail string) bool {
		key := [2]string{p.text, tail}
		m, known := c.matches[key]
		if !known {
			m = p.Match(tail)
			c.matches[key] = m
		}
		return m
	}
}

// countIn returns how many remaining cases of a scenario the pattern selects, or 0 if it selects a
// case that it must not select.
func (c *coverage) countIn(scenario string, p Pattern) (n int) {
	selects := c.selector(p)
	if slices.ContainsFunc(c.never[scenario], selects) {
		return 0
	}
	for _, tail := range c.must[scenario] {
		if selects(tail) {
			n++
		}
	}
	return n
}

// count returns the sum of countIn for all scenarios.
func (c *coverage) count(p Pattern) (n int) {
	for s := range c.must {
		n += c.countIn(s, p)
	}
	return n
}

// countEverywhere is like count, but returns 0 if the pattern selects a case that it must not
// select in any scenario. It also returns 0 if all cases that the pattern selects pair the peer with
// itself. Otherwise, cases in which the peer is the sender could lead to a pattern for the sender, even
// if the check concerns only the receiver, like the one for close-on-exec.
func (c *coverage) countEverywhere(p Pattern) int {
	selects := c.selector(p)
	for _, tails := range c.never {
		if slices.ContainsFunc(tails, selects) {
			return 0
		}
	}
	withOthers := func(tail string) bool {
		return selects(tail) && (c.peer == KernelName || !strings.HasSuffix(tail, "/"+c.peer+"/"+c.peer))
	}
	for _, tails := range c.must {
		if slices.ContainsFunc(tails, withOthers) {
			return c.count(p)
		}
	}
	return 0
}

// best returns the first of the patterns with the highest count.
func (c *coverage) best(patterns []Pattern, count func(Pattern) int) (best Pattern, most int) {
	for _, p := range patterns {
		if n := count(p); n > most {
			best, most = p, n
		}
	}
	return best, most
}

// drop removes the cases of a scenario that the pattern selects from those that remain.
func (c *coverage) drop(scenario string, p Pattern) {
	if c.must[scenario] = slices.DeleteFunc(c.must[scenario], c.selector(p)); len(c.must[scenario]) == 0 {
		delete(c.must, scenario)
	}
}

// typePatterns returns the patterns for the socket types of the cases: all, each, and each two.
func typePatterns(names []string) []string {
	seen := map[string]bool{}
	for _, name := range names {
		_, tail := cutCaseName(name)
		socketType, _, _ := strings.Cut(tail, "/")
		seen[socketType] = true
	}
	types := slices.Sorted(maps.Keys(seen))
	list := append([]string{"**"}, types...)
	for i, a := range types {
		for _, b := range types[i+1:] {
			list = append(list, braces([]string{a, b}))
		}
	}
	return list
}

// rolePatterns returns tails that select the peer as the receiver, as the sender, or in any role.
func rolePatterns(peer string, types []string) ([]Pattern, error) {
	var tails []string
	for _, t := range types {
		any := t + "/**"
		if t == "**" {
			any = t
		}
		if peer != KernelName {
			tails = append(tails, any+"/"+peer, any+"/"+peer+"/*")
		}
		tails = append(tails, any)
	}
	return parsePatterns(tails...)
}

// partnerPatterns returns tails that select the peer only together with some other peers: those
// that are its partners in the cases in must of a scenario and a socket type, or all except one.
func partnerPatterns(peer string, types, must, never []string) ([]Pattern, error) {
	failed, passed := partnersOf(peer, must), partnersOf(peer, never)
	pairs := map[string]bool{}
	for at, list := range failed {
		pairs[at.pair(braces(list))] = true
		if others := passed[at]; len(others) == 1 {
			pairs[at.pair("!"+others[0])] = true
		}
	}
	sorted := slices.SortedFunc(maps.Keys(pairs), func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
	var tails []string
	for _, t := range types {
		for _, pair := range sorted {
			tails = append(tails, t+"/"+pair)
		}
	}
	return parsePatterns(tails...)
}

// A partnerRole is the role that other peers take as partners of a peer in some cases.
type partnerRole struct {
	cases  string // GROUP/ID/TYPE
	peer   string
	sender bool
}

// pair returns SENDER/RECEIVER, given the pattern for the partner.
func (r partnerRole) pair(partner string) string {
	if r.sender {
		return partner + "/" + r.peer
	}
	return r.peer + "/" + partner
}

// partnersOf returns the other peers in the cases, sorted.
func partnersOf(peer string, names []string) map[partnerRole][]string {
	partners := map[partnerRole][]string{}
	for _, name := range slices.Sorted(slices.Values(names)) {
		parts := strings.Split(name, "/")
		cases, sender, receiver := strings.Join(parts[:3], "/"), parts[3], parts[4]
		if receiver == peer {
			at := partnerRole{cases, peer, true}
			partners[at] = append(partners[at], sender)
		}
		if sender == peer {
			at := partnerRole{cases, peer, false}
			partners[at] = append(partners[at], receiver)
		}
	}
	return partners
}

// braces returns {a,b} for several words, and a for one.
func braces(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "{" + strings.Join(words, ",") + "}"
}
