package scenario

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Versions of a peer, as an expectation gives them.
var (
	versionForm  = regexp.MustCompile(`^(>=[0-9]+(\.[0-9]+)*)?(<[0-9]+(\.[0-9]+)*)?$`)
	versionBound = regexp.MustCompile(`(>=|<)([0-9.]+)`)
	numbersForm  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*`)
)

// inVersions reports whether a version is among those that text gives, as in
// ">=8.1<8.4". "" gives all of them; a version that begins with no number is in "" alone.
func inVersions(text, version string) bool {
	if text == "" {
		return true
	}
	has := numbersForm.FindString(version)
	return has != "" && !slices.ContainsFunc(versionBound.FindAllStringSubmatch(text, -1), func(m []string) bool {
		return (compareVersions(has, m[2]) < 0) != (m[1] == "<")
	})
}

// compareVersions compares dotted numbers: 8.10 is behind 8.4, and 8.4 is 8.4.0.
func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if order := cmp.Compare(partOf(x, i), partOf(y, i)); order != 0 {
			return order
		}
	}
	return 0
}

func partOf(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i])
	return n
}
