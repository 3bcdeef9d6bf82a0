package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// A Cause groups cases that failed in the same way. Either the same peer failed the same check unexpectedly, or the
// same expected failure did not occur, or the cases have the same verdict for the same reason.
type Cause struct {
	What    string // CHECK@PEER, or the verdict
	Cases   int
	First   scenario.Result // of the cases
	Example scenario.Result // the shortest of the cases

	where string // in which of the cases of the peer
}

// Name returns CHECK@PEER or the verdict.
func (c Cause) Name() string {
	name, _, _ := strings.Cut(c.What, ": ")
	return name
}

// Found returns the finding of the example, which may consist of several lines.
func (c Cause) Found() string {
	for _, f := range c.Example.Findings {
		if f.Key() == c.What {
			return f.Text
		}
	}
	_, found, _ := strings.Cut(c.What, ": ")
	return cmp.Or(found, c.Example.Why)
}

// Causes returns the causes of all unexpected outcomes, the most frequent first, but last those that follow from hangs.
func (r *Report) Causes() []Cause {
	list, cases := r.grouped(causesOf)
	for i, c := range list {
		if check, peer, ok := strings.Cut(c.Name(), "@"); ok {
			list[i].where = r.where(scenario.Check(check), peer, cases[c.What])
		}
	}
	slices.SortStableFunc(list, func(a, b Cause) int {
		switch followsA, followsB := a.Example.AskedNoMore != "", b.Example.AskedNoMore != ""; {
		case followsA == followsB:
			return 0
		case followsA:
			return 1
		}
		return -1
	})
	return list
}

