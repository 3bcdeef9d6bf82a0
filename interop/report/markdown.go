package report

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

const (
	maxFailures = 50        // cases that a summary shows
	maxTraces   = 10        // cases that it shows with their recorded calls
	maxBytes    = 1_000_000 // GitHub rejects a summary of more than 1 MiB
)

// Markdown writes the report as a summary for a CI job.
func (r *Report) Markdown(w io.Writer) error {
	r = r.abbreviated()
	var b text
	b.writeHeading(r.Headline())
	b.printf("%s\n", r.partLine())
	if causes := r.Causes(); len(causes) > 0 {
		rows := [][]string{{"cause", "cases", "example"}}
		for _, c := range causes[:min(len(causes), maxFailures)] {
			rows = append(rows, []string{escapeMarkdown(c.What), fmt.Sprint(c.Cases), "`" + c.Example.Name + "`"})
		}
		b.markdownTable(rows)
		b.printf("\n")
	}
	rows := [][]string{{"cases of", "verdicts", "pass", "expected failures", "failures", "unexpected passes", "flaky", "unsupported", "not run"}}
	for i, t := range []Totals{r.Totals, r.Kernel, r.Control} {
		row := []string{[]string{r.about(), "kernel", "the runner with itself"}[i]}
		if i > 0 && t == (Totals{}) {
			continue
		}
		rows = append(rows, appendCounts(row, t.Verdicts(), t.Pass, t.Expected, t.Fail, t.Fixed, t.Flaky, t.Unsupported, t.NotRun))
	}
	b.markdownTable(rows)
	b.printf("\n%s %s, %.1f s", r.System.Kernel, r.System.Machine, r.Seconds)
	if r.Cut != "" {
		b.printf(", %s", escapeMarkdown(r.CutText()))
	}
	b.printf("\n\n")

	var peers text
	peers.printf("\n")
	peers.markdownTable(r.peerRows(escapeMarkdown))
	unused := r.unused(nil)
	if len(unused) > 0 {
		peers.printf("\nNot used:\n\n")
	}
	for _, group := range unused {
		peers.printf("- %s\n", escapeMarkdown(group))
	}
	for _, list := range r.lineLists() {
		peers.printf("\n%s%s:\n\n", strings.ToUpper(list.Title[:1]), list.Title[1:])
		for _, line := range list.Lines() {
			peers.printf("- %s\n", escapeMarkdown(line))
		}
	}
	tail := truncate(peers.String(), maxBytes/4)

	failures, shown, traces := 0, 0, 0
	for _, c := range r.Cases {
		if !c.Unexpected() && c.Verdict != scenario.NotRun {
			continue
		}
		if failures++; failures > maxFailures {
			continue
		}
		if c.Trace != nil {
			if traces++; traces > maxTraces {
				c.Trace = &scenario.Trace{Why: "omitted here; see another format of the report"}
			}
		}
		if left := maxBytes - len(tail) - b.Len(); left > 1000 {
			b.WriteString(details(c, left-500))
			shown++
		}
	}
	if failures > shown {
		b.printf("\n… and %d more.\n", failures-shown)
	}
	_, err := io.WriteString(w, b.String()+tail)
	return err
}

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

// truncate shortens a text to at most limit bytes. A shortened text ends with a notice.
func truncate(text string, limit int) string {
	const notice = "\n… truncated; see another format of the report.\n"
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(notice)], "") + notice
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

// details returns a section for a case that the reader can expand, with at most about limit bytes.
func details(c scenario.Result, limit int) string {
	text := safeLines(slices.Concat([]string{summary(c)}, c.Transcript, Trace(c))) + "\n"
	text = strings.ReplaceAll(text, "```", "~~~") // it must not end the code block
	return fmt.Sprintf("<details><summary>%s: <code>%s</code></summary>\n\n```\n%s```\n\n</details>\n",
		c.Verdict, c.Name, truncate(text, limit))
}
