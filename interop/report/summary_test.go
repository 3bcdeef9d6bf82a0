package report

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/scenario"
)

// summaryOf returns the lines of the summary.
func summaryOf(t *testing.T, r *Report, page string) []string {
	t.Helper()
	var b strings.Builder
	fdtest.Must(t, r.Summary(&b, page))
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// annotationsOf returns the workflow commands, one per line.
func annotationsOf(t *testing.T, r *Report, workspace string) []string {
	t.Helper()
	var b strings.Builder
	fdtest.Must(t, r.Annotations(&b, workspace))
	return slices.Collect(strings.Lines(b.String()))
}

// A summary has the verdict, the causes with an example, and the place of the other reports.
func TestSummary(t *testing.T) {
	r := small(t)
	r.Replay = "scm interop replay r.json#"
	want := []string{
		"## scm interop: **not as expected, 1 not run, cut short**", "",
		"10 cases have a verdict: 5 pass, 1 expected failures, 4 not as expected. 3 peers, `Linux 6.1 x86_64`, 12.3 s, started 2026-01-02 03:04:05 UTC.", "",
		"| cause | cases | found | example |", "|---|---|---|---|",
		"| `answer@kernel` | 1 | answered \"ok\" &#60;/script&#62; &#96;&#96;&#96; | `gc/asked/stream/kernel/kernel` |",
		"| `cloexec@runner` | 1 | `a received descriptor is not close-on-exec` | `basics/pass/stream/runner/libre` |",
		"| `flaky` | 1 | `fail at first, and pass on attempt 2` | `limits/many/dgram/libre/libre` |",
		"| `leak@libre` | 1 | `a, as 4, is open, and the peer did not report it` | `basics/pass/stream/runner/libre` |",
		"| `not run` | 1 | `libre: the peer ended` | `basics/pass/stream/libre/runner` |",
		"| `unexpected pass` | 1 | `mine.txt:3: ** leak@libre` | `limits/many/stream/runner/libre` |",
		"", "To run an example again:", "", "```sh",
		"scm interop replay r.json#gc/asked/stream/kernel/kernel",
		"scm interop replay r.json#basics/pass/stream/runner/libre",
		"scm interop replay r.json#limits/many/dgram/libre/libre",
		"```", "", "The run was cut short after 14 of 20 cases: interrupt.", "", "Not used: `gone` (`no C compiler (gcc) in PATH`).",
		"", "Expected failures set aside, because this kernel does not fail them (a vendor may have backported the change): 1, for example `file:4: limits/many answer@runner<6.7`.",
		"", "`a/r.html` shows every case. If the job uploads it, it is among the job's artifacts.",
	}
	if got := summaryOf(t, r, "a/r.html"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	broken := []string{"## scm interop: **did not run: no memory**"}
	if got := summaryOf(t, &Report{Error: "no memory"}, "a/r.html"); !slices.Equal(got, broken) {
		t.Errorf("got\n%s\nwant only %s", strings.Join(got, "\n"), broken)
	}

	good := &Report{Totals: Totals{Pass: 2}, Peers: []Peer{{Name: "x", NotRun: scenario.NotSelected}, {Name: "y", NotRun: scenario.NotBuiltin}}}
	want = []string{"## scm interop: as expected", "", "2 cases have a verdict: 2 pass, 0 expected failures, 0 not as expected. 0 peers, , 0.0 s."}
	if got := summaryOf(t, good, ""); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	good.LeftOut = 7
	const part = "This was a part of the run: --run, --skip or --few-pairs left out 7 cases."
	if got := summaryOf(t, good, ""); !slices.Equal(got, append(want, "", part)) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// hostileReport returns a report with many causes, each with text that tries to inject something.
func hostileReport(causes int) *Report {
	const hostile = "x\n::error::forged\r\n%0A::error::forged ##[error]forged `|**b** @user <img src=x> [a](b) ```\x1b\u2028 "
	r := &Report{Cut: hostile, Totals: Totals{Pass: 1}, Replay: "scm interop replay r.json#", System: System{Kernel: hostile, Machine: hostile}, KernelPasses: []string{hostile, hostile}, LeftOut: 1, Unmatched: []string{"f:1: " + hostile, hostile}, NotAsked: map[string]string{"p": hostile}}
	verdicts := []scenario.Verdict{scenario.Fail, scenario.UnexpectedPass, scenario.NotRun, scenario.Flaky}
	for i := range causes {
		peer := fmt.Sprintf("%s%d", hostile, i)
		r.Cases = append(r.Cases, scenario.Result{
			Name: "a/b/stream/" + strings.ReplaceAll(peer, "/", "") + "/x", Verdict: verdicts[i%len(verdicts)], Why: peer,
			Gone:     []string{fmt.Sprintf("%s:%d: %s", strings.ReplaceAll(hostile, "/", ""), i, hostile)},
			Findings: []scenario.Finding{{Check: scenario.CheckAnswer, Peer: peer, Text: strings.Repeat(hostile, 100)}},
		})
		r.Peers = append(r.Peers, Peer{Name: peer, NotRun: hostile}, Peer{Name: "p"})
	}
	return r
}

// A summary has at most 40 lines, and no text in it is Markdown, HTML or a workflow command.
func TestSummaryWithHostileText(t *testing.T) {
	for _, causes := range []int{0, 1, 3, maxSummaryCauses, 500} {
		lines := summaryOf(t, hostileReport(causes), "r|`\n.html")
		text := strings.Join(lines, "\n")
		if len(lines) > maxSummaryLines || len(text) > 65536 {
			t.Errorf("%d causes: %d lines, %d bytes", causes, len(lines), len(text))
		}
		fence := "\n```sh\n"
		before, commands, found := strings.Cut(text, fence)
		commands, after, ended := strings.Cut(commands, "\n```\n")
		if causes > 0 && (!found || !ended || strings.Contains(commands, "```")) {
			t.Errorf("%d causes: the commands are %q", causes, commands)
		}
		if bad := regexp.MustCompile(`(?m)<|@user|\[a\]|\*\*b|##\[|^\s*::|[^\x20-\x{10ffff}\n]`).FindString(before + after); bad != "" {
			t.Errorf("%d causes: found %q in\n%s", causes, bad, text)
		}
		for _, l := range lines {
			if strings.HasPrefix(l, "| ") && strings.Count(l, "|") != 5 {
				t.Errorf("a row with other columns: %s", l)
			}
		}
	}
}

// In a summary, harmless characters are not escaped, and text is in a code span that it cannot end. Otherwise, it is
// escaped.
func TestCodeMarkdown(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`answered "ok n=0 payload=- fds=-"`, "`answered \"ok n=0 payload=- fds=-\"`"},
		{"**b** <img src=x> [a](b) @user #1 https://x.org \\", "`**b** <img src=x> [a](b) @user #1 https://x.org \\`"},
		{"a\nb", "`a\\nb`"},
		{" a ", "`a`"},
		{"::error::forged", "&#58;&#58;error&#58;&#58;forged"},
		{"a:: b", "a&#58;: b"},
		{"", ""},
		{"   ", ""},
		{"it's `x`: (a=b) a/b?", "it's &#96;x&#96;: (a=b) a/b?"},
		{"|<b>&*_[]~\\#@!$:x:", "&#124;&#60;b&#62;&#38;&#42;&#95;&#91;&#93;&#126;&#92;&#35;&#64;&#33;&#36;&#58;x&#58;"},
		{"|https://x.org WWW.x.org", "&#124;https&#58;//x.org WWW&#46;x.org"},
	} {
		if got := codeMarkdown(c.text); got != c.want {
			t.Errorf("%q: got %s, want %s", c.text, got, c.want)
		}
	}
}

// Annotations are at most ten workflow commands, one per line.
func TestAnnotationsWithHostileText(t *testing.T) {
	form := regexp.MustCompile(`^::error (?:file=[^:,\r\n]+,line=[0-9]+,)?title=[^:,\r\n]+::[^\r\n]*\n$`)
	escapes := regexp.MustCompile(`%(25|3A|2C|0A|0D)`)
	for _, causes := range []int{0, 1, 9, 10, 500} {
		lines := annotationsOf(t, hostileReport(causes), "/nowhere")
		if want := min(causes+3, maxAnnotations); len(lines) != want { // 1 for the run, 2 for lines
			t.Errorf("%d causes: %d annotations, want %d", causes, len(lines), want)
		}
		const more = "; see the summary and the reports\n"
		if got := strings.Contains(strings.Join(lines, ""), more); got != (causes+3 > maxAnnotations) {
			t.Errorf("%d causes: some are left out: %v", causes, got)
		}
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "::error title=scm interop::cut short after ") {
			t.Errorf("%d causes: the last annotation is %q", causes, last)
		}
		for _, l := range lines {
			if !form.MatchString(l) || strings.Contains(l, "##[") || strings.Contains(escapes.ReplaceAllString(l, ""), "%") {
				t.Errorf("not a workflow command: %q", l)
			}
		}
	}
	if got := annotationsOf(t, &Report{Totals: Totals{Pass: 1}}, ""); got != nil {
		t.Errorf("for a run as expected, got %q", got)
	}
}

