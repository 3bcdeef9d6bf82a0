package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/display"
)

// mostFailures is how many cases a summary shows one by one.
const mostFailures = 50

// mostTraces is how many of them it shows with their recorded calls.
const mostTraces = 10

// CI servers refuse a summary of more than a mebibyte.
const (
	mostBytes   = 1_000_000 // of the summary
	mostOfCase  = 100_000   // of a case
	mostOfPeers = 200_000   // of the table of peers
)

// Markdown writes the report as the summary of a CI job.
func (r *Report) Markdown(w io.Writer) error {
	out := &printer{w: w}
	verdict := r.Headline()
	if verdict != asExpected {
		verdict = "**" + verdict + "**"
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
		out.printf(", cut short: %s", escaped(display.Line(r.Cut)))
	}
	out.printf("\n\n")

	peers := r.peersTable()
	room := mostBytes - len(peers)
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
		// The smaller ones may still have room.
		if text := details(c); len(text) <= room-headBytes {
			out.printf("%s", text)
			room -= len(text)
			told++
		}
	}
	if failures > told {
		out.printf("\n… and %d more.\n", failures-told)
	}
	out.printf("%s", peers)
	return out.err
}

// headBytes is more than the text above the cases takes, with the line behind them.
const headBytes = 4096

// peersTable lists the peers that played, and those that were not there.
func (r *Report) peersTable() string {
	var b strings.Builder
	b.WriteString("\n| peer | language | version | pass | expected failures | not as expected | unsupported | not run |\n|---|---|---|---|---|---|---|---|\n")
	var missing []string
	for _, p := range r.Peers {
		if p.NotRun != "" {
			missing = append(missing, fmt.Sprintf("%s (%s)", p.Name, escaped(display.Line(p.NotRun))))
			continue
		}
		t := p.Totals
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %d | %d | %d |\n", p.Name, escaped(p.Lang), escaped(p.Version), t.Pass, t.Expected, t.Unexpected(), t.Unsupported, t.NotRun)
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		fmt.Fprintf(&b, "\nNot there: %s.\n", strings.Join(missing, ", "))
	}
	return cut(b.String(), mostOfPeers)
}

// cut is the beginning of a text that is too long, and says so.
func cut(text string, most int) string {
	const left = "\n… and more, which the other forms of the report have.\n"
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(left)], "") + left
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
func details(c scenario.Result) string {
	var b strings.Builder
	for _, l := range slices.Concat([]string{summary(c)}, c.Transcript, Trace(c)) {
		if b.WriteString(display.Block("", l) + "\n"); b.Len() > mostOfCase {
			break // the rest is cut off
		}
	}
	text := strings.ReplaceAll(b.String(), "```", "~~~") // it must not end the block that it is in
	return fmt.Sprintf("<details><summary>%s: <code>%s</code></summary>\n\n```\n%s```\n\n</details>\n", c.Verdict, c.Name, cut(text, mostOfCase))
}
