//go:build linux

package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// mark marks a cell of docs/comparison.md whose text was replaced.
const mark = `\*`

// line returns a row of the table in README.md, or with the mark, of that in docs/comparison.md.
func (t *comparison) line(i int, mark string) string {
	text := "| " + rows[i].Name + " |"
	for _, c := range t.cells[i] {
		text += " " + c.text
		if c.replaced != "" {
			text += mark
		}
		text += " |"
	}
	return text + "\n"
}

// table returns the table with the rows for which in returns true.
func (t *comparison) table(in func(row) bool, mark string) string {
	text := "| |"
	for _, c := range columns {
		text += " " + c.name + " |"
	}
	text += "\n|---|" + strings.Repeat("---|", len(columns)) + "\n"
	for i, w := range rows {
		if in(w) {
			text += t.line(i, mark)
			if mark != "" {
				text += t.otherLines(i)
			}
		}
	}
	return text
}

// summary returns what README.md has between its markers: the versions and the table.
func (t *comparison) summary() string {
	var versions []string
	for i, w := range rows {
		if w.Project != "" {
			versions = append(versions, w.Project+" "+strings.TrimPrefix(t.versions[i], "go"))
		}
	}
	return "Versions: " + strings.Join(versions, ", ") + ".\n\n" + t.table(func(w row) bool { return w.Readme }, "")
}

const intro = `# Comparison

This page compares scm with other libraries. The table in README.md has only those of its rows that a Go programmer is likely to consider. Unless a cell is marked, it is derived from the verdicts of ` +
	"`make interop`" + ` on the cases that pair the library's peer with the runner, and the sections below list the scenarios that decide it.
` + "`go run -C proof ./readme -w REPORT`" +
	` writes the table in README.md and this page. The columns are defined in proof/readme/comparison.go, and the rows in ` + "`interop/peers/LANGUAGE/language.json`" + `.
We chose the scenarios, and scm was written with them at hand. A "no" means that a scenario fails, not that the library breaks its own promises. The first sentences of a section say what a user of the library has to do, with a link to a public report if we know one. If it says to set close-on-exec on a received descriptor, do so at once, and start no program in another thread meanwhile. Advice about what to send protects a receiver only from partners that follow it.
[expected.txt](../interop/catalogue/expected.txt) says what each failing scenario shows. To run one scenario, use ` +
	"`build/scm interop run --peers build/peers/peers.json --run SCENARIO`" + `.

## Columns

| column | meaning | scenarios | role | checks |
|---|---|---|---|---|
`

// head returns the part of docs/comparison.md that does not depend on the report.
func head() string {
	text := intro
	for _, c := range columns {
		scenarios := c.scenarios.String()
		if len(c.except) > 0 {
			scenarios += " except " + c.except.String()
		}
		if len(c.fallback) > 0 {
			scenarios += "; for a peer that supports none of these, " + c.fallback.String()
		}
		role := map[scenario.Role]string{0: "both", scenario.RoleA: "sender", scenario.RoleB: "receiver"}[c.role]
		text += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", c.name, c.meaning, scenarios, role, quoted(c.checks))
	}
	return text + "\nThe text of a cell marked with " + mark + " replaces the one that the verdicts give. The section of its row shows both, and says why. Two of these texts occur in several rows." +
		" The text " + quoted([]string{callersFlag}) + " means that the library passes MSG_CMSG_CLOEXEC only if its caller asks for it. The peer asks if the library has a name for the flag." +
		" The text " + quoted([]string{callersControl}) + " means that the library returns the control messages as they are, and its caller must close the pidfd.\n" +
		"\n## Results\n\n"
}

// page returns the text of docs/comparison.md.
func (t *comparison) page() string {
	text := head() + t.table(func(row) bool { return true }, mark) + "\n## Not in the table\n\n| peer | why |\n|---|---|\n"
	for _, name := range slices.Sorted(maps.Keys(rowless)) {
		text += fmt.Sprintf("| `%s` | %s |\n", name, rowless[name])
	}
	for i := range rows {
		text += t.section(i)
	}
	return text
}

// section returns the section of docs/comparison.md about a row.
func (t *comparison) section(i int) string {
	text := fmt.Sprintf("\n## %s\n\nPeers: %s. Version: %s.\n\n", rows[i].Name, quoted(rows[i].Peers), t.versions[i])
	text += t.otherVersions(i)
	if rows[i].Note != "" {
		text += rows[i].Note + "\n\n"
	}
	for j, c := range t.cells[i] {
		if c.why != "" {
			text += "*" + columns[j].name + "*: " + c.why + "\n\n"
		}
	}
	text += "| column | cell | failed | passed |\n|---|---|---|---|\n"
	for j, c := range t.cells[i] {
		failed, passed := c.details()
		if c.replaced != "" {
			c.text += " (verdicts: " + c.replaced + ")"
		}
		text += fmt.Sprintf("| %s | %s | %s | %s |\n", columns[j].name, c.text, failed, passed)
	}
	return text
}

// maxListed is the maximum number of scenarios that a table lists by name. If there are more, the
// table only says how many there are.
const maxListed = 12

// details returns the scenarios with findings, each with its check, and the scenarios without.
func (c cell) details() (failed, passed string) {
	rest := slices.Clone(c.decidedBy)
	var list []string
	for _, f := range c.findings {
		check, of, _ := strings.Cut(f, " ")
		rest = slices.DeleteFunc(rest, func(s string) bool { return s == of })
		list = append(list, check+" `"+of+"`")
	}
	failed, passed = strings.Join(list, ", "), quoted(rest)
	if len(list) > maxListed && strings.HasPrefix(failed, string(scenario.CheckCloexec)) {
		failed = fmt.Sprintf("%s in %d scenarios", scenario.CheckCloexec, len(list))
	}
	if len(rest) > maxListed {
		passed = fmt.Sprintf("%d scenarios", len(rest))
	}
	return cmp.Or(failed, "none"), passed
}

// quoted returns a list in code quotes.
func quoted[T ~string](list []T) string {
	var texts []string
	for _, t := range list {
		texts = append(texts, "`"+string(t)+"`")
	}
	return cmp.Or(strings.Join(texts, ", "), "none")
}
