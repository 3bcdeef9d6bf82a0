package interop

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Pattern selects cases by their names, GROUP/ID/TYPE/SENDER/RECEIVER.
//
// In each part "*" stands for anything, "?" for a character, {a,b} for either
// and "!a" for anything else; "**" stands for any number of parts. A pattern without "**" and with
// fewer parts than the name matches all that begins with it.
type Pattern struct {
	text string
	alts [][]string // the parts of each alternative
}

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	alts, err := expandBraces(text)
	if err != nil {
		return p, err
	}
	for _, alt := range alts {
		parts := strings.Split(alt, "/")
		for _, part := range parts {
			if part == "" {
				return p, fmt.Errorf("pattern %q has an empty part", text)
			}
			if _, err := path.Match(part, ""); err != nil {
				return p, fmt.Errorf("pattern %q: %w", text, err)
			}
		}
		if !slices.Contains(parts, "**") {
			parts = append(parts, "**")
		}
		p.alts = append(p.alts, parts)
	}
	return p, nil
}

func (p Pattern) String() string { return p.text }

// Match tells whether the pattern selects the name.
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

func expandBraces(text string) ([]string, error) {
	open := strings.IndexByte(text, '{')
	if open < 0 {
		if strings.IndexByte(text, '}') >= 0 {
			return nil, fmt.Errorf("pattern %q: no { before }", text)
		}
		return []string{text}, nil
	}
	end := strings.IndexByte(text[open:], '}')
	if end < 0 {
		return nil, fmt.Errorf("pattern %q: no } after {", text)
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
	}
	return all, nil
}
