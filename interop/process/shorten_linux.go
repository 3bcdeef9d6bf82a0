package process

import (
	"fmt"
	"strings"
)

// The lines of a call's memory are those of recorder.Call.Raw: parts, such as an array of iovecs or a payload, that
// consist of rows. A row is a ruler and the bytes below it.
const (
	partIndent  = "  "
	rulerIndent = "           "
)

// shortenCall returns the lines of a call with only the first and the last parts of its memory, and of each part only
// the first and the last rows.
func shortenCall(lines []string) []string {
	short := lines[:1:1]
	for _, part := range middleOut(split(lines[1:], beginsPart), 6, 3, partIndent, "parts of the memory") {
		rows := split(part, func(l string) bool { return strings.HasPrefix(l, rulerIndent) })
		for _, row := range middleOut(rows, 4, 2, partIndent+partIndent, "rows") {
			short = append(short, row...)
		}
	}
	return short
}

func beginsPart(l string) bool {
	return strings.HasPrefix(l, partIndent) && !strings.HasPrefix(l, partIndent+partIndent)
}

// split splits lines into groups. A group begins with the first line, or with one for which begins returns true.
func split(lines []string, begins func(string) bool) (groups [][]string) {
	for i, l := range lines {
		if i == 0 || begins(l) {
			groups = append(groups, nil)
		}
		last := &groups[len(groups)-1]
		*last = append(*last, l)
	}
	return groups
}

// middleOut returns the first and the last groups. A line takes the place of those between them.
func middleOut(groups [][]string, first, last int, indent, what string) [][]string {
	n := len(groups) - first - last
	if n <= 1 {
		return groups
	}
	short := append(groups[:first:first], []string{fmt.Sprintf("%s… %d more %s", indent, n, what)})
	return append(short, groups[len(groups)-last:]...)
}