// Only a line of a file in the workspace is annotated. Other annotations name the line.
func TestAnnotationsOfLines(t *testing.T) {
	here, err := os.Getwd()
	fdtest.Must(t, err)
	const text = "** leak@x (for example a/b/stream/x/x)\n"
	const title = "title=scm interop%3A unexpected pass ×1::this expected failure did not occur: "
	for _, c := range []struct{ gone, workspace, want string }{
		{"f,1%.txt:3: ** leak@x", here, "::error file=f%2C1%25.txt,line=3," + title + text},
		{"f.txt:3: ** leak@x", "", "::error file=f.txt,line=3," + title + text},
		{"./d/../f.txt:3: ** leak@x", filepath.Dir(here), "::error file=report/f.txt,line=3," + title + text},
		{here + "/f.txt:12: ** leak@x", here, "::error file=f.txt,line=12," + title + text},
		{"../f.txt:3: ** leak@x", here, "::error " + title + "../f.txt:3: " + text},
		{"/f.txt:3: ** leak@x", here, "::error " + title + "/f.txt:3: " + text},
		{"built-in list:3: ** leak@x", here, "::error " + title + "built-in list:3: " + text},
	} {
		r := &Report{Cases: []scenario.Result{{Name: "a/b/stream/x/x", Verdict: scenario.UnexpectedPass, Gone: []string{c.gone}}}, Totals: Totals{Fixed: 1}}
		if got := annotationsOf(t, r, c.workspace); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: got %q\nwant %q", c.gone, got, c.want)
		}
	}
}

