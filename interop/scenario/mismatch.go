package scenario

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// An alternative is a text in the braces of a pattern, and the pattern with only this text there.
type alternative struct {
	text string
	only Pattern
}

// alternatives returns the texts in all braces of the pattern.
func (p Pattern) alternatives() (list []alternative) {
	before, rest := "", p.text
	for {
		head, tail, open := strings.Cut(rest, "{")
		if !open {
			return list
		}
		inside, after, _ := strings.Cut(tail, "}")
		before += head
		for _, text := range strings.Split(inside, ",") {
			if only, err := ParsePattern(before + text + after); err == nil {
				list = append(list, alternative{text, only})
			}
		}
		before += "{" + inside + "}"
		rest = after
	}
}

// A start is the GROUP/ID/TYPE of a case, split at the slashes.
type start []string

// startsOf returns the start of every case of the scenario.
func startsOf(s *Scenario) (list []start) {
	for _, socketType := range s.Types {
		list = append(list, strings.Split(path.Join(s.Name, socketType), "/"))
	}
	return list
}

// matchesStart reports whether names that begin like this can match the pattern.
func (p Pattern) matchesStart(s start) bool {
	return slices.ContainsFunc(p.alts, func(alt []string) bool {
		for i, part := range s {
			if i == len(alt) || alt[i] == "**" {
				return true
			}
			if !matchPart(alt[i], part) {
				return false
			}
		}
		return true
	})
}

// mismatch explains why the pattern matches no case with these starts and peers. If it selects only
// scenarios and types of socket, peers is nil. The explanation is that of the first alternative with the
// highest number of matching parts. It is the only one that searches for similar names, which takes time.
func (p Pattern) mismatch(starts []start, peers []string) string {
	most, why := -1, func() string { return "" }
	for _, alt := range p.alts {
		if matched, explain := mismatchOf(alt, starts, peers); matched > most {
			most, why = matched, explain
		}
	}
	return why()
}

// mismatchOf returns the number of leading parts that match, and a function that explains why these
// parts of a pattern match no case.
func mismatchOf(parts []string, starts []start, peers []string) (matched int, why func() string) {
	for i, kind := range []string{"group", "scenario", "type of socket"} {
		if i == len(parts) || parts[i] == "**" {
			break
		}
		left := slices.DeleteFunc(slices.Clone(starts), func(s start) bool { return !matchPart(parts[i], s[i]) })
		if len(left) == 0 {
			return i, func() string {
				return fmt.Sprintf("no %s matches %q%s", kind, parts[i], nearStart(parts[i], i, starts))
			}
		}
		starts = left
	}
	if peers == nil {
		return len(parts), func() string { return "no scenario matches all of its parts" }
	}
	ends := parts[min(3, slices.Index(parts, "**")):] // ParsePattern adds "**" to a pattern without it
	if ends[0] == "**" {
		last := len(ends) - 1
		for ends[last] != "**" {
			last--
		}
		ends = ends[max(last+1, len(ends)-2):]
	}
	for _, part := range ends {
		matches := func(peer string) bool { return matchPart(part, peer) }
		if part != "**" && !slices.ContainsFunc(peers, matches) {
			return 3, func() string { return fmt.Sprintf("no peer matches %q%s", part, didYouMean(part, peers)) }
		}
	}
	return len(parts), func() string { return "no case matches all of its parts" }
}

// nearStart returns a question that names a part similar to this one, which is part i of a pattern. If
// the part is the ID of a scenario in another group, that is the answer.
func nearStart(part string, i int, starts []start) string {
	var names []string
	for _, s := range starts {
		names = append(names, s[i])
	}
	if text := didYouMean(part, names); text != "" {
		return text
	}
	for _, s := range starts {
		if s[1] == part {
			return fmt.Sprintf("; did you mean %q?", path.Join(s[0], s[1]))
		}
	}
	return ""
}

// validateAlternatives returns an error if a line of expected failures has an alternative that applies
// to no case. It considers every peer that the line names, because a line may be about peers that do
// not take part in this run.
func validateAlternatives(list []Expectation, scenarios []*Scenario) error {
	starts := map[*Scenario][]start{}
	for _, s := range scenarios {
		starts[s] = startsOf(s)
	}
	for len(list) > 0 {
		n := slices.IndexFunc(list, func(e Expectation) bool { return e.Place() != list[0].Place() })
		if n < 0 {
			n = len(list)
		}
		if err := validateLine(list[:n], scenarios, starts); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// validateLine is validateAlternatives for the expectations of one line.
func validateLine(line []Expectation, scenarios []*Scenario, starts map[*Scenario][]start) error {
	e := line[0]
	var peers []*Peer
	for _, key := range line {
		for _, peer := range key.namedPeers() {
			if !slices.ContainsFunc(peers, func(p *Peer) bool { return p.Name == peer.Name }) {
				peers = append(peers, peer)
			}
		}
	}
	for _, alt := range e.Pattern.alternatives() {
		applies := func(c Case) bool {
			return slices.ContainsFunc(line, func(key Expectation) bool {
				key.Pattern = alt.only
				return key.concerns(c)
			})
		}
		found := slices.ContainsFunc(scenarios, func(s *Scenario) bool {
			return slices.ContainsFunc(starts[s], alt.only.matchesStart) &&
				slices.ContainsFunc(Plan([]*Scenario{s}, peers, Missing(RunnerName, "")), applies)
		})
		if !found {
			var all []start
			for _, s := range scenarios {
				all = append(all, starts[s]...)
			}
			why := alt.only.mismatch(all, nil)
			return fmt.Errorf("%s: the alternative %q applies to no case: %s", e, alt.text, why)
		}
	}
	return nil
}
