package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/scm-rights/scm/interop"
)

// Console writes the report for a person: what is not as expected, the matrix
// of each type of socket, the peers and the totals.
func (r *Report) Console(w io.Writer) error {
	out := &printer{w: w}
	for _, c := range r.Cases {
		if c.Verdict == interop.Fail || c.Verdict == interop.Fixed || c.Verdict == interop.NotRun {
			out.failure(c)
		}
	}
	for _, t := range interop.SocketTypes {
		if err := r.Matrix(w, t); err != nil {
			return err
		}
		out.printf("\n")
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

func (p *printer) failure(c interop.Result) {
	p.printf("%s: %s\n", c.Verdict, c.Name)
	if c.Why != "" {
		p.printf("    %s\n", c.Why)
	}
	for _, f := range c.Findings {
		if f.Line > 0 {
			p.printf("    line %d: %s\n", f.Line, f)
		} else {
			p.printf("    %s\n", f)
		}
	}
	if len(c.Findings) > 0 {
		for _, l := range c.Transcript {
			p.printf("      %s\n", l)
		}
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
	}{{"x", t.Expected}, {"!", t.Fail + t.Fixed}, {"?", t.NotRun}} {
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
		part := strings.Split(c.Name, "/") // GROUP/ID/TYPE/SENDER/RECEIVER
		if part[2] != socketType {
			continue
		}
		key := [2]string{part[3], part[4]}
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
	table := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	row := []string{"", ""}
	for i := range names {
		row = append(row, fmt.Sprint(i+1))
	}
	fmt.Fprintln(table, strings.Join(row, "\t"))
	for i, a := range names {
		row := []string{fmt.Sprint(i + 1), a}
		for _, b := range names {
			t := cells[[2]string{a, b}]
			if t == nil {
				t = &Totals{}
			}
			row = append(row, cell(*t))
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	if err := table.Flush(); err != nil && out.err == nil {
		out.err = err
	}
	return out.err
}

func (r *Report) peers(out *printer) {
	table := tabwriter.NewWriter(out.w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "peer\tlanguage\tversion\tpass\texpected failure\tnot as expected\tunsupported\tnot run")
	for _, p := range r.Peers {
		if p.NotRun != "" {
			fmt.Fprintf(table, "%s\tnot there: %s\n", p.Name, p.NotRun)
			continue
		}
		t := p.Totals
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n",
			p.Name, p.Lang, p.Version, t.Pass, t.Expected, t.Fail+t.Fixed, t.Unsupported, t.NotRun)
	}
	if err := table.Flush(); err != nil && out.err == nil {
		out.err = err
	}
	out.printf("\nIn the matrix: passes, x expected failures, ! not as expected, ? not run, - unsupported.\n\n")
}

func (r *Report) totals(out *printer) {
	t := r.Totals
	there := 0
	for _, p := range r.Peers {
		if p.NotRun == "" {
			there++
		}
	}
	out.printf("%s %s, %d peers of %d, %.1f s\n", r.System.Kernel, r.System.Machine, there, len(r.Peers), r.Seconds)
	out.printf("verdicts: %d: %d pass, %d expected failures, %d unexpected failures, %d expected failures that pass\n",
		t.Verdicts(), t.Pass, t.Expected, t.Fail, t.Fixed)
	out.printf("without a verdict: %d unsupported, %d not run\n", t.Unsupported, t.NotRun)
	var ways []string
	for _, way := range slices.Sorted(maps.Keys(r.Witnesses)) {
		ways = append(ways, fmt.Sprintf("%s %d", way, r.Witnesses[way]))
	}
	if len(ways) > 0 {
		out.printf("the kernel told which descriptor is which by: %s\n", strings.Join(ways, ", "))
	}
	if len(r.Aside) > 0 {
		out.printf("expectations set aside, for peers that are not there: %d\n", len(r.Aside))
	}
	if r.Cut != "" {
		out.printf("cut short: %s\n", r.Cut)
	}
}
