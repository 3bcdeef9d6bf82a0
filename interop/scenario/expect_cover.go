package scenario

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A scope is what a line says about the cases of a peer: the scenario, or "" for all of them, and the tail.
type scope struct {
	scenario string
	tail
}

// A tail is the types of socket, the role of the peer, and its partners. The zero value selects any.
type tail struct {
	types    string // {TYPE,TYPE}
	role     Role
	partners string // {PEER,PEER} or !PEER
}

// groupOf returns the group of GROUP/ID.
func groupOf(scenario string) string {
	group, _, _ := strings.Cut(scenario, "/")
	return group
}

// selects reports whether a line with this scope, about this check of this peer, selects the case.
func (s scope) selects(of subject, c Case) bool {
	return (s.scenario == "" || s.scenario == c.Scenario.Name) && (s.types == "" || hasAlternative(s.types, c.Type)) &&
		slices.ContainsFunc([]Role{RoleA, RoleB}, func(role Role) bool {
			e := Expectation{Check: of.check, Peer: of.peer, Role: s.role}
			return e.plays(c, role) && (s.partners == "" || hasAlternative(s.partners, c.partner(role).Name))
		})
}

// A coverage contains the cases that remain to be covered and those that must not be, by scenario.
type coverage struct {
	of          subject
	must, never map[string][]Case
}

// cover returns few scopes that together select every case in must and no case in never, which all involve the
// peer. A scope contains all scenarios if no case in never prevents that. It names partners only where the
// role does not tell the cases apart.
func cover(of subject, must, never []Case) (list []scope) {
	c := &coverage{of, byScenario(must), byScenario(never)}
	types := typesOf(must)
	roles := []Role{RoleB, RoleA, 0}
	if of.peer == KernelName {
		roles = []Role{0}
	}
	// For all scenarios, a line without a role comes first: it is the simplest.
	list = c.take(list, "", tails(types, append([]Role{0}, roles...), ""))
	for _, s := range slices.Sorted(maps.Keys(c.must)) {
		withPartners := tails(types, []Role{RoleB, RoleA}, c.partners(s)...)
		list = c.take(list, s, append(tails(types, roles, ""), withPartners...))
	}
	return list
}

// take appends scopes with this scenario and some of the tails, as long as one of them selects a remaining case, and drops
// the cases that they select. It prefers those that select the most, and of these the first one.
func (c *coverage) take(list []scope, scenario string, tails []tail) []scope {
	for {
		var best scope
		most := 0
		for _, t := range tails {
			if n := c.count(scope{scenario, t}); n > most {
				best, most = scope{scenario, t}, n
			}
		}
		if most == 0 {
			return list
		}
		list = append(list, best)
		for s, cases := range c.must {
			if c.must[s] = slices.DeleteFunc(cases, func(is Case) bool { return best.selects(c.of, is) }); len(c.must[s]) == 0 {
				delete(c.must, s)
			}
		}
	}
}

// count returns how many remaining cases the scope selects. It returns 0 if the scope selects a case in never, or is about
// all scenarios and selects the peer only with itself, which does not show in which role it fails.
func (c *coverage) count(s scope) (n int) {
	selects := func(is Case) bool { return s.selects(c.of, is) }
	for scenario, cases := range c.never {
		if (s.scenario == "" || s.scenario == scenario) && slices.ContainsFunc(cases, selects) {
			return 0
		}
	}
	withOthers := s.scenario != "" || c.of.peer == KernelName
	for scenario, cases := range c.must {
		if s.scenario != "" && s.scenario != scenario {
			continue
		}
		for _, is := range cases {
			if selects(is) {
				n++
				withOthers = withOthers || is.A.Name != is.B.Name
			}
		}
	}
	if !withOthers {
		return 0
	}
	return n
}

func byScenario(cases []Case) map[string][]Case {
	m := map[string][]Case{}
	for _, c := range cases {
		m[c.Scenario.Name] = append(m[c.Scenario.Name], c)
	}
	return m
}

// typesOf returns what a tail can say about the types of socket of the cases: any, each, and each two.
func typesOf(cases []Case) []string {
	seen := map[string]bool{}
	for _, c := range cases {
		seen[c.Type] = true
	}
	types := slices.Sorted(maps.Keys(seen))
	list := append([]string{""}, types...)
	for i, a := range types {
		for _, b := range types[i+1:] {
			list = append(list, braces([]string{a, b}))
		}
	}
	return list
}

// tails returns all combinations.
func tails(types []string, roles []Role, partners ...string) (list []tail) {
	for _, t := range types {
		for _, r := range roles {
			for _, p := range partners {
				list = append(list, tail{t, r, p})
			}
		}
	}
	return list
}

// partners returns the partners that tails for a scenario can name: those of the peer in the remaining cases of a role and a
// type of socket, or all except the only one with which it passes.
func (c *coverage) partners(scenario string) (list []string) {
	passed := c.partnersIn(c.never[scenario])
	for at, names := range c.partnersIn(c.must[scenario]) {
		slices.Sort(names)
		list = append(list, braces(names))
		if others := passed[at]; len(others) == 1 {
			list = append(list, "!"+others[0])
		}
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
	return slices.Compact(list)
}

// partnersIn returns the partners of the peer in the cases of each role and type of socket.
func (c *coverage) partnersIn(cases []Case) map[tail][]string {
	at := map[tail][]string{}
	for _, is := range cases {
		for _, role := range []Role{RoleA, RoleB} {
			if is.Peer(role).Name == c.of.peer {
				t := tail{types: is.Type, role: role}
				at[t] = append(at[t], is.partner(role).Name)
			}
		}
	}
	return at
}

// braces returns {a,b} for several words, and a for one.
func braces(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "{" + strings.Join(words, ",") + "}"
}
