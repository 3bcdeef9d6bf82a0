package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// A Cause groups cases that failed in the same way. Either the same peer failed the same check unexpectedly, or the
// same expected failure did not occur, or the cases have the same verdict for the same reason.
type Cause struct {
	What    string // CHECK@PEER, or the verdict
	Cases   int
	Example scenario.Result // the shortest of the cases

	where string // in which of the cases of the peer
}

// Name returns CHECK@PEER or the verdict.
func (c Cause) Name() string {
	name, _, _ := strings.Cut(c.What, ": ")
	return name
}

// Found returns what was found in the example. It may consist of several lines.
func (c Cause) Found() string {
	for _, f := range c.Example.Findings {
		if f.Key() == c.What {
			return f.Text
		}
	}
	_, found, _ := strings.Cut(c.What, ": ")
	return cmp.Or(found, c.Example.Why)
}

// Causes returns the causes of all unexpected outcomes, the most frequent first.
func (r *Report) Causes() []Cause {
	list, cases := r.grouped(causesOf)
	for i, c := range list {
		if check, peer, ok := strings.Cut(c.Name(), "@"); ok {
			list[i].where = r.where(scenario.Check(check), peer, cases[c.What])
		}
	}
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
		list = append(list, Cause{What: what, Cases: len(cases[what]), Example: shortest})
	}
	slices.SortStableFunc(list, func(a, b Cause) int { return cmp.Compare(b.Cases, a.Cases) })
	return list, cases
}

// causesOf returns the causes of one case, sorted and without duplicates.
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

// maxBriefLines is the maximum length of Brief.
const maxBriefLines = 120

// Brief writes a short report for a terminal with 80 columns. It shows an example of each cause, as long as the
// report does not become longer than maxBriefLines. After the examples, it prints the matrix for all socket types,
// the totals and a table of the causes.
func (r *Report) Brief(w io.Writer) error {
	r = r.abbreviated()
	var tail text
	r.writePairMatrix(&tail)
	r.writeUnused(&tail)
	tail.printf("\n")
	r.writeTotals(&tail, r.writeCauseTable)
	var out text
	list := r.Causes()
	for i, c := range list {
		var one text
		one.writeExample(c)
		if out.lines()+one.lines()+tail.lines()+2 > maxBriefLines {
			out.printf("… %d more causes: use -v or --report FILE.html to see every case\n\n", len(list)-i)
			break
		}
		out.WriteString(one.String())
	}
	_, err := io.WriteString(w, out.String()+tail.String())
	return err
}

func (t *text) lines() int { return strings.Count(t.String(), "\n") }

// maxExampleLines is the number of lines of a transcript that Brief shows.
const maxExampleLines = 14

// writeExample writes the example of a cause, with the rule of its scenario.
func (t *text) writeExample(cause Cause) {
	c := cause.Example
	if s := c.Case.Scenario; s != nil && len(s.Rule) > 0 {
		t.paragraph(s.Rule[0])
	}
	if n := len(c.Transcript); n > maxExampleLines {
		omitted := n - maxExampleLines + 1
		c.Transcript = append(slices.Clone(c.Transcript[:maxExampleLines-1]), fmt.Sprintf("… %d more lines", omitted))
	}
	t.writeCase(c)
}

// maxCauses is the number of causes that a report shows at first.
const maxCauses = 12