// grouped groups the cases by the texts that of returns for each. It returns the groups, the largest first,
// and the cases of each.
func (r *Report) grouped(of func(scenario.Result) []string) ([]Cause, map[string][]scenario.Result) {
	var list []Cause
	cases := map[string][]scenario.Result{}
	for _, c := range r.Cases {
		for _, what := range of(c) {
			cases[what] = append(cases[what], c)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(cases)) {
		shortest := slices.MinFunc(cases[what], func(a, b scenario.Result) int {
			return cmp.Compare(a.ReadingEffort(), b.ReadingEffort())
		})
		list = append(list, Cause{What: what, Cases: len(cases[what]), First: cases[what][0], Example: shortest})
	}
	slices.SortStableFunc(list, func(a, b Cause) int { return cmp.Compare(b.Cases, a.Cases) })
	return list, cases
}

// causesOf returns the causes of one case, sorted and without duplicates. A case that ended as expected has none.
func causesOf(c scenario.Result) (list []string) {
	if !c.Unexpected() && c.Verdict != scenario.NotRun {
		return nil
	}
	for _, f := range c.Findings {
		if !f.Expected {
			list = append(list, f.Key())
		}
	}
	if len(list) == 0 || c.Verdict != scenario.Fail {
		list = nil
		what := c.Verdict.String()
		switch {
		case c.Verdict == scenario.NotRun && c.Why != "":
			list = append(list, what+": "+c.Why)
		case len(c.Gone) > 0:
			for _, line := range c.Gone {
				list = append(list, what+": "+line)
			}
		default:
			list = append(list, what)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// FirstCases contains the name of the first case of each cause.
type FirstCases map[string]string

// Add adds the causes of a case. If another case has failed for each of them, Add returns a text that names it.
// Otherwise it returns "": the case should be shown.
func (f FirstCases) Add(name string, c scenario.Result) string {
	var known []string
	list := causesOf(c)
	for _, what := range list {
		if f[what] == "" {
			f[what] = name
		}
		if f[what] != name {
			known = append(known, "as "+f[what]+" does: "+Cause{What: what}.Name())
		}
	}
	if len(known) == 0 || len(known) < len(list) {
		return ""
	}
	return "fails " + strings.Join(known, ", ")
}

// withoutMiddle returns this number of the first and last lines, and between them the number of the others.
func withoutMiddle(lines []string, first, last int) []string {
	more := len(lines) - first - last
	if more < 2 {
		return lines
	}
	return slices.Concat(lines[:first], []string{"… " + display.Plural(more, "more line")}, lines[first+more:])
}

// Example describes a case that did not end as expected: the rules that are broken, what was found, and the transcript
// with what the kernel showed at each line. It shortens the transcript to at most this number of lines, and abbreviates
// them. If the number is 0, it does neither.
func Example(c scenario.Result, lines int) string {
	if lines > 0 {
		c = Abbreviate(c)
	}
	var t text
	for _, what := range causesOf(c) {
		t.paragraph(Cause{What: what, Example: c}.rule())
	}
	t.writeFindings(c, lines > 0)
	t.writeTranscript(c, lines)
	return strings.TrimSuffix(t.String(), "\n")
}

// writeFindings writes what was found. If it is short, it shows only the ends of a long finding, such as the answers
// that a scenario accepts, or what a program wrote when it ended.
func (t *text) writeFindings(c scenario.Result, short bool) {
	if c.Why != "" {
		t.block("", c.Why)
	}
	for _, f := range c.Findings {
		if f.Expected {
			continue
		}
		lines := strings.Split(f.Located(), "\n")
		if short {
			lines = withoutMiddle(lines, 2, 1)
		}
		t.block("", strings.Join(lines, "\n"))
	}
}

// writeTranscript writes what the scenario of a case with findings is about, the transcript, and what the kernel
// showed, if that is known. If most is not 0 and there are more lines, it writes the last ones up to the first that is
// wrong.
func (t *text) writeTranscript(c scenario.Result, most int) {
	if len(c.Findings) == 0 {
		return
	}
	if s := c.Case.Scenario; s != nil && len(s.Rule) > 0 {
		what := "The scenario"
		if _, _, a, b := splitCaseName(c.Name); a != scenario.KernelName {
			what += fmt.Sprintf(" (A is %s, B is %s)", subject(a), subject(b))
		}
		t.paragraph(what + ": " + s.Rule[0])
	}
	lines := c.Transcript
	if len(c.Facts) > 0 {
		lines = slices.Compact(slices.Clone(c.Facts)) // a finding about several descriptors is repeated for each of them
	}
	begin, end := 0, len(lines)
	if most > 0 && end > most {
		wrong := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), fact.Mark) })
		if end = most; wrong >= 0 {
			end = wrong + 1
		}
		begin = max(0, end-most)
	}
	if begin > 0 {
		t.printf("    … %s\n", display.Plural(begin, "earlier line"))
	}
	for _, l := range lines[begin:end] {
		t.block("    ", l)
	}
	if more := len(lines) - end; more > 0 {
		t.printf("    … %s\n", display.Plural(more, "more line"))
	}
}

// CauseTable describes the causes: what rule is broken, by which peer, how often and where, and the first case of each,
// whose transcript FirstCases lets a test print. The function returns the command that runs a case again and shows
// everything. The last lines name the peers at fault. The report may consist of nothing but cases.
func (r *Report) CauseTable(again func(scenario.Result) string) string {
	r = r.abbreviated()
	list := r.Causes()
	for i, c := range list {
		list[i].Example = c.First
		for j, f := range c.First.Findings {
			lines := strings.SplitN(f.Text, "\n", 3)
			c.First.Findings[j].Text = strings.Join(lines[:min(2, len(lines))], "\n") // the rest is above too
		}
	}
	var out text
	if left := out.writeCauses(list, maxBriefLines, 0, "Example (transcript above)", again); left > 0 {
		out.printf("… %s, each with a transcript above\n\n", display.Plural(left, "more cause"))
	}
	r.writePeers(&out)
	return strings.TrimSuffix(out.String(), "\n")
}

