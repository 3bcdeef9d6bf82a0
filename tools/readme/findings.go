//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

const (
	indexFile   = "docs/findings.md"
	findingsDir = "docs/findings"
)

// notLibraries lists the peers that the pages leave out, with the reason.
var notLibraries = map[string]string{
	"book":              "our rewrite of code from a book, which has no maintainer",
	"book-musl":         "our rewrite of code from a book, which has no maintainer",
	"qa":                "our rewrite of a Stack Overflow answer, which has no maintainer",
	"scmsocket":         "ScmSocket before December 2023 (our rewrite), which is not published as a library",
	scenario.RunnerName: "the suite itself",
	scenario.KernelName: "the suite itself",
}

// A failure is a finding about a peer, in a case that pairs the peer with the runner or with itself.
type failure struct {
	scenario.Finding
	result scenario.Result
}

// scenario returns the name of the scenario, GROUP/ID.
func (f failure) scenario() string {
	part := strings.Split(f.result.Name, "/")
	return part[0] + "/" + part[1]
}

// withRunner reports whether the case pairs the peer with the runner.
func (f failure) withRunner() bool {
	return strings.HasSuffix(f.result.Name, "/"+scenario.RunnerName) || strings.Contains(f.result.Name, "/"+scenario.RunnerName+"/")
}

// A library is a peer that tests a library, with its results in a report.
type library struct {
	peer, name, version string
	ran                 bool // the report has a verdict about it
	failures            []failure
	text                peerText
	shown               [][]failure // of each fault in text
	gone                error       // names the faults in text that the report does not show
}

// libraryName returns the name of the library that a peer tests.
func libraryName(peer string) string {
	for _, w := range rows {
		if slices.Contains(w.Peers, peer) && len(w.Peers) == 1 {
			return w.Name
		}
	}
	return peer
}

// libraries returns the libraries in the report, sorted by name.
func libraries(r *report.Report, texts []peerText) (list []*library) {
	byPeer := map[string]*library{}
	for _, p := range r.Peers {
		if notLibraries[p.Name] != "" {
			continue
		}
		l := &library{peer: p.Name, name: libraryName(p.Name), version: p.Hello.Version}
		byPeer[p.Name] = l
		list = append(list, l)
	}
	for _, c := range r.Cases {
		if c.Verdict == scenario.Unsupported || c.Verdict == scenario.NotRun {
			continue
		}
		part := strings.Split(c.Name, "/")
		a, b := byPeer[part[3]], byPeer[part[4]]
		switch {
		case a != nil && (part[4] == scenario.RunnerName || a == b):
			a.add(c)
		case b != nil && part[3] == scenario.RunnerName:
			b.add(c)
		}
	}
	for _, text := range texts {
		if l := byPeer[text.peer]; l != nil {
			l.text = text
			l.show()
		}
	}
	slices.SortFunc(list, func(a, b *library) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)), strings.Compare(a.peer, b.peer))
	})
	return list
}

func (l *library) add(c scenario.Result) {
	l.ran = true
	c = report.Abbreviate(c)
	for _, f := range c.Findings {
		if f.Peer == l.peer {
			l.failures = append(l.failures, failure{f, c})
		}
	}
}

// show finds the failures that show each fault, the best example first: with the runner, and with the
// fewest lines.
func (l *library) show() {
	for _, f := range l.text.faults {
		var shown []failure
		for _, s := range f.shown {
			for _, p := range s.patterns {
				found := slices.DeleteFunc(slices.Clone(l.failures), func(g failure) bool {
					return !slices.Contains(s.checks, g.Check) || !p.Match(g.result.Name)
				})
				if len(found) == 0 && f.seenIn == "" {
					l.gone = errors.Join(l.gone, fmt.Errorf("%s: %q: the report has no %v failure that %s selects: the fault is gone, or the pattern is wrong",
						l.text.file(), f.title, s.checks, p))
				}
				shown = append(shown, found...)
			}
		}
		slices.SortStableFunc(shown, func(a, b failure) int {
			if a.withRunner() != b.withRunner() {
				return map[bool]int{true: -1, false: 1}[a.withRunner()]
			}
			return cmp.Or(len(a.result.Transcript)-len(b.result.Transcript), strings.Compare(a.result.Name, b.result.Name))
		})
		l.shown = append(l.shown, shown)
	}
}

// rest returns the checks and reasons of the expected failures that no fault covers, and the scenarios of each. A fault
// covers all failures that have the same reason as one that shows it.
func (l *library) rest(expected []scenario.Expectation) (reasons []string, scenarios map[string][]string) {
	covered := map[string]bool{}
	for _, f := range slices.Concat(l.shown...) {
		covered[f.reason(expected)] = true
	}
	scenarios = map[string][]string{}
	for _, f := range l.failures {
		if reason := f.reason(expected); reason != "" && !covered[reason] {
			key := fmt.Sprintf("`%s`: %s", f.Check, reason)
			scenarios[key] = append(scenarios[key], f.scenario())
		}
	}
	for key, list := range scenarios {
		slices.Sort(list)
		scenarios[key] = slices.Compact(list)
	}
	return slices.Sorted(maps.Keys(scenarios)), scenarios
}

