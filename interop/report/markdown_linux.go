package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/scm-rights/scm/interop"
)

// mostFailures is how many cases a summary tells one by one.
const mostFailures = 50

// mostTraces is how many of them it tells with what was recorded: CI servers refuse a
// summary of more than a mebibyte.
const mostTraces = 10

// Markdown writes the report as the summary of a CI job.
func (r *Report) Markdown(w io.Writer) error {
	out := &printer{w: w}
	verdict := "as expected"
	if !r.AsExpected() {
		verdict = "**not as expected**"
	}
	out.printf("## scm interop: %s\n\n", verdict)
	out.printf("| | verdicts | pass | expected failures | failures | expected failures that pass | flaky | unsupported | not run |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		t    Totals
	}{{"peers", r.Totals}, {"kernel", r.Kernel}} {
		t := row.t
		out.printf("| %s | %d | %d | %d | %d | %d | %d | %d | %d |\n", row.name, t.Verdicts(), t.Pass, t.Expected, t.Fail, t.Fixed, t.Flaky, t.Unsupported, t.NotRun)
	}
	out.printf("\n%s %s, %.1f s", r.System.Kernel, r.System.Machine, r.Seconds)
	if r.Cut != "" {
		out.printf(", cut short: %s", r.Cut)
	}
	out.printf("\n\n")

	failures, traces := 0, 0
	for _, c := range r.Cases {
		if c.AsExpected() && c.Verdict != interop.NotRun {
			continue
		}
		if failures++; failures <= mostFailures {
			if c.Trace != nil {
				if traces++; traces > mostTraces {
					c.Trace = &interop.Trace{Why: "the other forms of the report have what was recorded"}
				}
			}
			out.details(c)
		}
	}
	if failures > mostFailures {
		out.printf("\n… and %d more.\n", failures-mostFailures)
	}

	out.printf("\n| peer | language | version | pass | expected failures | not as expected | unsupported | not run |\n|---|---|---|---|---|---|---|---|\n")
	var missing []string
	for _, p := range r.Peers {
		if p.NotRun != "" {
			missing = append(missing, fmt.Sprintf("%s (%s)", p.Name, p.NotRun))
			continue
		}
		t := p.Totals
		out.printf("| %s | %s | %s | %d | %d | %d | %d | %d |\n", p.Name, escaped(p.Lang), escaped(p.Version), t.Pass, t.Expected, t.Unexpected(), t.Unsupported, t.NotRun)
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		out.printf("\nNot there: %s.\n", strings.Join(missing, ", "))
	}
	return out.err
}

// escaped is a word that somebody else chose, with nothing in it that Markdown knows.
func escaped(word string) string {
	var b strings.Builder
	for _, r := range word {
		if r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" .,-+", r) {
			fmt.Fprintf(&b, "&#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// details are what a reader opens.
func (p *printer) details(c interop.Result) {
	lines := []string{summary(c)}
	lines = append(lines, c.Transcript...)
	lines = append(lines, Trace(c)...)
	text := strings.ReplaceAll(strings.Join(lines, "\n"), "```", "~~~") // it must not end the block that it is in
	p.printf("<details><summary>%s: <code>%s</code></summary>\n\n```\n%s\n```\n\n</details>\n", c.Verdict, c.Name, text)
}
