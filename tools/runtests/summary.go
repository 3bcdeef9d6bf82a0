//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/testrecord"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/junit"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// An outcome is what a run writes to RESULTS about a part.
type outcome struct {
	Name    string  `json:"name"`
	Backend string  `json:"backend,omitempty"`
	Seconds float64 `json:"seconds"`
	Log     string  `json:"log,omitempty"`
	Tests   []test  `json:"tests"`
}

func countOf(tests []test) (c testrecord.Counts) {
	for _, t := range tests {
		c.Add(t.State)
	}
	return c
}

// title names the test.
func (t test) title() string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(t.Package, module), "/") + " " + t.Name)
}

func (r *run) outcomes() (all []*outcome) {
	for _, p := range r.parts {
		all = append(all, &outcome{Name: p.Name, Backend: p.Backend, Seconds: p.seconds, Log: p.log, Tests: p.tests})
	}
	return all
}

func readOutcomes(file string) (all []*outcome, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return all, err
}

// A summary is what a run prints at its end.
type summary struct {
	title  string
	parts  []*outcome
	cause  string   // the causes of failed cases
	errors []string // of the run itself; each is a failure
	least  int      // the minimum number of failures to report
}

// write writes the results to NAME.json and, for programs that read JUnit, to NAME.xml.
func (s *summary) write(name string) error {
	text, err := json.MarshalIndent(s.parts, "", " ")
	if err != nil {
		return err
	}
	all := junit.Suites{Name: s.title}
	for _, p := range s.parts {
		suite := &junit.Suite{Name: p.Name}
		for _, t := range p.Tests {
			message, _, _ := strings.Cut(t.Why, "\n")
			outcome := map[string]string{passed: "", failed: "failure", skipped: "skipped"}[t.State]
			suite.Add(junit.Case{Class: t.Package, Name: t.Name, Seconds: junit.Seconds(t.Seconds)}, outcome, message[:min(len(message), junit.MaxMessage)], t.Why)
		}
		all.Suites = append(all.Suites, suite)
	}
	var xml bytes.Buffer
	return errors.Join(all.Write(&xml), report.ReplaceFile(name+".json", text), report.ReplaceFile(name+".xml", xml.Bytes()))
}

// mostNamed is how many failed tests are named at the end.
const mostNamed = 12

// print prints the summary, and returns the exit status.
func (s *summary) print(w io.Writer) int {
	var total testrecord.Counts
	var causes, red, skips, missing []string
	busy := false
	if s.cause != "" {
		fmt.Fprintf(w, "\n%s\n", s.cause)
	}
	fmt.Fprintf(w, "\n%s:\n", s.title)
	for _, p := range s.parts {
		c := countOf(p.Tests)
		if len(p.Tests) > 0 {
			fmt.Fprintf(w, "  %-16s %-42v %4.0f s  %s\n", p.Name, c, p.Seconds, p.Log)
		}
		cases := 0
		for i := range total {
			total[i] += c[i]
		}
		for _, t := range p.Tests {
			if t.Missing != "" && t.State == skipped {
				missing = append(missing, t.Missing)
			}
			if t.State == skipped && t.Name == p.Name {
				skips = append(skips, p.Name+": "+t.Why)
			}
			if t.State != failed {
				continue
			}
			if busy = busy || strings.HasPrefix(t.Why, "it reached"); t.result != nil {
				cases++
				continue
			}
			red = append(red, fmt.Sprintf("failed: %s: %s", p.Name, t.title()))
		}
		if cases > 0 {
			causes = append(causes, fmt.Sprintf("failed: %s: %s of the catalogue, for the causes above", p.Name, display.Plural(cases, "case")))
		}
	}
	if more := len(red) - mostNamed; more > 0 {
		red = append(red[:mostNamed], fmt.Sprintf("… %d more: see the logs", more))
	}
	for _, line := range slices.Concat(causes, red, s.errors) {
		fmt.Fprintln(w, line)
	}
	if busy && strings.HasPrefix(s.title, "make ") { // .ci/run runs these
		fmt.Fprintf(w, "on a busy machine: %s SLOW=3\n", s.title)
	}
	table, sentence := partnerTable(s.parts, true)
	fmt.Fprint(w, table)
	slices.Sort(skips)
	for _, skip := range slices.Compact(skips) {
		fmt.Fprintf(w, "skipped: %s\n", skip)
	}
	if slices.Sort(missing); len(missing) > 0 {
		fmt.Fprintf(w, "missing: %s (as root on Debian, tools/setup test installs most tools)\n", strings.Join(slices.Compact(missing), ", "))
	}
	if sentence != "" {
		fmt.Fprintln(w, sentence)
	}
	total[1] = max(total[1]+len(s.errors), s.least)
	if total[0]+total[1] == 0 {
		fmt.Fprintln(w, "failed: nothing ran")
		total[1] = 1
	}
	fmt.Fprintln(w, total)
	return min(total[1], 1)
}