// reason returns the reason for an expected failure, or "" if it is flaky or not expected.
func (f failure) reason(expected []scenario.Expectation) string {
	for _, e := range expected {
		applies := f.Check == e.Check && f.Peer == e.Peer && e.SelectsName(f.result.Name) && slices.Contains(f.result.Reasons, e.Reason)
		if applies && !e.Flaky() {
			return e.Reason
		}
	}
	return ""
}

// findings returns the pages by file name, with the text between their markers taken from the report, and the libraries that
// have a page. The index is missing if the report has no results for one of the libraries.
func findings(r *report.Report, texts []peerText, index string) (pages map[string]string, list []*library, err error) {
	all := libraries(r, texts)
	pages = map[string]string{}
	for _, l := range all {
		if len(l.text.faults) > 0 && l.ran {
			list = append(list, l)
			pages[l.text.file()], err = l.fill()
			if err != nil {
				return nil, nil, err
			}
		}
	}
	var missing []string
	for _, text := range texts {
		if !slices.ContainsFunc(list, func(l *library) bool { return l.peer == text.peer }) {
			missing = append(missing, text.peer)
		}
	}
	if len(missing) > 0 {
		fmt.Printf("readme: skipped: %s and the pages about libraries for which the report has no results: %s\n", indexFile, strings.Join(missing, ", "))
		return pages, list, nil
	}
	pages[indexFile], err = fillIndex(index, all, list)
	return pages, list, err
}

// fillIndex returns docs/findings.md with its tables replaced.
func fillIndex(page string, all, list []*library) (string, error) {
	expected, err := catalogue.Expected()
	if err != nil {
		return "", err
	}
	return fillMarkers(indexFile, page, func(marker, _ string) (string, error) {
		switch marker {
		case "faults":
			return faultsTable(list), nil
		case "other failures":
			return failuresTable(all, expected), nil
		}
		return "", fmt.Errorf("unknown marker %q", marker)
	})
}

// faultsTable returns the table of the libraries that have a page, preceded by the totals. It repeats no sentence of a page.
func faultsTable(list []*library) string {
	count, unreported := 0, 0
	table := "| library | version | faults | without a report | checks that fail |\n|---|---|---|---|---|\n"
	for _, l := range list {
		alone, checks := 0, map[scenario.Check]bool{}
		for _, f := range l.text.faults {
			if !f.reported {
				alone++
			}
			for _, s := range f.shown {
				for _, c := range s.checks {
					checks[c] = true
				}
			}
		}
		count += len(l.text.faults)
		unreported += alone
		table += tableRow(fmt.Sprintf("[%s](findings/%s.md)", l.name, l.peer), l.version, fmt.Sprint(len(l.text.faults)), fmt.Sprint(alone),
			quoted(slices.DeleteFunc(slices.Clone(scenario.Checks), func(c scenario.Check) bool { return !checks[c] })))
	}
	return fmt.Sprintf("Faults: %d. Libraries: %d. Faults for which we found no report: %d.\n\n", count, len(list), unreported) + table
}

// failuresTable returns the table of the failures that are on no page.
func failuresTable(all []*library, expected []scenario.Expectation) string {
	table := "| library | version | failure | scenarios |\n|---|---|---|---|\n"
	for _, l := range all {
		reasons, scenarios := l.rest(expected)
		for _, reason := range reasons {
			table += tableRow(l.name, l.version, reason, fmt.Sprint(len(scenarios[reason])))
		}
	}
	return table
}

