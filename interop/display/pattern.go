package display

import (
	"regexp"
	"strings"
)

// Pattern returns a pattern for -run that selects only this test, such as TestA/b. In a shell, it needs apostrophes
// around it, so it has a dot for each apostrophe of the name.
func Pattern(test string) string {
	return "^" + strings.NewReplacer("/", "$/^", "'", ".").Replace(regexp.QuoteMeta(test)) + "$"
}
