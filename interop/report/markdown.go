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
	mostFailures = 50        // cases that a summary shows one by one
	mostTraces   = 10        // of them with their recorded calls
	mostBytes    = 1_000_000 // CI servers refuse a summary of more than a mebibyte
)

// Markdown writes the report as the summary of a CI job.
func (r *Report) Markdown(w io.Writer) error {
	var b text
	verdict := r.Headline()
	if verdict != asExpected {
		verdict = "**" + verdict + "**"
	}
	b.printf("## scm interop: %s\n\n", verdict)
	if causes := r.Causes(); len(causes) > 0 {
		rows := [][]string{{"cause", "cases", "for example"}}
		for _, c := range causes[:min(len(causes), mostFailures)] {
			rows = append(rows, []string{escaped(c.What), fmt.Sprint(c.Cases), "`" + c.Example.Name + "`"})
		}
		b.markdownTable(rows)
		b.printf("\n")
	}
	rows := [][]string{{"cases of", "verdicts", "pass", "expected failures", "failures", "unexpected passes", "flaky", "unsupported", "not run"}}
	for i, t := range []Totals{r.Totals, r.Kernel} {
		row := []string{[]string{"peers", "kernel"}[i]}
		rows = append(rows, numbers(row, t.Verdicts(), t.Pass, t.Expected, t.Fail, t.Fixed, t.Flaky, t.Unsupported, t.NotRun))
	}
	b.markdownTable(rows)
	b.printf("\n%s %s, %.1f s", r.System.Kernel, r.System.Machine, r.Seconds)
	if r.Cut != "" {
		b.printf(", cut short: %s", escaped(r.Cut))
	}
	b.printf("\n\n")

	var peers text
	peers.printf("\n")
	peers.markdownTable(r.peerRows(escaped))
	var missing []string
	for _, p := range r.Peers {
		if p.NotRun != "" {
			missing = append(missing, fmt.Sprintf("%s (%s)", p.Name, escaped(p.NotRun)))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		peers.printf("\nNot there: %s.\n", strings.Join(missing, ", "))
	}
	tail := cut(peers.String(), mostBytes/4)

	failures, told, traces := 0, 0, 0
	for _, c := range r.Cases {
		if !c.Unexpected() && c.Verdict != scenario.NotRun {
			continue
		}
		if failures++; failures > mostFailures {
			continue
		}
		if c.Trace != nil {
			if traces++; traces > mostTraces {
				c.Trace = &scenario.Trace{Why: "the other forms of the report have what was recorded"}
			}
		}
		if room := mostBytes - len(tail) - b.Len(); room > 1000 {
			b.WriteString(details(c, room-500))
			told++
		}
	}
	if failures > told {
		b.printf("\n… and %d more.\n", failures-told)
	}
	_, err := io.WriteString(w, b.String()+tail)
	return err
}

// markdownTable prints rows, of which the first is the head.
func (t *text) markdownTable(rows [][]string) {
	for i, row := range rows {
		t.printf("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			t.printf("%s|\n", strings.Repeat("|---", len(row)))
		}
	}
}

// cut is the beginning of a text that is too long, and says so.
func cut(text string, most int) string {
	const left = "\n… and more, which the other forms of the report have.\n"
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(left)], "") + left
}

// special is what Markdown may know.
var special = regexp.MustCompile(`[^A-Za-z0-9 .,+\x{80}-\x{10FFFF}-]`)

// escaped is a line that somebody else chose, with nothing in it that Markdown knows.
func escaped(said string) string {
	return special.ReplaceAllStringFunc(display.Line(said), func(c string) string { return fmt.Sprintf("&#%d;", c[0]) })
}

// details are what a reader opens: at most so many bytes of what was found and said.
func details(c scenario.Result, most int) string {
	text := joined(slices.Concat([]string{summary(c)}, c.Transcript, Trace(c))) + "\n"
	text = strings.ReplaceAll(text, "```", "~~~") // it must not end the block that it is in
	return fmt.Sprintf("<details><summary>%s: <code>%s</code></summary>\n\n```\n%s```\n\n</details>\n",
		c.Verdict, c.Name, cut(text, most))
}
