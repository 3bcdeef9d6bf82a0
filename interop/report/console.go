package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// Console writes the full report in readable form. It shows each case that did not end as
// expected, a matrix for each socket type, the peers and the totals. Brief writes a shorter
// report.
func (r *Report) Console(w io.Writer) error {
	r = r.abbreviated()
	var out text
	for _, c := range r.Cases {
		if c.Unexpected() || c.Verdict == scenario.NotRun {
			out.printf("%s: %s\n", c.Verdict, c.Name)
			out.writeFindings(c, false)
			out.writeTranscript(c, 0)
			for _, l := range Trace(c) {
				out.block("    ", l)
			}
			out.printf("\n")
		}
	}
	for _, t := range contract.SocketTypes {
		if matrix := r.Matrix(t); matrix != "" {
			out.printf("%s\n", matrix)
		}
	}
	out.table(r.peerRows(), 2)
	for _, group := range r.unused(nil) {
		out.paragraph("not used: " + group)
	}
	out.printf("\nIn the matrix: passes, x expected failures, ! not as expected, ? not run, - unsupported.\n\n")
	var ways []string
	for _, way := range slices.Sorted(maps.Keys(r.Witnesses)) {
		ways = append(ways, fmt.Sprintf("%s %d", way, r.Witnesses[way]))
	}
	if len(ways) > 0 {
		out.printf("descriptors identified by: %s\n", strings.Join(ways, ", "))
	}
	if len(r.Aside) > 0 {
		out.printf("expected failures ignored (unused peers, other versions, other kernels): %d\n", len(r.Aside))
	}
	r.writeEnd(&out)
	_, err := io.WriteString(w, out.String())
	return err
}

// A text collects readable output.
type text struct{ strings.Builder }

func (t *text) printf(format string, args ...any) { fmt.Fprintf(t, format, args...) }

// block writes text that may come from a peer. It marks the lines so that none of them can be
// mistaken for a line of the report itself.
func (t *text) block(indent, untrusted string) {
	t.printf("%s\n", display.Block(indent, untrusted))
}

// columns is the width of a terminal.
const columns = 80

// paragraph writes prose that may contain text from a peer, in lines of at most 80 columns. Lines
// after the first are indented, and none of them begins with "::", which would make it a command
// to GitHub's runner.
func (t *text) paragraph(untrusted string) {
	width := 0
	line := display.Line(strings.ReplaceAll(untrusted, "\n", " "))
	for i, word := range strings.Fields(line) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+n > columns && !strings.HasPrefix(word, "::"):
			t.printf("\n  ")
			width = 2
		default:
			t.printf(" ")
			width++
		}
		t.WriteString(word)
		width += n
	}
	t.printf("\n")
}

// cell returns the text of a cell of the matrix: the totals of one sender and one receiver.
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

// Matrix returns the matrix for one socket type, with a row per sender and a column per
// receiver. It leaves out peers without such a case. It returns "" if the report contains no case of that type.
func (r *Report) Matrix(socketType string) string {
	cells, named := map[[2]string]Totals{}, map[string]bool{}
	for _, c := range r.Cases {
		if _, t, a, b := splitCaseName(c.Name); !c.Kernel() && t == socketType {
			totals := cells[[2]string{a, b}]
			totals.count(c.Verdict)
			cells[[2]string{a, b}] = totals
			named[a], named[b] = true, true
		}
	}
	if len(cells) == 0 {
		return ""
	}
	peers := slices.DeleteFunc(r.usedPeers(), func(p Peer) bool { return !named[p.Name] })
	rows := [][]string{{"", ""}}
	for i, a := range peers {
		rows[0] = appendCounts(rows[0], i+1)
		row := []string{fmt.Sprint(i + 1), a.Name}
		for _, b := range peers {
			row = append(row, cell(cells[[2]string{a.Name, b.Name}]))
		}
		rows = append(rows, row)
	}
	var out text
	out.printf("%s: senders in rows, receivers in columns\n", socketType)
	out.table(rows, 1)
	return out.String()
}

