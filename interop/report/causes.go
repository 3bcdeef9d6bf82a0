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

// A Cause is what is wrong in the same way in so many cases: a check at a peer, or why nothing could be said.
type Cause struct {
	What    string // CHECK@PEER, or the verdict
	Cases   int
	Example scenario.Result // the shortest of the cases
}

// Pair is the square of the matrix that the example is in: TYPE/SENDER/RECEIVER.
func (c Cause) Pair() string {
	_, socketType, a, b := split(c.Example.Name)
	return socketType + "/" + a + "/" + b
}

// Causes returns what is not as expected, what most cases have in common first.
func (r *Report) Causes() []Cause {
	found := map[string]*Cause{}
	for _, c := range r.Cases {
		if !c.Unexpected() && c.Verdict != scenario.NotRun {
			continue
		}
		for _, what := range causes(c) {
			cause := found[what]
			if cause == nil {
				cause = &Cause{What: what, Example: c}
				found[what] = cause
			}
			cause.Cases++
			if effort(c) < effort(cause.Example) {
				cause.Example = c
			}
		}
	}
	var list []Cause
	for _, what := range slices.Sorted(maps.Keys(found)) {
		list = append(list, *found[what])
	}
	slices.SortStableFunc(list, func(a, b Cause) int { return cmp.Compare(b.Cases, a.Cases) })
	return list
}

// causes are those of a case, each once.
func causes(c scenario.Result) (list []string) {
	for _, f := range c.Findings {
		list = append(list, f.Key())
	}
	if len(list) == 0 || c.Verdict != scenario.Fail {
		what := c.Verdict.String()
		switch {
		case c.Verdict == scenario.NotRun && c.Why != "":
			what += ": " + c.Why
		case len(c.Gone) > 0:
			what += ": " + strings.Join(c.Gone, ", ")
		}
		list = []string{what}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// effort is how much there is to read of a case.
func effort(c scenario.Result) int { return 10*len(c.Findings) + len(c.Transcript) }

// mostLines is how long Brief is, at most.
const mostLines = 120

// Brief writes for a person, in a terminal of 80 columns, who understands whom and what is wrong: for each cause
// a case, as far as the lines go, and a table of them at the end.
func (r *Report) Brief(w io.Writer) error {
	var tail text
	r.letters(&tail)
	r.notThere(&tail)
	tail.printf("\n")
	r.totals(&tail, r.causeTable)
	var out text
	list := r.Causes()
	for i, c := range list {
		var one text
		one.example(c)
		if out.lines()+one.lines()+tail.lines()+2 > mostLines {
			out.printf("… %d more causes: -v shows each case, and --report FILE.html keeps them\n\n", len(list)-i)
			break
		}
		out.WriteString(one.String())
	}
	_, err := io.WriteString(w, out.String()+tail.String())
	return err
}

func (t *text) lines() int { return strings.Count(t.String(), "\n") }

// mostOfExample is how much of a transcript Brief shows.
const mostOfExample = 14

// example prints a case, with the rule of its scenario.
func (t *text) example(cause Cause) {
	c := cause.Example
	if s := c.Case.Scenario; s != nil && len(s.Rule) > 0 {
		t.block("", s.Rule[0])
	}
	if n := len(c.Transcript); n > mostOfExample {
		c.Transcript = append(slices.Clone(c.Transcript[:mostOfExample-1]), fmt.Sprintf("… %d more lines", n-mostOfExample+1))
	}
	t.failure(c)
}

// causeTable prints the causes that Brief has room for.
func (r *Report) causeTable(out *text) {
	const most = 12
	list := r.Causes()
	if len(list) == 0 {
		return
	}
	rows := [][]string{{"cause", "cases", "for example"}}
	for _, c := range list[:min(len(list), most)] {
		rows = append(rows, []string{display.Line(c.What), fmt.Sprint("×", c.Cases), c.Example.Name})
	}
	out.printf("\n")
	out.table(rows, 2)
	if len(list) > most {
		out.printf("… %d more causes\n", len(list)-most)
	}
	var faults []string
	there := r.there()
	slices.SortStableFunc(there, func(a, b Peer) int { return cmp.Compare(r.faults(b.Name), r.faults(a.Name)) })
	for _, p := range there {
		if n := r.faults(p.Name); n > 0 {
			faults = append(faults, fmt.Sprintf("%s ×%d", p.Name, n))
		}
	}
	if len(faults) > 0 {
		const most = 3
		if len(faults) > most {
			faults = append(faults[:most], fmt.Sprintf("and %d more", len(faults)-most))
		}
		out.printf("at fault: %s\n", strings.Join(faults, ", "))
	}
}

// faults is in how many cases something is wrong at a peer that was not expected.
func (r *Report) faults(peer string) (n int) {
	for _, c := range r.Cases {
		if c.Verdict == scenario.Fail && slices.ContainsFunc(c.Findings, func(f scenario.Finding) bool { return f.Peer == peer }) {
			n++
		}
	}
	return n
}

// Pairs returns what came of the cases of each sender and receiver, on all types of sockets.
func (r *Report) Pairs() map[[2]string]Totals {
	pairs := map[[2]string]Totals{}
	for _, c := range r.Cases {
		if _, _, a, b := split(c.Name); !c.Kernel() {
			t := pairs[[2]string{a, b}]
			t.count(c.Verdict)
			pairs[[2]string{a, b}] = t
		}
	}
	return pairs
}

// letter is a square of Brief's matrix.
func letter(t Totals) string {
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

// letters prints the matrix of all types of sockets, and the peers.
func (r *Report) letters(out *text) {
	pairs, there := r.Pairs(), r.there()
	out.printf("who sends (rows) to whom (columns): + every case passes, x some fail as expected,\nX all fail as expected, ! not as expected, ? not run, - unsupported; and of each\nrow how many\n\n")
	rows := [][]string{{"", "", "", "+", "x", "!", "?", "-"}}
	for i, a := range there {
		row := ""
		for _, b := range there {
			row += letter(pairs[[2]string{a.Name, b.Name}])
		}
		rows[0][2] += fmt.Sprint((i + 1) % 10)
		t := a.Totals
		rows = append(rows, numbers([]string{fmt.Sprint(i + 1), a.Name, row}, t.Pass, t.Expected, t.Unexpected(), t.NotRun, t.Unsupported))
	}
	out.table(rows, 1)
}