// writeCauseTable writes the most frequent causes, and the peers at fault.
func (r *Report) writeCauseTable(out *text) {
	list := r.Causes()
	if len(list) == 0 {
		return
	}
	out.printf("\n")
	out.writeCauses(list[:min(len(list), maxCauses)])
	if len(list) > maxCauses {
		out.printf("… %d more causes\n", len(list)-maxCauses)
	}
	var faults []string
	unsure := false // whether a peer has no case with the runner or itself
	peers := r.usedPeers()
	slices.SortStableFunc(peers, func(a, b Peer) int { return cmp.Compare(r.countFaults(b.Name), r.countFaults(a.Name)) })
	for _, p := range peers {
		if n := r.countFaults(p.Name); n > 0 {
			faults = append(faults, fmt.Sprintf("%s ×%d", p.Name, n))
			unsure = unsure || !slices.ContainsFunc(r.Cases, func(c scenario.Result) bool {
				_, _, a, b := splitCaseName(c.Name)
				return (a == p.Name || b == p.Name) && (a == b || a == scenario.RunnerName || b == scenario.RunnerName)
			})
		}
	}
	if len(faults) > 0 {
		const maxPeers = 3
		if len(faults) > maxPeers {
			faults = append(faults[:maxPeers], fmt.Sprintf("and %d more", len(faults)-maxPeers))
		}
		out.paragraph("at fault: " + strings.Join(faults, ", "))
	}
	if unsure {
		out.printf("Some of these may be right: this run lacks their cases with the runner.\n")
	}
}

// writeCauses writes causes as a table. If a row would be longer than a line of the terminal, each
// example follows its cause on a line of its own.
func (t *text) writeCauses(list []Cause) {
	rows := [][]string{{"cause", "cases", "example"}}
	for _, c := range list {
		rows = append(rows, []string{display.Line(c.What), fmt.Sprint("×", c.Cases), c.Example.Name})
	}
	var table text
	table.table(rows, 2)
	if table.width() <= columns {
		t.WriteString(table.String())
		return
	}
	t.printf("cases  cause, and an example\n")
	for i, row := range rows[1:] {
		const indent = 7
		t.printf("%-5s  %s\n%*s%s\n", row[1], shorten(list[i].What, columns-indent), indent, "", row[2])
	}
}

// countFaults returns the number of failed cases with an unexpected finding about the peer.
func (r *Report) countFaults(peer string) (n int) {
	isFault := func(f scenario.Finding) bool { return f.Peer == peer && !f.Expected }
	for _, c := range r.Cases {
		if c.Verdict == scenario.Fail && slices.ContainsFunc(c.Findings, isFault) {
			n++
		}
	}
	return n
}

// pairs returns the totals for each pair of sender and receiver on this type of socket, or on all types
// if it is "".
func (r *Report) pairs(socketType string) map[[2]string]Totals {
	pairs := map[[2]string]Totals{}
	for _, c := range r.Cases {
		if _, typ, a, b := splitCaseName(c.Name); !c.Kernel() && (socketType == "" || socketType == typ) {
			t := pairs[[2]string{a, b}]
			t.count(c.Verdict)
			pairs[[2]string{a, b}] = t
		}
	}
	return pairs
}

// pairLetter returns the letter for a sender and a receiver in the matrix of Brief.
func pairLetter(t Totals) string {
	switch {
	case t.Unexpected() > 0:
		return "!"
	case t.NotRun > 0:
		return "?"
	case t.Verdicts() == 0:
		return "-"
	case t.Expected == 0:
		return "+"
	case t.Pass == 0:
		return "X"
	}
	return "x"
}

// writePairMatrix writes the matrix for all socket types, with one letter per pair. Each row ends with the peer's
// totals as sender and as receiver.
func (r *Report) writePairMatrix(out *text) {
	pairs, peers := r.pairs(""), r.shownPeers()
	out.printf("senders in rows, receivers in columns: + all cases pass, x some fail as\n" +
		"expected, X all fail as expected, ! not as expected, ? not run, - unsupported;\n" +
		"then the number of cases of each kind for the peer in the row, and the seconds\n" +
		"that its cases took\n\n")
	rows := [][]string{{"", "", "", "+", "x", "!", "?", "-", "s"}}
	for i, a := range peers {
		row := ""
		for _, b := range peers {
			row += pairLetter(pairs[[2]string{a.Name, b.Name}])
		}
		rows[0][2] += fmt.Sprint((i + 1) % 10)
		t := a.Totals
		cells := appendCounts([]string{fmt.Sprint(i + 1), a.Name, row}, t.Pass, t.Expected, t.Unexpected(), t.NotRun, t.Unsupported)
		rows = append(rows, append(cells, fmt.Sprintf("%.1f", a.Seconds)))
	}
	out.table(rows, 1)
}
