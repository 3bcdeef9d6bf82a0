package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// builtinList begins the name of a built-in list of expected failures.
const builtinList = "built-in list"

// The limits keep Summary within maxSummaryLines.
const (
	maxSummaryLines  = 40
	maxSummaryCauses = 12
	maxReplays       = 3
	maxSummaryText   = 120  // characters of a finding
	maxSummaryPart   = 4000 // characters of partLine
	maxSummaryUnused = 8    // reasons why peers were not used
)

// Summary writes the verdict and the causes as Markdown, in at most 40 lines. The page is the path
// of the HTML report, or "".
func (r *Report) Summary(w io.Writer, page string) error {
	r = r.abbreviated()
	var b text
	b.writeHeading(r.Headline())
	if r.Error == "" {
		b.printf("\n%s\n", r.countsLine())
	}
	b.WriteString(r.partLine())
	list := r.Causes()
	if len(list) > 0 {
		b.printf("\n")
		b.writeSummaryCauses(list)
	}
	if len(list) > 0 && r.Replay != "" {
		b.printf("\nTo run an example again:\n\n```sh\n")
		for _, name := range exampleNames(list) {
			b.printf("%s\n", strings.ReplaceAll(display.Line(r.Replay+name), "```", "~~~"))
		}
		b.printf("```\n")
	}
	if r.Cut != "" {
		b.printf("\nThe run was %s.\n", escapeMarkdown(shorten(r.CutText(), maxSummaryText)))
	}
	if unused := r.unusedLine(); unused != "" {
		b.printf("\n%s\n", unused)
	}
	if n := len(r.KernelPasses); n > 0 {
		first := codeMarkdown(shorten(r.KernelPasses[0], maxSummaryText))
		b.printf("\nExpected failures set aside, because this kernel does not fail them (a vendor may have backported the change): %d, for example %s.\n", n, first)
	}
	if n := len(r.Unmatched); n > 0 {
		b.printf("\nExpected failures that apply to no case: %d, for example %s.\n", n, codeMarkdown(shorten(r.Unmatched[0], maxSummaryText)))
	}
	if page != "" && r.Error == "" {
		b.printf("\n%s shows every case. If the job uploads it, it is among the job's artifacts.\n", codeMarkdown(page))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// partLine says why cases of the peers that are not built in have no verdict, or that the run was one of a part of the
// cases, or is "".
func (r *Report) partLine() string {
	_, list := r.partlyAsked()
	if more := len(list) - maxAtFault; more > 0 {
		list = append(list[:maxAtFault], fmt.Sprintf("%s: %s.", display.Plural(more, "more peer"), scenario.NoVerdictIn("some cases")))
	}
	switch {
	case len(list) > 0:
		return "\n" + escapeMarkdown(shorten(strings.Join(list, " "), maxSummaryPart)) + "\n"
	case r.LeftOut == 0:
		return ""
	}
	return fmt.Sprintf("\nThis was a part of the run: --run, --skip or --few-pairs left out %s.\n", display.Plural(r.LeftOut, "case"))
}

// exampleNames returns the names of the first examples, each once.
func exampleNames(list []Cause) (names []string) {
	for _, c := range list {
		if len(names) < maxReplays && !slices.Contains(names, c.Example.Name) {
			names = append(names, c.Example.Name)
		}
	}
	return names
}

// countsLine describes the size of the run in one line of Markdown.
func (r *Report) countsLine() string {
	sum := func(count func(Totals) int) (n int) {
		for _, t := range r.summed() {
			n += count(t)
		}
		return n
	}
	of := ""
	if len(r.Given) > 0 {
		of = " of " + codeMarkdown(shorten(r.about(), maxSummaryText))
	}
	apart := ""
	for _, sentence := range r.apart() {
		apart += sentence + ". "
	}
	line := fmt.Sprintf("%d cases%s have a verdict: %d pass, %d expected failures, %d not as expected. %s%d peers, %s, %.1f s",
		sum(Totals.Verdicts), of, sum(func(t Totals) int { return t.Pass }), sum(func(t Totals) int { return t.Expected }), sum(Totals.Unexpected),
		apart, len(r.usedPeers()), codeMarkdown(r.System.Kernel+" "+r.System.Machine), r.Seconds)
	if !r.Started.IsZero() {
		line += ", started " + r.Started.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return line + "."
}

// writeSummaryCauses writes the table of the most frequent causes.
func (t *text) writeSummaryCauses(list []Cause) {
	rows := [][]string{{"cause", "cases", "found", "example"}}
	for _, c := range list[:min(len(list), maxSummaryCauses)] {
		name, found := c.Name(), c.Found()
		rows = append(rows, []string{
			codeMarkdown(name),
			fmt.Sprint(c.Cases),
			codeMarkdown(shorten(found, maxSummaryText)),
			codeMarkdown(c.Example.Name),
		})
	}
	t.markdownTable(rows)
	if more := len(list) - maxSummaryCauses; more > 0 {
		t.printf("\n… and %d more causes.\n", more)
	}
}

// notAsked contains the reasons why a peer took no part in the run because the user did not ask for it.
var notAsked = map[string]bool{scenario.NotSelected: true, scenario.NotBuiltin: true}

// unusedLine lists the peers that could not be used, in one line of Markdown. It leaves out those
// that the user did not ask for.
func (r *Report) unusedLine() string {
	unused := r.unusedByReason(notAsked)
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(unused)) {
		names := codeMarkdown(shorten(strings.Join(unused[reason], " "), maxSummaryText))
		list = append(list, fmt.Sprintf("%s (%s)", names, codeMarkdown(shorten(reason, maxSummaryText))))
	}
	if len(list) == 0 {
		return ""
	}
	if more := len(list) - maxSummaryUnused; more > 0 {
		list = append(list[:maxSummaryUnused], fmt.Sprintf("and for %d more reasons", more))
	}
	return "Not used: " + strings.Join(list, ", ") + "."
}

// shorten shortens a text to one line of at most limit characters.
func shorten(text string, limit int) string {
	return display.Shorten(strings.ReplaceAll(text, "\n", ", "), limit)
}

// codeMarkdown returns a text that a peer may have written as a code span, in one line. Logs of CI
// servers also show the Markdown, and a code span is readable there. A text that could end the span
// or the cell of a table, or forge a workflow command, is escaped instead.
func codeMarkdown(untrusted string) string {
	line := strings.TrimSpace(display.Line(untrusted))
	if line == "" || strings.ContainsAny(line, "`|") || strings.Contains(line, "::") {
		return escapeMarkdown(line)
	}
	return "`" + line + "`"
}

const (
	maxAnnotations    = 10 // GitHub shows no more of them per step
	maxAnnotationText = 400
)

// An annotation is an error that GitHub shows on the page of a run, or at a line of a file.
type annotation struct {
	cases       int
	title, text string
	file        string // relative to the workspace, or "" if it concerns no file there
	line        int
}

// Annotations writes up to ten workflow commands that make GitHub show what was not as expected. A
// cause about a line in a file of expected failures is shown at that line, if the file is in the
// workspace. An empty workspace means the current directory.
func (r *Report) Annotations(w io.Writer, workspace string) error {
	r = r.abbreviated()
	list := r.annotations(workspace)
	if more := len(list) - maxAnnotations; more > 0 {
		last := list[len(list)-1] // says that the run was cut short, if it was
		list = append(list[:maxAnnotations-2], annotation{text: fmt.Sprintf("… and %d more; see the summary and the reports", more+1)}, last)
	}
	var b strings.Builder
	for _, a := range list {
		b.WriteString(a.command())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// annotations returns the errors of the run, the expected failures that apply to no case, the causes, the most frequent
// first, and then that the run was cut short.
func (r *Report) annotations(workspace string) (list []annotation) {
	if r.Cut == "" {
		for _, text := range r.runErrors("") {
			list = append(list, annotation{text: text})
		}
	}
	if r.UnmatchedFaults() > 0 {
		for _, text := range r.Unmatched {
			a := annotation{title: "expected failure"}
			a.file, a.line, a.text = placeOf(text, workspace)
			list = append(list, a)
		}
	}
	for _, c := range r.Causes() {
		a := annotation{cases: c.Cases}
		a.title, a.text = c.Name(), c.Found()
		if len(c.Example.Gone) > 0 && c.Example.Verdict == scenario.UnexpectedPass {
			a.file, a.line, a.text = placeOf(a.text, workspace)
			a.text = "this expected failure did not occur: " + a.text
		}
		a.text += " (for example " + c.Example.Name + ")"
		list = append(list, a)
	}
	if r.Cut != "" {
		list = append(list, annotation{text: r.CutText()})
	}
	return list
}

// placeForm matches an expectation, as its String method returns it: FILE:LINE: TEXT.
var placeForm = regexp.MustCompile(`^(.+?):([0-9]+): (.*)$`)

// placeOf splits the text of an expectation. The file is relative to the workspace. If the file is
// not in it, rest is the whole text, and the file is "".
func placeOf(expectation, workspace string) (file string, line int, rest string) {
	m := placeForm.FindStringSubmatch(expectation)
	if m == nil || strings.HasPrefix(m[1], builtinList) {
		return "", 0, expectation
	}
	absolute, errFile := filepath.Abs(m[1])
	root, errRoot := filepath.Abs(workspace)
	file, err := filepath.Rel(root, absolute)
	if errors.Join(errFile, errRoot, err) != nil || !filepath.IsLocal(file) {
		return "", 0, expectation
	}
	line, _ = strconv.Atoi(m[2]) // 0 on overflow, which is no line
	return filepath.ToSlash(file), line, m[3]
}

// Escapes of GitHub's workflow commands.
var (
	escapeMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// command returns the workflow command, which is one line.
func (a annotation) command() string {
	title := "scm interop"
	if a.title != "" {
		title += ": " + a.title
	}
	if a.cases > 0 {
		title += fmt.Sprintf(" ×%d", a.cases)
	}
	place := ""
	if a.file != "" {
		place = fmt.Sprintf("file=%s,line=%d,", escapeProperty.Replace(display.Line(a.file)), a.line)
	}
	return fmt.Sprintf("::error %stitle=%s::%s\n", place,
		escapeProperty.Replace(shorten(title, maxSummaryText)), escapeMessage.Replace(shorten(a.text, maxAnnotationText)))
}

// PageOf returns the path of the HTML report that a run wrote along with the JSON report, or "".
func PageOf(file string) string {
	page := strings.TrimSuffix(file, filepath.Ext(file)) + ".html"
	if _, err := os.Stat(page); err != nil {
		return ""
	}
	return page
}
