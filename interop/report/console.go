package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/display"
)

// Console writes the report for a person: what is not as expected, the matrix
// of each type of socket, the peers and the totals.
func (r *Report) Console(w io.Writer) error {
	out := &printer{w: w}
	for _, c := range r.Cases {
		if c.Unexpected() || c.Verdict == scenario.NotRun {
			out.failure(c)
		}
	}
	for _, t := range contract.SocketTypes {
		var matrix strings.Builder
		_ = r.Matrix(&matrix, t) // a Builder takes everything
		if matrix.Len() > 0 {
			out.printf("%s\n", &matrix)
		}
	}
	r.peers(out)
	r.totals(out)
	return out.err
}

// A printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// block prints what somebody else may have written: no line of it is taken for one of
// the report's.
func (p *printer) block(indent, text string) { p.printf("%s\n", display.Block(indent, text)) }

func (p *printer) failure(c scenario.Result) {
	p.printf("%s: %s\n", c.Verdict, c.Name)
	if c.Why != "" {
		p.block("    ", c.Why)
	}
	for _, f := range c.Findings {
		p.block("    ", f.Located())
	}
	if len(c.Findings) > 0 {
		for _, l := range c.Transcript {
			p.block("      ", l)
		}
	}
	for _, l := range Trace(c) {
		p.block("    ", l)
	}
	p.printf("\n")
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
	for _, more := range []struct {
		mark string
		n    int
	}{{"x", t.Expected}, {"!", t.Unexpected()}, {"?", t.NotRun}} {
		if more.n > 0 {
			text += fmt.Sprintf("%s%d", more.mark, more.n)
		}
	}
	return text
}

// Matrix writes the matrix of one type of socket: who sends to whom. Nothing is
// written where nothing was played.
func (r *Report) Matrix(w io.Writer, socketType string) error {
	cells := map[[2]string]*Totals{}
	for _, c := range r.Cases {
		_, t, a, b := split(c.Name)
		if t != socketType || c.Kernel() {
			continue
		}
		key := [2]string{a, b}
		if cells[key] == nil {
			cells[key] = &Totals{}
		}
		cells[key].count(c.Verdict)
	}
	if len(cells) == 0 {
		return nil
	}
	var names []string
	for _, p := range r.Peers {
		if p.NotRun == "" {
			names = append(names, p.Name)
		}
	}
	out := &printer{w: w}
	out.printf("%s: who sends (rows) to whom (columns)\n", socketType)
	head := []string{"", ""}
	for i := range names {
		head = append(head, fmt.Sprint(i+1))
	}
	rows := [][]string{head}
	for i, a := range names {
		row := []string{fmt.Sprint(i + 1), a}
		for _, b := range names {
			t := cells[[2]string{a, b}]
			if t == nil {
				t = &Totals{}
			}
			row = append(row, cell(*t))
		}
		rows = append(rows, row)
	}
	out.table(rows, 1)
	return out.err
}

// table prints rows of the same length in columns, that many spaces apart.
func (p *printer) table(rows [][]string, gap int) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, gap, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a Builder takes everything
	for l := range strings.Lines(b.String()) {
		p.printf("%s\n", strings.TrimRight(l, " \n"))
	}
}

func (r *Report) peers(out *printer) {
	rows := [][]string{{"peer", "language", "version", "pass", "expected failure", "not as expected", "unsupported", "not run"}}
	missing := map[string][]string{} // by the reason
	for _, p := range r.Peers {
		if p.NotRun != "" {
			missing[p.NotRun] = append(missing[p.NotRun], p.Name)
			continue
		}
		t := p.Totals
		row := []string{p.Name, display.Line(p.Lang), display.Line(p.Version)}
		for _, n := range []int{t.Pass, t.Expected, t.Unexpected(), t.Unsupported, t.NotRun} {
			row = append(row, fmt.Sprint(n))
		}
		rows = append(rows, row)
	}
	out.table(rows, 2)
	for _, why := range slices.Sorted(maps.Keys(missing)) {
		out.block("", fmt.Sprintf("not there: %s: %s", strings.Join(missing[why], " "), why))
	}
	out.printf("\nIn the matrix: passes, x expected failures, ! not as expected, ? not run, - unsupported.\n\n")
}

func (r *Report) totals(out *printer) {
	there := 0
	for _, p := range r.Peers {
		if p.NotRun == "" {
			there++
		}
	}
	out.printf("%s %s, %d peers of %d, %.1f s\n", r.System.Kernel, r.System.Machine, there, len(r.Peers), r.Seconds)
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
	out.printf("the run: %s\n", r.Headline())
}

// counts prints the totals of peers or of the kernel.
func (p *printer) counts(name string, t Totals) {
	p.printf("%s: %d: %d pass, %d expected failures, %d unexpected failures, %d expected failures that pass", name,
		t.Verdicts(), t.Pass, t.Expected, t.Fail, t.Fixed)
	if t.Flaky > 0 {
		p.printf(", %d flaky", t.Flaky)
	}
	p.printf("\nwithout a verdict: %d unsupported, %d not run\n", t.Unsupported, t.NotRun)
}