// A row of the table counts the specs with a partner, or with one of several, by the result and the backend.
type row struct {
	title, language string
	labels          []string // of the specs; the last row has all others
	counts          [2]testrecord.Counts
}

// newRows returns the rows of the table, which are empty.
func newRows() (rows []*row) {
	for _, name := range peers.InC {
		rows = append(rows, &row{title: name + ", in C", language: "C", labels: []string{name}})
	}
	for _, name := range peers.InRust {
		rows = append(rows, &row{title: name + ", in Rust", language: "Rust", labels: []string{name}})
	}
	return append(rows, &row{title: "the other backend", labels: []string{"scm-cgo", "scm-purego"}},
		&row{title: "the runner", labels: []string{scenario.RunnerName}}, &row{title: "other Go tests"})
}

// has reports whether the row counts a test that no earlier row does.
func (r *row) has(t test) bool {
	return r.labels == nil || slices.ContainsFunc(r.labels, func(l string) bool { return slices.Contains(t.Labels, l) })
}

// partnerTable returns a table of the specs with each partner and of the other tests on cgo and on pure Go, and a
// sentence about the specs in C and Rust. They are empty if no spec with a partner ran.
func partnerTable(parts []*outcome, others bool) (table, sentence string) {
	rows, any := newRows(), false
	for _, p := range parts {
		backend := slices.Index([]string{"cgo", "purego"}, p.Backend)
		if backend < 0 {
			continue
		}
		for _, t := range p.Tests {
			r := rows[slices.IndexFunc(rows, func(r *row) bool { return r.has(t) })]
			r.counts[backend].Add(t.State)
			any = any || r.labels != nil
		}
	}
	if !any {
		return "", ""
	}
	ran, failures := [2]map[string]int{{}, {}}, 0
	table = fmt.Sprintf("\n%-26s%28s%28s\n%-26s", "", "cgo", "pure Go", "specs with") + strings.Repeat("      passed  failed skipped", 2)
	if !others {
		rows = rows[:len(rows)-1]
	}
	for _, r := range rows {
		table += fmt.Sprintf("\n%-26s", r.title)
		for i, c := range r.counts {
			table += fmt.Sprintf("    %8d%8d%8d", c[0], c[1], c[2])
			if ran[i][r.language] += c[0]; r.language != "" {
				failures += c[1]
			}
		}
	}
	var says [2]string
	for i := range says {
		c, rust := ran[i]["C"], ran[i]["Rust"]
		if says[i] = fmt.Sprintf("%d specs against C and Rust passed", c+rust); c == 0 || rust == 0 {
			says[i] = fmt.Sprintf("%d specs against C and %d against Rust passed", c, rust)
		}
	}
	sentence = says[0] + " on both backends"
	if says[0] != says[1] {
		sentence = says[0] + " on cgo, and " + says[1] + " on pure Go"
	}
	if failures > 0 {
		sentence += fmt.Sprintf("; %d failed", failures)
	}
	return table + "\n", sentence
}