// Brief writes a short report for a terminal with 80 columns, in at most maxBriefLines: the causes, then a table of the
// cases that passed, and a summary.
func (r *Report) Brief(w io.Writer) error {
	r = r.abbreviated()
	var out, tail text
	r.writeTable(&tail)
	tail.printf("\n")
	r.writeEnd(&tail)
	list, lines := r.Causes(), 0
	if len(list) <= maxTranscripts {
		lines = ExampleLines
	}
	again := func(c scenario.Result) string { return r.Replay + c.Name }
	if left := out.writeCauses(list, maxBriefLines-tail.lines(), lines, "Example", again); left > 0 {
		out.printf("… %s: use -v or --report FILE.html to see every case\n\n", display.Plural(left, "more cause"))
	}
	_, err := io.WriteString(w, out.String()+tail.String())
	return err
}

// ExampleLines is the number of lines of a transcript that an example shows by default.
const ExampleLines = 14

const (
	maxBriefLines  = 120
	maxTranscripts = 3 // causes that Brief shows with a transcript
)

func (t *text) lines() int { return strings.Count(t.String(), "\n") }

// writeCauses describes the first causes of the list, in at most this number of lines, and returns how many are left.
// If exampleLines is 0, it leaves out the transcripts.
func (t *text) writeCauses(list []Cause, most, exampleLines int, label string, again func(scenario.Result) string) (left int) {
	for i, c := range list {
		var one text
		one.paragraph(c.Sentence())
		one.printf("%s: %s\n", label, c.Example.Name)
		example := c.Example
		example.Findings = slices.DeleteFunc(slices.Clone(example.Findings), func(f scenario.Finding) bool {
			return example.Verdict == scenario.Fail && f.Key() != c.What // it belongs to another cause
		})
		one.writeFindings(example, true)
		if exampleLines > 0 {
			one.writeTranscript(c.Example, exampleLines)
		}
		one.printf("To run it again: %s\n", display.Line(again(c.Example)))
		if t.lines()+one.lines()+3 > most {
			return len(list) - i
		}
		t.printf("%s\n", one.String())
	}
	return 0
}

// maxAtFault is the number of peers at fault that writePeers names.
const maxAtFault = 3

// writePeers writes a sentence for each peer in NotAsked and each peer at fault: how many of its cases it fails.
func (r *Report) writePeers(out *text) {
	all := map[string]Totals{}
	faults := map[string]int{} // the number of cases in which a peer is at fault
	for _, c := range r.Cases {
		_, _, a, b := splitCaseName(c.Name)
		for _, name := range slices.Compact([]string{a, b}) {
			t := all[name]
			t.count(c.Verdict)
			all[name] = t
			isFault := func(f scenario.Finding) bool { return f.Peer == name && !f.Expected }
			if c.Verdict == scenario.Fail && slices.ContainsFunc(c.Findings, isFault) {
				faults[name]++
			}
		}
	}
	checks := map[string][]string{}
	for _, c := range r.Causes() {
		if check, peer, ok := strings.Cut(c.Name(), "@"); ok {
			checks[peer] = append(checks[peer], check)
		}
	}
	for name := range r.NotAsked {
		if _, asked := all[name]; asked || r.Cut == "" {
			faults[name] += 0 // to name it too
		}
	}
	more := 0
	for i, name := range slices.SortedFunc(maps.Keys(faults), func(a, b string) int {
		return cmp.Or(cmp.Compare(faults[b], faults[a]), cmp.Compare(a, b))
	}) {
		text := name + ": " + counts(all[name])
		if faults[name] > 0 {
			text = fmt.Sprintf("%s breaks %s (%s) in %d of %s", subject(name), display.Plural(len(checks[name]), "rule"),
				strings.Join(checks[name], ", "), faults[name], display.Plural(all[name].Verdicts(), "case"))
		}
		if r.NotAsked[name] != "" {
			text += "; " + r.NotAsked[name]
		}
		if faults[name] > 0 && i >= maxAtFault {
			more++
			continue
		}
		out.paragraph(text + ".")
	}
	if more > 0 {
		out.printf("%s at fault.\n", display.Plural(more, "more peer"))
	}
}
