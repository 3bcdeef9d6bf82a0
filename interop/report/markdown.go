package report

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

// writeHeading writes the headline of a report.
func (t *text) writeHeading(headline string) {
	if headline != asExpected {
		headline = "**" + escapeMarkdown(headline) + "**"
	}
	t.printf("## scm interop: %s\n", headline)
}

// markdownTable writes a table. The first row is its header.
func (t *text) markdownTable(rows [][]string) {
	for i, row := range rows {
		t.printf("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			t.printf("%s|\n", strings.Repeat("|---", len(row)))
		}
	}
}

// special matches any character that may have a meaning in Markdown, except for a colon before a
// space. It also matches the "www." with which a link can begin.
var special = regexp.MustCompile(`(?i:www)\.|: |[^A-Za-z0-9 .,+()="';?/\x{80}-\x{10FFFF}-]`)

// escapeMarkdown returns a text that a peer may have written as one line without Markdown.
func escapeMarkdown(untrusted string) string {
	return special.ReplaceAllStringFunc(display.Line(untrusted), func(found string) string {
		switch {
		case found == ": ":
			return found
		case len(found) > 1:
			return found[:len(found)-1] + "&#46;"
		}
		return fmt.Sprintf("&#%d;", found[0])
	})
}
