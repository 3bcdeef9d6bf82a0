package expected

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A Pattern selects cases by their names, GROUP/ID/TYPE/SENDER/RECEIVER. In a list of expected failures, it
// selects scenarios and types of socket, GROUP/ID/TYPE.
//
// In each part, "*" matches anything, "?" any character, [ab] either of the two characters,
// {a,b} either of the two texts, and "!a" anything except a. "**" matches any number of
// parts. A pattern without "**" matches all names that begin with it.
type Pattern struct {
	text string
	alts [][]string // the parts of each alternative
}

// maxAlternatives is the highest number of alternatives of one pattern. Each further {a,b} doubles
// their number, so a short pattern could otherwise require any amount of memory and time.
const maxAlternatives = 1000

// negatedBraces finds a "!" that negates directly before or inside braces.
var negatedBraces = regexp.MustCompile(`(^|/)!\{|\{([^}]*[{,/])?!`)

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	alts, err := expandBraces(text)
	if err == nil && negatedBraces.MatchString(text) {
		err = errors.New("! cannot be combined with { }: the alternatives together would match anything")
	}
	for _, alt := range alts {
		parts := strings.Split(alt, "/")
		for _, part := range parts {
			if part == "" || part == "!" {
				err = errors.New("an empty part")
			} else if _, bad := path.Match(part, ""); bad != nil {
				err = bad
			}
		}
		if !slices.Contains(parts, "**") {
			parts = append(parts, "**")
		}
		p.alts = append(p.alts, parts)
	}
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern %q: %w", text, err)
	}
	return p, nil
}

func (p Pattern) String() string { return p.text }

// Match reports whether the pattern matches the name.
func (p Pattern) Match(name string) bool {
	return p.matchParts(strings.Split(name, "/"))
}

// Expand returns a pattern without braces for each alternative.
func (p Pattern) Expand() (list []Pattern) {
	for _, alt := range p.alts {
		list = append(list, Pattern{strings.Join(alt, "/"), [][]string{alt}})
	}
	return list
}

func (p Pattern) matchParts(parts []string) bool {
	return slices.ContainsFunc(p.alts, func(alt []string) bool { return matchParts(alt, parts) })
}

func matchParts(pattern, name []string) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	if pattern[0] == "**" && matchParts(pattern[1:], name) {
		return true
	}
	if len(name) == 0 {
		return false
	}
	if pattern[0] == "**" {
		return matchParts(pattern, name[1:])
	}
	return matchPart(pattern[0], name[0]) && matchParts(pattern[1:], name[1:])
}

// Unmatched returns the alternatives of the pattern that match none of the names.
func (p Pattern) Unmatched(names []string) (list []string) {
	for _, alt := range p.alts {
		if !slices.ContainsFunc(names, func(name string) bool { return matchParts(alt, strings.Split(name, "/")) }) {
			list = append(list, strings.TrimSuffix(strings.Join(alt, "/"), "/**"))
		}
	}
	return list
}

// matchPart reports whether a part of a pattern other than "**" matches a part of a name.
func matchPart(part, name string) bool {
	part, not := strings.CutPrefix(part, "!")
	ok := part == name
	if !ok && strings.ContainsAny(part, `*?[\`) {
		ok, _ = path.Match(part, name)
	}
	return ok != not
}

// expandBraces returns the alternatives of a text with {a,b}.
func expandBraces(text string) (all []string, err error) {
	all = []string{""}
	for rest := text; ; {
		before, after, open := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, errors.New("no { before }")
		}
		choices := []string{before}
		if open {
			inside, tail, closed := strings.Cut(after, "}")
			if !closed {
				return nil, errors.New("no } after {")
			}
			choices = nil
			for _, choice := range strings.Split(inside, ",") {
				choices = append(choices, before+choice)
			}
			rest = tail
		}
		if len(all)*len(choices) > maxAlternatives {
			return nil, fmt.Errorf("more than %d alternatives", maxAlternatives)
		}
		all = combine(all, choices)
		if !open {
			return all, nil
		}
	}
}

// combine returns every head followed by every tail.
func combine(heads, tails []string) (all []string) {
	for _, head := range heads {
		for _, tail := range tails {
			all = append(all, head+tail)
		}
	}
	return all
}
