package scenario

import (
	"maps"
	"slices"
	"strings"
)

// A scope is what a line says about the cases of a peer: the scenario, or "" for all of them, and the tail.
type scope struct {
	scenario string
	tail
}

// A tail is a type of socket, the role of the peer, and its partners. The zero value selects any.
type tail struct {
	typ      string
	role     Role
	partners string // {PEER,PEER}
}

// selects reports whether a line with this scope, about this check of this peer, selects the case.
func (s scope) selects(of subject, c Case) bool {
	return (s.scenario == "" || s.scenario == c.Scenario.Name) && (s.typ == "" || s.typ == c.Type) &&
		slices.ContainsFunc([]Role{RoleA, RoleB}, func(role Role) bool {
			e := Expectation{Check: of.check, Peer: of.peer, Role: s.role}
			return e.plays(c, role) && (s.partners == "" || slices.Contains(alternatives(s.partners), c.partner(role).Name))
		})
}

// cover returns scopes that together select every case in must and no case in never, which all involve the peer. If
// possible, there is one for all scenarios, or one for each, and otherwise one for each type of socket and role.
func cover(of subject, must, never []Case) (list []scope) {
	exact := func(s scope) bool {
		return !slices.ContainsFunc(never, func(c Case) bool { return s.selects(of, c) })
	}
	whole := func(scenario string, must []Case, tails ...tail) bool {
		for _, t := range tails {
			if s := (scope{scenario, t}); len(s.left(of, must)) == 0 && exact(s) {
				list = append(list, s)
				return true
			}
		}
		return false
	}
	// For all scenarios, a line without a role is the simplest. If the peer failed only with itself, that does not show
	// in which role.
	withOthers := of.peer == KernelName || slices.ContainsFunc(must, func(c Case) bool { return c.A.Name != c.B.Name })
	if len(must) == 0 || withOthers && whole("", must, tails(must[0].Type, 0, RoleB, RoleA)...) {
		return list
	}
	byScenario := map[string][]Case{}
	for _, c := range must {
		byScenario[c.Scenario.Name] = append(byScenario[c.Scenario.Name], c)
	}
	for _, scenario := range slices.Sorted(maps.Keys(byScenario)) {
		left := byScenario[scenario]
		roles := []Role{RoleB, RoleA, 0}
		if of.peer == KernelName {
			roles = roles[2:]
		}
		candidates := tails(left[0].Type, roles...)
		for _, role := range roles[:len(roles)-1] {
			s := scope{scenario, tail{role: role}}
			candidates = append(candidates, tail{role: role, partners: s.partnersIn(of, left)})
		}
		if whole(scenario, left, candidates...) {
			continue
		}
		for _, typ := range typesOf(left) {
			for _, role := range []Role{RoleB, RoleA} {
				partners := (scope{scenario, tail{typ: typ, role: role}}).partnersIn(of, left)
				if partners == "" {
					continue
				}
				for _, t := range []tail{{role: role}, {role: role, partners: partners}, {typ: typ, role: role}, {typ, role, partners}} {
					if s := (scope{scenario, t}); exact(s) {
						list, left = append(list, s), s.left(of, left)
						break
					}
				}
			}
		}
	}
	return list
}

// tails returns the roles with all types of socket, and then with this one.
func tails(typ string, roles ...Role) (list []tail) {
	for _, typ := range []string{"", typ} {
		for _, role := range roles {
			list = append(list, tail{typ: typ, role: role})
		}
	}
	return list
}

// left returns the cases that the scope does not select.
func (s scope) left(of subject, cases []Case) []Case {
	return slices.DeleteFunc(slices.Clone(cases), func(c Case) bool { return s.selects(of, c) })
}

// partnersIn returns the partners in the cases that the scope selects, which has a role.
func (s scope) partnersIn(of subject, cases []Case) string {
	var partners []string
	for _, c := range cases {
		if s.selects(of, c) {
			partners = append(partners, c.partner(s.role).Name)
		}
	}
	slices.Sort(partners)
	return braces(slices.Compact(partners))
}

// typesOf returns the types of socket of the cases.
func typesOf(cases []Case) []string {
	var types []string
	for _, c := range cases {
		types = append(types, c.Type)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// braces returns {a,b} for several words, and a for one.
func braces(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return "{" + strings.Join(words, ",") + "}"
}

// alternatives returns the words from which braces has made the text.
func alternatives(text string) []string { return strings.Split(strings.Trim(text, "{}"), ",") }
