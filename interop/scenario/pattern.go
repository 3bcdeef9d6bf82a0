package scenario

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// A Pattern selects cases by their names, GROUP/ID/TYPE/SENDER/RECEIVER.
//
// In each part "*" stands for anything, "?" for a character, [ab] for one of
// them, {a,b} for either and "!a" for anything but a; "**" stands for any number
// of parts. A pattern without "**" and with fewer parts than the name matches all
// that begins with it.
type Pattern struct {
	text string
	alts [][]string // the parts of each alternative
}

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	if len(text) > longestPattern {
		return Pattern{}, fmt.Errorf("pattern %s: longer than %d bytes", contract.Quote(text), longestPattern)
	}
	alts, err := parseAlternatives(text)
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern %q: %w", text, err)
	}
	return Pattern{text, alts}, nil
}

func parseAlternatives(text string) (alts [][]string, err error) {
	texts, err := expandBraces(text)
	if err != nil {
		return nil, err
	}
	if negatedBraces(text) {
		return nil, errors.New("! beside { } would match anything: what is not the one is the other")
	}
	for _, alt := range texts {
		parts := strings.Split(alt, "/")
		for _, part := range parts {
			if part == "" || part == "!" {
				return nil, errors.New("an empty part")
			}
			if _, err := path.Match(part, ""); err != nil {
				return nil, err
			}
		}
		if !slices.Contains(parts, "**") {
			parts = append(parts, "**")
		}
		// Two "**" side by side are one, and a thousand would be tried in every way.
		parts = slices.CompactFunc(parts, func(a, b string) bool { return a == "**" && b == "**" })
		alts = append(alts, parts)
	}
	return alts, nil
}

func (p Pattern) String() string { return p.text }

// Match reports whether the pattern selects the name.
func (p Pattern) Match(name string) bool {
	parts := strings.Split(name, "/")
	for _, alt := range p.alts {
		if matchParts(alt, parts) {
			return true
		}
	}
	return false
}

func matchParts(pattern, name []string) bool {
	for i, part := range pattern {
		if part == "**" {
			for skip := range len(name) - i + 1 {
				if matchParts(pattern[i+1:], name[i+skip:]) {
					return true
				}
			}
			return false
		}
		if i == len(name) {
			return false
		}
		rest, not := strings.CutPrefix(part, "!")
		if ok, _ := path.Match(rest, name[i]); ok == not {
			return false
		}
	}
	return len(pattern) == len(name)
}

// negatedBraces tells whether a "!" that negates stands directly before or
// inside braces.
func negatedBraces(text string) bool {
	inside := false
	for i := range len(text) {
		switch text[i] {
		case '{':
			inside = true
		case '}':
			inside = false
		case '!':
			begins := i == 0 || text[i-1] == '/' || inside && (text[i-1] == '{' || text[i-1] == ',')
			if begins && (inside || strings.HasPrefix(text[i+1:], "{")) {
				return true
			}
		}
	}
	return false
}

// maxAlternatives bounds what the braces of one pattern stand for.
const maxAlternatives = 1000

// longestPattern is how long a pattern can be, or another word with braces.
const longestPattern = 4096

func expandBraces(text string) ([]string, error) {
	if len(text) > longestPattern {
		return nil, fmt.Errorf("longer than %d bytes", longestPattern)
	}
	open := strings.IndexByte(text, '{')
	if open < 0 {
		if strings.IndexByte(text, '}') >= 0 {
			return nil, errors.New("no { before }")
		}
		return []string{text}, nil
	}
	end := strings.IndexByte(text[open:], '}')
	if end < 0 {
		return nil, errors.New("no } after {")
	}
	end += open
	tails, err := expandBraces(text[end+1:])
	if err != nil {
		return nil, err
	}
	var all []string
	for _, alt := range strings.Split(text[open+1:end], ",") {
		for _, tail := range tails {
			all = append(all, text[:open]+alt+tail)
		}
		if len(all) > maxAlternatives {
			return nil, fmt.Errorf("it stands for more than %d", maxAlternatives)
		}
	}
	return all, nil
}