// table writes rows of the same length in columns, separated by gap spaces.
func (t *text) table(rows [][]string, gap int) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, gap, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // writing to a Builder cannot fail
	for l := range strings.Lines(b.String()) {
		t.printf("%s\n", strings.TrimRight(l, " \n"))
	}
}

// writeTable writes the table of Brief. If peers were added to the run, it shows how many of their cases passed.
// Otherwise it has a row for each peer.
func (r *Report) writeTable(out *text) {
	var rows [][]string
	if len(r.NotAsked) > 0 {
		added := slices.Sorted(maps.Keys(r.NotAsked))
		out.printf("cases of %s that passed, by group and type of socket\n", strings.Join(added, ", "))
		rows = r.groupRows()
	} else {
		for _, row := range r.peerRows() {
			rows = append(rows, slices.Delete(row, 1, 3)) // language and version
		}
		rows[0] = []string{"peer", "passed", "expected", "unexpected", "unsupported", "not run", "time"}
	}
	out.table(rows, 2)
	if unused := r.unused(notAsked); len(unused) > 0 && !r.Selected && len(r.NotAsked) == 0 {
		out.paragraph("not used: " + strings.Join(unused, "; "))
	}
}

// groupRows returns a table of the cases that passed, of the peers in NotAsked.
func (r *Report) groupRows() [][]string {
	cells, groups := map[[2]string]Totals{}, map[string]bool{}
	for _, c := range r.Cases {
		name, socketType, a, b := splitCaseName(c.Name)
		_, isA := r.NotAsked[a]
		if _, isB := r.NotAsked[b]; isA || isB {
			group, _, _ := strings.Cut(name, "/")
			groups[group] = true
			t := cells[[2]string{group, socketType}]
			t.count(c.Verdict)
			cells[[2]string{group, socketType}] = t
		}
	}
	rows := [][]string{append([]string{""}, contract.SocketTypes...)}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		row := []string{group}
		for _, socketType := range contract.SocketTypes {
			t := cells[[2]string{group, socketType}]
			row = append(row, fmt.Sprintf("%d of %d", t.Pass, t.Verdicts()))
		}
		rows = append(rows, row)
	}
	return rows
}

// peerRows returns the table of the peers that took part.
func (r *Report) peerRows() [][]string {
	rows := [][]string{{"peer", "language", "version", "pass", "expected failures", "not as expected", "unsupported", "not run", "time"}}
	for _, p := range r.usedPeers() {
		t := p.Totals
		if t == (Totals{}) {
			continue // it has no case, as most with --run
		}
		row := []string{p.Name, display.Line(p.Lang), display.Line(p.Version)}
		row = appendCounts(row, t.Pass, t.Expected, t.Unexpected(), t.Unsupported, t.NotRun)
		rows = append(rows, append(row, fmt.Sprintf("%.1f s", p.Seconds)))
	}
	return rows
}

// appendCounts appends counts to a row of a table.
func appendCounts(row []string, counts ...int) []string {
	for _, n := range counts {
		row = append(row, fmt.Sprint(n))
	}
	return row
}

// writeEnd writes the summary of the run. It ends with sentences.
func (r *Report) writeEnd(out *text) {
	out.printf("%s %s, %d peers of %d, %.1f s\n", r.System.Kernel, r.System.Machine, len(r.usedPeers()), len(r.Peers), r.Seconds)
	for _, list := range r.lineLists() {
		out.paragraph(list.Title + ":")
		for _, line := range list.Lines() {
			out.block("  ", line)
		}
	}
	for _, c := range r.Cases {
		if name, socketType, a, b := splitCaseName(c.Name); c.Verdict == scenario.Fail && a == scenario.RunnerName && b == a {
			out.printf("the runner itself fails %s on %s: suspect the scenario or the kernel before the peers\n", name, socketType)
		}
	}
	if r.Cut == "" {
		for _, text := range r.runErrors("") {
			out.block("", text)
		}
	}
	if r.NoKernel > 0 {
		out.printf("%s left out: see --kernel\n", display.Plural(r.NoKernel, "kernel scenario"))
	}
	out.paragraph(r.Verdict())
	r.writePeers(out)
	if r.Cut != "" {
		out.block("", r.CutText())
	}
}
