//go:build linux

package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// A column describes a property of the compared libraries, and the scenarios that test it with a library's
// peer and the runner. The verdicts of these scenarios determine the cells of the column. docs/comparison.md
// is generated from columns and rows.
type column struct {
	name      string
	meaning   string // what a "yes" in the column means
	remedy    string // what to do about a "no" in any library
	role      scenario.Role
	scenarios patterns
	except    patterns // scenarios that another column covers
	fallback  patterns // scenarios for a peer that supports none of the others
	checks    []scenario.Check
	passed    string // the cell if there is no finding (default "yes")
	untested  string // the cell if the peer supports no scenario (default "–")
}

const (
	answer, file = scenario.CheckAnswer, scenario.CheckFile
	leak, crash  = scenario.CheckLeak, scenario.CheckCrash
)

// withPidfd selects the scenarios in which the kernel adds a pidfd to a message.
const withPidfd = "credentials/{scm-pidfd-*,ctrunc-pidfd-no-room}"

var columns = []column{
	{name: "descriptors per message", meaning: "253 if the library sends and receives a message with 253 descriptors, the most that Linux accepts; otherwise the most that it passes.",
		scenarios: of("limits/limit-253-ok"), checks: []scenario.Check{answer, file, crash}, passed: "253", untested: "1"},
	{name: "right file sent", meaning: "The library sends the open file that the caller specified.", role: scenario.RoleA,
		scenarios: of("**"), checks: []scenario.Check{file}},
	{name: "truncation reported", meaning: "The library reports truncation with a flag or an error, unless no part of the message is lost.",
		remedy: "Send the number of descriptors in the payload.", role: scenario.RoleB,
		scenarios: of("truncation", "resources/recv-emfile-*", "names/name-extra-fds-closed", "hostile/receiver-wrong-count",
			"limits/{max-fds-and-creds-together,peer-limit-7-odd}", "credentials/ctrunc-creds-eat-the-room",
			"ordering/stream-{coalesced-read-drops-both,partial-read-loses-fd}"),
		except: of("*/*-empty-packet*"), fallback: of("truncation/ctrunc-empty-packet-of-two"),
		checks: []scenario.Check{answer, crash}},
	{name: "no leaks", meaning: "Every received descriptor is either reported to the caller or closed.", role: scenario.RoleB,
		scenarios: of("**"), except: of(withPidfd), checks: []scenario.Check{leak, crash}},
	{name: "pidfd closed", meaning: "The library does not leave a received pidfd open. The kernel adds one only if SO_PASSPIDFD is set (Linux 6.5).",
		remedy: "Keep SO_PASSPIDFD off.", role: scenario.RoleB,
		scenarios: of(withPidfd), checks: []scenario.Check{leak, answer, crash}},
	{name: "close-on-exec", meaning: "Received descriptors are close-on-exec.",
		remedy: "Set FD_CLOEXEC at once, and start no program in another thread before that.", role: scenario.RoleB,
		scenarios: of("**"), checks: []scenario.Check{scenario.CheckCloexec}},
	{name: "empty packet sent", meaning: "The library sends a datagram or packet that has a descriptor but no payload, without adding anything to it.", role: scenario.RoleA,
		scenarios: of("payload/dgram-zero-byte-fd-delivered"),
		checks:    []scenario.Check{answer, file, crash, scenario.CheckHang}, untested: "not possible"},
	{name: "empty packet received", meaning: "The library receives a datagram or packet that has a descriptor but no payload, and returns the descriptor.", role: scenario.RoleB,
		scenarios: of("payload/dgram-zero-byte-fd-delivered"),
		checks:    []scenario.Check{leak, answer, file, crash, scenario.CheckHang}},
}

// A row is a library interface. The records in interop/peers have them.
type row peers.Row

// ours reports whether the row is about scm. The page gives no version for it, because it describes its own tree.
func (w row) ours() bool { return strings.HasPrefix(w.Name, "scm") }

const (
	callersFlag    = "with the caller's flag"
	callersControl = "left to the caller"
)

// rows contains the rows of all languages. The first are those of scm, then those of C and Go.
var rows = func() (list []row) {
	for _, r := range peers.Rows() {
		list = append(list, row(r))
	}
	place := func(r row) int {
		return slices.Index([]bool{r.ours(), r.Lang == "c", r.Lang == "go", true}, true)
	}
	slices.SortStableFunc(list, func(a, b row) int { return place(a) - place(b) })
	return list
}()

