package expected

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// An Alternative is a text in the braces of a pattern, and the pattern with only this text there.
type Alternative struct {
	Text string
	Only Pattern

	brace int // the number of the braces
}

// Alternatives returns the texts in all braces of the pattern.
func (p Pattern) Alternatives() (list []Alternative) {
	before, rest := "", p.text
	for brace := 0; ; brace++ {
		head, tail, open := strings.Cut(rest, "{")
		if !open {
			return list
		}
		inside, after, _ := strings.Cut(tail, "}")
		before += head
		for _, text := range strings.Split(inside, ",") {
			if only, err := ParsePattern(before + text + after); err == nil {
				list = append(list, Alternative{text, only, brace})
			}
		}
		before += "{" + inside + "}"
		rest = after
	}
}

// without returns the pattern without these alternatives. At least one in each pair of braces must remain.
func (p Pattern) without(list []Alternative) Pattern {
	left := map[int][]string{}
	for _, alt := range p.Alternatives() {
		if !slices.ContainsFunc(list, func(gone Alternative) bool { return gone.brace == alt.brace && gone.Text == alt.Text }) {
			left[alt.brace] = append(left[alt.brace], alt.Text)
		}
	}
	var b strings.Builder
	for brace, rest := 0, p.text; ; brace++ {
		head, tail, open := strings.Cut(rest, "{")
		b.WriteString(head)
		switch {
		case !open:
			p, _ = ParsePattern(b.String()) // it has fewer alternatives than one that could be parsed
			return p
		case len(left[brace]) == 1:
			b.WriteString(left[brace][0])
		default:
			b.WriteString("{" + strings.Join(left[brace], ",") + "}")
		}
		_, rest, _ = strings.Cut(tail, "}")
	}
}

// A Start is the GROUP/ID/TYPE of a case, split at the slashes.
type Start []string

// MatchesStart reports whether names that begin like this can match the pattern.
func (p Pattern) MatchesStart(s Start) bool {
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

// Mismatch explains why the pattern matches no case with these starts and peers. If it selects only
// scenarios and types of socket, peers is nil. The explanation is that of the first alternative with the
// highest number of matching parts. It is the only one that searches for similar names, which takes time.
func (p Pattern) Mismatch(starts []Start, peers []string) string {
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
func mismatchOf(parts []string, starts []Start, peers []string) (matched int, why func() string) {
	for i, kind := range []string{"group", "scenario", "type of socket"} {
		if i == len(parts) || parts[i] == "**" {
			break
		}
		left := slices.DeleteFunc(slices.Clone(starts), func(s Start) bool { return !matchPart(parts[i], s[i]) })
		if len(left) == 0 {
			return i, func() string {
				return fmt.Sprintf("no %s matches %q%s", kind, parts[i], nearStart(parts[i], i, starts))
			}
		}
		starts = left
	}
	if peers == nil {
		return len(parts), func() string { return "no scenario matches all of its parts, which are GROUP/ID/TYPE" }
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
			return 3, func() string { return fmt.Sprintf("no peer matches %q%s", part, DidYouMean(part, peers)) }
		}
	}
	return len(parts), func() string { return "no case matches all of its parts" }
}

// nearStart returns a question that names a part similar to this one, which is part i of a pattern. If
// the part is the ID of a scenario in another group, that is the answer.
func nearStart(part string, i int, starts []Start) string {
	var names []string
	for _, s := range starts {
		names = append(names, s[i])
	}
	if text := DidYouMean(part, names); text != "" {
		return text
	}
	for _, s := range starts {
		if s[1] == part {
			return didYouMean(path.Join(s[0], s[1]))
		}
	}
	return ""
}
