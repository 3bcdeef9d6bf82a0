package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// Console writes all of the report for a person: what is not as expected, the matrix
// of each type of socket, the peers and the totals. Brief is shorter.
func (r *Report) Console(w io.Writer) error {
	var out text
	for _, c := range r.Cases {
		if c.Unexpected() || c.Verdict == scenario.NotRun {
			out.failure(c)
		}
	}
	for _, t := range contract.SocketTypes {
		if matrix := r.Matrix(t); matrix != "" {
			out.printf("%s\n", matrix)
		}
	}
	out.table(r.peerRows(display.Line), 2)
	r.notThere(&out)
	out.printf("\nIn the matrix: passes, x expected failures, ! not as expected, ? not run, - unsupported.\n\n")
	r.totals(&out, func(*text) {})
	_, err := io.WriteString(w, out.String())
	return err
}

// notThere prints the peers that do not play, by the reason.
func (r *Report) notThere(out *text) {
	missing := map[string][]string{}
	for _, p := range r.Peers {
		if p.NotRun != "" {
			missing[p.NotRun] = append(missing[p.NotRun], p.Name)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(missing)) {
		out.block("", fmt.Sprintf("not there: %s: %s", strings.Join(missing[why], " "), why))
	}
}

// A text is what is printed for a person.
type text struct{ strings.Builder }

func (t *text) printf(format string, args ...any) { fmt.Fprintf(t, format, args...) }

// block prints what somebody else may have written: no line of it is taken for one of
// the report's.
func (t *text) block(indent, said string) { t.printf("%s\n", display.Block(indent, said)) }

func (t *text) failure(c scenario.Result) {
	t.printf("%s: %s\n", c.Verdict, c.Name)
	if c.Why != "" {
		t.block("    ", c.Why)
	}
	for _, f := range c.Findings {
		t.block("    ", f.Located())
	}
	if len(c.Findings) > 0 {
		for _, l := range c.Transcript {
			t.block("      ", l)
		}
	}
	for _, l := range Trace(c) {
		t.block("    ", l)
	}
	t.printf("\n")
}

// cell is a square of the matrix: the cases of one sender and one receiver.
func cell(t Totals) string {
	switch {
	case t == Totals{}:
		return ""
	case t.Verdicts() == 0 && t.NotRun == 0:
		return "-"
	}
	text := fmt.Sprint(t.Pass)
	for i, n := range []int{t.Expected, t.Unexpected(), t.NotRun} {
		if n > 0 {
			text += fmt.Sprintf("%c%d", "x!?"[i], n)
		}
	}
	return text
}

// Matrix returns the matrix of one type of socket: who sends to whom. It is empty where
// nothing was played.
func (r *Report) Matrix(socketType string) string {
	cells := map[[2]string]Totals{}
	for _, c := range r.Cases {
		if _, t, a, b := split(c.Name); t == socketType && !c.Kernel() {
			t := cells[[2]string{a, b}]
			t.count(c.Verdict)
			cells[[2]string{a, b}] = t
		}
	}
	if len(cells) == 0 {
		return ""
	}
	there := r.there()
	rows := [][]string{{"", ""}}
	for i, a := range there {
		rows[0] = numbers(rows[0], i+1)
		row := []string{fmt.Sprint(i + 1), a.Name}
		for _, b := range there {
			row = append(row, cell(cells[[2]string{a.Name, b.Name}]))
		}
		rows = append(rows, row)
	}
	var out text
	out.printf("%s: who sends (rows) to whom (columns)\n", socketType)
	out.table(rows, 1)
	return out.String()
}

// table prints rows of the same length in columns, that many spaces apart.
func (t *text) table(rows [][]string, gap int) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, gap, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a Builder takes everything
	for l := range strings.Lines(b.String()) {
		t.printf("%s\n", strings.TrimRight(l, " \n"))
	}
}

// peerRows are the table of the peers that played; word shows what they say of themselves.
func (r *Report) peerRows(word func(string) string) [][]string {
	rows := [][]string{{"peer", "language", "version", "pass", "expected failures", "not as expected", "unsupported", "not run"}}
	for _, p := range r.there() {
		t := p.Totals
		row := []string{p.Name, word(p.Lang), word(p.Version)}
		rows = append(rows, numbers(row, t.Pass, t.Expected, t.Unexpected(), t.Unsupported, t.NotRun))
	}
	return rows
}

// numbers adds numbers to a row.
func numbers(row []string, list ...int) []string {
	for _, n := range list {
		row = append(row, fmt.Sprint(n))
	}
	return row
}

// totals prints what came of the run, with what else belongs before its last line.
func (r *Report) totals(out *text, more func(*text)) {
	out.printf("%s %s, %d peers of %d, %.1f s\n", r.System.Kernel, r.System.Machine, len(r.there()), len(r.Peers), r.Seconds)
	out.counts("verdicts", r.Totals)
	if r.Kernel != (Totals{}) {
		out.counts("verdicts of the kernel", r.Kernel)
	}
	var ways []string
	for _, way := range slices.Sorted(maps.Keys(r.Witnesses)) {
		ways = append(ways, fmt.Sprintf("%s %d", way, r.Witnesses[way]))
	}
	if len(ways) > 0 {
		out.printf("the kernel told which descriptor is which by: %s\n", strings.Join(ways, ", "))
	}
	if len(r.Aside) > 0 {
		out.printf("expectations set aside, for peers that are not there or another kernel: %d\n", len(r.Aside))
	}
	if r.Cut != "" {
		out.block("", "cut short: "+r.Cut)
	}
	for _, c := range r.Cases {
		if name, socketType, a, b := split(c.Name); c.Verdict == scenario.Fail && a == scenario.RunnerName && b == a {
			out.printf("the runner itself fails %s on %s: look at the scenario and at the kernel before the peers\n", name, socketType)
		}
	}
	more(out)
	out.printf("the run: %s\n", r.Headline())
}

// counts prints the totals of peers or of the kernel.
func (t *text) counts(name string, n Totals) {
	t.printf("%s: %d: %d pass, %d expected failures, %d unexpected failures, %d unexpected passes", name,
		n.Verdicts(), n.Pass, n.Expected, n.Fail, n.Fixed)
	if n.Flaky > 0 {
		t.printf(", %d flaky", n.Flaky)
	}
	t.printf("\nwithout a verdict: %d unsupported, %d not run\n", n.Unsupported, n.NotRun)
}