func tableRow(cells ...string) string {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// fill returns the library's page with the version and the evidence replaced.
func (l *library) fill() (string, error) {
	return fillMarkers(l.text.file(), l.text.page, func(marker, old string) (string, error) {
		if marker == "version" {
			return versionLabel + l.version + ".\n", nil
		}
		if marker == "versions" { // it is from other results
			return old, nil
		}
		i := slices.IndexFunc(l.text.faults, func(f fault) bool { return f.marker == marker })
		if i < 0 {
			return "", fmt.Errorf("the marker %q belongs to no fault", marker)
		}
		return l.evidence(i, old), nil
	})
}

const (
	runCommand = "    build/scm interop run --peers build/peers/peers.json --expect=none --trace --run "
	openFence  = "\n\n```text\n"
)

// example matches the command and the transcript on a page.
var example = regexp.MustCompile("(?s)" + regexp.QuoteMeta(runCommand) + `(\S+)` + regexp.QuoteMeta(openFence) + "(.*?)```\n")

// evidence returns the scenarios that show fault i, and the transcript of one of them. It keeps the scenario and the
// transcript of the old evidence if the report confirms them.
func (l *library) evidence(i int, old string) string {
	shown := l.shown[i]
	if len(shown) == 0 && l.text.faults[i].seenIn == l.version {
		return "No scenario tests for this fault. It was reproduced by hand.\n"
	}
	if len(shown) == 0 {
		return fmt.Sprintf("Seen in version %s. The suite ran with version %s, which does not show the fault.\n", l.text.faults[i].seenIn, l.version)
	}
	text := "Checks that fail: "
	for j, check := range scenario.Checks {
		var names []string
		for _, f := range shown {
			if f.Check == check {
				names = append(names, f.scenario())
			}
		}
		if names == nil {
			continue
		}
		slices.Sort(names)
		names = slices.Compact(names)
		count := len(names)
		names = names[:min(count, maxListed)]
		for k, name := range names {
			names[k] = fmt.Sprintf("[`%s`](../../interop/catalogue/peer/%s.txt)", name, name)
		}
		if text += fmt.Sprintf("`%s` in %s", scenario.Checks[j], strings.Join(names, ", ")); count > maxListed {
			text += fmt.Sprintf(" and %d more", count-maxListed)
		}
		text += "; "
	}
	text = strings.TrimSuffix(text, "; ") + ".\n\n"
	best, transcript := shown[0], shown[0].transcript()
	if m := example.FindStringSubmatch(old); m != nil {
		if at := slices.IndexFunc(shown, func(f failure) bool { return f.result.Name == m[1] }); at >= 0 {
			best, transcript = shown[at], shown[at].transcript()
			if comparable(m[2]) == comparable(transcript) {
				transcript = m[2]
			}
		}
	}
	return text + runCommand + best.result.Name + openFence + transcript + "```\n"
}

// transcript returns the transcript of the case, followed by its findings.
func (f failure) transcript() string {
	lines := slices.Clone(f.result.Transcript)
	for _, f := range f.result.Findings {
		found, _, _ := strings.Cut(f.Located(), "\nstack backtrace:")
		lines = append(lines, found)
	}
	transcript := localPath.ReplaceAllString(strings.Join(lines, "\n")+"\n", "")
	return strings.ReplaceAll(transcript, "```", "'''")
}

// localPath matches the part of a path that depends on the machine: up to the name of a crate or of a Go module.
var localPath = regexp.MustCompile(`/[^\s"'(]*?(?:/registry/src/[^/\s]+/|/pkg/mod/)`)

var (
	descriptors = regexp.MustCompile(`\b(sock=|fds?=|as )[0-9][0-9,…-]*( \([0-9]+\))?`)
	received    = regexp.MustCompile(`recv bytes=([0-9]+)\b.*\n.*\bpayload=([0-9a-f]+)`)
)

// comparable returns a transcript without what can differ between two runs of a case: the descriptors, and what a library
// returned of the memory beyond its buffer.
func comparable(transcript string) string {
	for _, m := range received.FindAllStringSubmatch(transcript, -1) {
		if n, err := strconv.Atoi(m[1]); err == nil && len(m[2]) > 2*n {
			transcript = strings.ReplaceAll(transcript, m[2], m[2][:2*n])
		}
	}
	return descriptors.ReplaceAllString(transcript, "${1}N")
}

// gone returns an error for each fault that the report does not show.
func gone(list []*library) (wrong error) {
	for _, l := range list {
		wrong = errors.Join(wrong, l.gone)
	}
	return wrong
}

// writeFindings writes the pages.
func writeFindings(root string, pages map[string]string) (wrong error) {
	for name, text := range pages {
		wrong = errors.Join(wrong, os.WriteFile(filepath.Join(root, name), []byte(text), 0o666))
	}
	return wrong
}

// compareFindings compares what is between the markers of the pages with the report. It skips a library if the report is about
// another version of it than the page.
func compareFindings(index string, pages map[string]string, list []*library) (wrong error) {
	others := map[string]bool{} // the names of the libraries whose page is about another version
	for _, l := range list {
		_, rest, _ := strings.Cut(l.text.page, versionMarker+versionLabel)
		version, _, found := strings.Cut(rest, ".\n")
		switch {
		case found && version != l.version:
			fmt.Printf("readme: %s and its rows in %s are not compared: the report is about version %s, the page about %s\n", l.text.file(), indexFile, l.version, version)
			others[l.name] = true
		case l.gone != nil:
			wrong = errors.Join(wrong, l.gone)
		default:
			wrong = errors.Join(wrong, difference(l.text.file(), l.text.page, pages[l.text.file()]))
		}
	}
	if pages[indexFile] == "" {
		return wrong
	}
	return errors.Join(wrong, difference(indexFile, withoutRows(index, others), withoutRows(pages[indexFile], others)))
}

var libraryRow = regexp.MustCompile(`(?m)^\| \[?([^|\]]+?)(?:\]\([^|]*\))? \| [^|]+ \| .*\|\n`)

// withoutRows returns the text of docs/findings.md without the rows of some libraries.
func withoutRows(text string, libraries map[string]bool) string {
	return libraryRow.ReplaceAllStringFunc(text, func(row string) string {
		if libraries[libraryRow.FindStringSubmatch(row)[1]] {
			return ""
		}
		return row
	})
}
