//go:build linux

package main

import (
	"fmt"
	"strings"
)

// mark marks a cell of docs/comparison.md whose text was replaced.
const mark = `\*`

// String returns the text of a cell, with the number of scenarios that fail.
func (c cell) String() string {
	if c.replaced {
		return c.text + mark
	}
	if n := c.failing(); n > 0 {
		return fmt.Sprintf("%s (%d)", c.text, n)
	}
	return c.text
}

// failing returns how many scenarios have findings.
func (c cell) failing() int {
	names := map[string]bool{}
	for _, f := range c.findings {
		_, name, _ := strings.Cut(f, " ")
		names[name] = true
	}
	return len(names)
}

// line returns a row of the table. It has no spaces around the bars, because they would be most of the file.
func (t *comparison) line(i int) string {
	text := "|" + rows[i].Name
	for _, c := range t.cells[i] {
		text += "|" + c.String()
	}
	return text + "|\n"
}

// table returns the table.
func (t *comparison) table() string {
	text := "|"
	for _, c := range columns {
		text += "|" + c.name
	}
	text += "|\n|---|" + strings.Repeat("---|", len(columns)) + "\n"
	for i := range rows {
		text += t.line(i)
	}
	return text
}

const intro = "# Comparison\n\n" +
	"This page shows how other libraries behave in the scenarios of the suite, and what their users should do. " +
	"We chose the scenarios, and developed scm with them. A \"no\" is followed by the number of scenarios that fail, which " +
	"[expected.txt](../interop/catalogue/expected.txt) names and explains. " +
	"It does not mean that a library breaks its own promises.\n\n" +
	"The page is generated: run `make interop PEERS=all`, and then `go run -C proof ./readme -w build/interop/report.json`. " +
	"The columns are in proof/readme/comparison.go, the rows and the advice in `interop/peers/LANGUAGE/language.json`.\n\n" +
	"## Columns\n\n| column | \"yes\" means | otherwise |\n|---|---|---|\n"

// head returns the part of docs/comparison.md that does not depend on the report.
func head() string {
	text := intro
	for _, c := range columns {
		text += fmt.Sprintf("| %s | %s | %s |\n", c.name, c.meaning, c.remedy)
	}
	return text + "\nA text marked with " + mark + " was written by hand, for a reason that language.json gives. " +
		quoted([]string{callersFlag}) + " means that the library passes MSG_CMSG_CLOEXEC only if its caller asks for it, and " +
		quoted([]string{callersControl}) + " that it returns control messages unparsed, so that its caller must close the pidfd.\n" +
		"\n## Results\n\n"
}

const advice = "\n## What to do\n\n" +
	"Advice about sending protects a receiver only from senders that follow it. The names of the peers are in parentheses.\n\n"

// page returns the text of docs/comparison.md.
func (t *comparison) page() string {
	text := head() + t.table() + advice
	for i := range rows {
		text += t.section(i)
	}
	return text
}

// section returns the paragraph of docs/comparison.md about a row.
func (t *comparison) section(i int) string {
	start := strings.TrimSpace(sectionOf(i) + " " + t.versions[i])
	return strings.TrimSpace(start+" ("+quoted(rows[i].Peers)+"). "+rows[i].Note) + "\n"
}

// sectionOf returns how the paragraph about a row begins, before its version.
func sectionOf(i int) string { return "- **" + rows[i].Name + "**" }

// quoted returns a list in code quotes.
func quoted[T ~string](list []T) string {
	var texts []string
	for _, t := range list {
		texts = append(texts, "`"+string(t)+"`")
	}
	return strings.Join(texts, ", ")
}