// A cell is the result of one row in one column.
type cell struct {
	text      string
	replaced  bool     // the row replaces the text that the verdicts gave
	findings  []string // CHECK SCENARIO, sorted
	decidedBy []string // scenarios with a verdict, sorted
}

// A comparison contains the cells computed from a report.
type comparison struct {
	versions []string // by row
	cells    [][]cell // by row and column
}

// compare makes the comparison from a report.
func compare(r *report.Report) *comparison {
	t := &comparison{}
	for _, w := range rows {
		var versions []string
		for _, name := range w.Peers {
			for _, p := range r.Peers {
				if p.Name == name && !w.ours() {
					versions = append(versions, p.Hello.Version)
				}
			}
		}
		t.versions = append(t.versions, strings.Join(slices.Compact(versions), ", "))
		trials := w.trials(r.Cases)
		var line []cell
		for _, c := range columns {
			line = append(line, c.decide(w, trials))
		}
		t.cells = append(t.cells, line)
	}
	return t
}

// A trial is a case with a verdict that pairs a peer of a row with the runner.
type trial struct {
	peer, scenario string
	role           scenario.Role
	result         scenario.Result
}

// trials returns the cases that pair a peer of the row with the runner.
func (w row) trials(cases []scenario.Result) (list []trial) {
	for _, r := range cases {
		part := strings.Split(r.Name, "/")
		if len(part) != 5 || r.Verdict == scenario.Unsupported || r.Verdict == scenario.NotRun {
			continue
		}
		name, a, b := part[0]+"/"+part[1], part[3], part[4]
		if b == scenario.RunnerName && slices.Contains(w.Peers, a) {
			list = append(list, trial{a, name, scenario.RoleA, r})
		}
		if a == scenario.RunnerName && slices.Contains(w.Peers, b) {
			list = append(list, trial{b, name, scenario.RoleB, r})
		}
	}
	return list
}

// decide returns the cell of a row in this column.
func (c *column) decide(w row, trials []trial) cell {
	got := c.collect(trials, c.scenarios, c.except)
	if len(got.decidedBy) == 0 {
		got = c.collect(trials, c.fallback, nil)
	}
	switch {
	case len(got.decidedBy) == 0:
		got.text = cmp.Or(c.untested, "–")
	case len(got.findings) == 0:
		got.text = cmp.Or(c.passed, "yes")
	default:
		got.text = cellText(got.findings)
	}
	if word, ok := w.Words[c.name+": "+got.text]; ok {
		got.text, got.replaced = word.Text, true
	}
	return got
}

// collect returns a cell with the findings in the trials that the patterns select.
func (c *column) collect(trials []trial, selected, except patterns) cell {
	findings, scenarios := map[string]bool{}, map[string]bool{}
	for _, p := range trials {
		if c.role != 0 && c.role != p.role || !selected.match(p.result.Name) || except.match(p.result.Name) {
			continue
		}
		scenarios[p.scenario] = true
		for _, f := range p.result.Findings {
			if f.Peer == p.peer && slices.Contains(c.checks, f.Check) {
				findings[string(f.Check)+" "+p.scenario] = true
			}
		}
	}
	return cell{findings: slices.Sorted(maps.Keys(findings)), decidedBy: slices.Sorted(maps.Keys(scenarios))}
}

// cellText returns the text of a cell with findings.
func cellText(findings []string) (text string) {
	for _, f := range findings {
		switch check, _, _ := strings.Cut(f, " "); scenario.Check(check) {
		case crash:
			text = "crashes"
		case scenario.CheckHang:
			text = cmp.Or(text, "hangs")
		default:
			return "no"
		}
	}
	return text
}

// patterns selects cases by name.
type patterns []expected.Pattern

func of(texts ...string) (list patterns) {
	for _, text := range texts {
		p, err := expected.ParsePattern(text)
		if err != nil {
			panic(err)
		}
		list = append(list, p)
	}
	return list
}

func (list patterns) match(name string) bool {
	return slices.ContainsFunc(list, func(p expected.Pattern) bool { return p.Match(name) })
}