// An expected failure that applies to no case fails the run and is annotated, unless the run was one of a part.
func TestUnmatched(t *testing.T) {
	r := &Report{Totals: Totals{Pass: 2}, Unmatched: []string{"f.txt:3: ** leak@x applies to no case: why"}}
	want := []string{"::error file=f.txt,line=3,title=scm interop%3A expected failure::** leak@x applies to no case: why\n"}
	if got := annotationsOf(t, r, ""); !slices.Equal(got, want) || r.Headline() != unmatchedTitle+": 1" {
		t.Errorf("got %q, %q", got, r.Headline())
	}
	for _, part := range []bool{false, true} {
		r.Part = part
		for ext, write := range Formats {
			var b strings.Builder
			if err := write(r, &b); err != nil || strings.Contains(b.String(), "** leak") == (part && ext == ".xml") {
				t.Errorf("%s of a part, %v: %v\n%s", ext, part, err, b.String())
			}
		}
		if got := summaryOf(t, r, ""); !strings.Contains(strings.Join(got, "\n"), "f.txt:3: ** leak@x") {
			t.Errorf("the summary is %q", got)
		}
	}
	if got := annotationsOf(t, r, ""); got != nil || r.Headline() != asExpected {
		t.Errorf("of a part: got %q, %q", got, r.Headline())
	}
}

// Prose is wrapped, but no line becomes a workflow command.
func TestParagraph(t *testing.T) {
	var out text
	out.paragraph(strings.Repeat("word ", 15) + "::error::forged\n::error::forged ##[error]forged " + strings.Repeat("word ", 20))
	for _, l := range strings.Split(out.String(), "\n") {
		obeyed := strings.HasPrefix(strings.TrimSpace(l), "::") || strings.Contains(l, "##[")
		if obeyed || len(l) > columns+2*len("::error::forged") {
			t.Errorf("line %q: a CI server would obey it: %v, or it is too long", l, obeyed)
		}
	}
	if !strings.Contains(out.String(), "\n  word") {
		t.Errorf("got %q, want a second line that is indented", out.String())
	}
}
