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
	"book":              "code from a book, which has no maintainer",
	"book-musl":         "code from a book, which has no maintainer",
	"qa":                "code from a Stack Overflow answer, which has no maintainer",
	"scmsocket":         "a copy of a file of ChromiumOS, which is not published as a library",
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

// libraries returns the libraries in the report, sorted by name.
func libraries(r *report.Report, texts []peerText) (list []*library) {
	byPeer := map[string]*library{}
	for _, p := range r.Peers {
		if notLibraries[p.Name] != "" {
			continue
		}
		l := &library{peer: p.Name, name: p.Name, version: p.Hello.Version}
		for _, w := range rows {
			if slices.Contains(w.peers, p.Name) && len(w.peers) == 1 {
				l.name = w.name
			}
		}
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
					l.gone = errors.Join(l.gone, fmt.Errorf("tools/readme/findings/%s.md: %q: the report has no %v failure that %s selects: the fault is gone, or the pattern is wrong",
						l.peer, f.title, s.checks, p))
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
		applies := f.Check == e.Check && f.Peer == e.Peer && e.Pattern.Match(f.result.Name) && slices.Contains(f.result.Reasons, e.Reason)
		if applies && !e.Flaky() {
			return e.Reason
		}
	}
	return ""
}

// findings returns the generated pages by file name, and the libraries that have a page. The index is missing if the
// report has no results for one of the libraries.
func findings(r *report.Report, texts []peerText) (pages map[string]string, list []*library, err error) {
	all := libraries(r, texts)
	expected, err := catalogue.Expected()
	if err != nil {
		return nil, nil, err
	}
	pages = map[string]string{}
	for _, l := range all {
		if len(l.text.faults) > 0 && l.ran {
			list = append(list, l)
			reasons, _ := l.rest(expected)
			pages[l.file()] = l.page(len(reasons))
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
	} else {
		pages[indexFile] = index(all, list, expected)
	}
	return pages, list, nil
}

// file returns the name of the page about the library.
func (l *library) file() string { return findingsDir + "/" + l.peer + ".md" }

const indexIntro = `# Faults that the suite has found in libraries

If a link in an issue brought you here: this project has a conformance suite for libraries that pass file descriptors over Unix sockets. For each library, a small program calls the library as its documentation describes. ` +
	`The suite tells two such programs, or one of them and itself, what to send and to receive. The files are real open files. After each step the suite asks the kernel which files each process has open, with kcmp(2) and /proc, so it does not depend on what the library reports. ` +
	`[comparison.md](comparison.md) compares the libraries, and [expected.txt](../interop/catalogue/expected.txt) lists every known failure with its reason.

Each fault below is on a page with its consequence, a transcript if a scenario shows it, and the text of an issue. The issue has a complete program that uses only the library. It was reproduced by hand with that program, outside the suite.

To run one case of the suite yourself, on Linux with Go installed, use the command above its transcript, after:

    make setup-test peers
    go build -o build/scm ./cmd/scm

In a transcript, ` + "`A>`" + ` is a command to the sender and ` + "`B>`" + ` one to the receiver, ` + "`A<` and `B<`" + ` are their answers, and ` + "`R>`" + ` is what the suite itself does. The last lines are what the suite found. [The contract](../interop/peers/README.md) explains the commands.

` + "`go run ./tools/readme -w REPORT`" + ` writes these pages from the texts in tools/readme/findings and the report of a run.

`

// index returns the text of docs/findings.md.
func index(all, list []*library, expected []scenario.Expectation) string {
	count, unreported := 0, 0
	table := "| library | version | fault | consequence | public thread |\n|---|---|---|---|---|\n"
	for _, l := range list {
		for i, f := range l.text.faults {
			count++
			if f.address() == "" {
				unreported++
			}
			table += tableRow(l.name, l.versionOf(i), fmt.Sprintf("[%s](findings/%s.md#%s)", f.title, l.peer, anchor(f.title)), f.harm, f.link())
		}
	}
	text := indexIntro + fmt.Sprintf("Faults: %d. Libraries: %d. Faults for which we found no public thread: %d.\n\n", count, len(list), unreported) + table
	text += "\n## Other failures\n\nThese failures are on no page yet. Some are no faults, because the interface leaves the matter to its caller, as the reason says.\n\n" +
		"| library | version | failure | scenarios |\n|---|---|---|---|\n"
	for _, l := range all {
		reasons, scenarios := l.rest(expected)
		for _, reason := range reasons {
			text += tableRow(l.name, l.version, reason, fmt.Sprint(len(scenarios[reason])))
		}
	}
	return text
}

func tableRow(cells ...string) string {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// versionOf returns the version in which fault i was seen.
func (l *library) versionOf(i int) string {
	if len(l.shown[i]) > 0 {
		return l.version
	}
	return cmp.Or(l.text.faults[i].seenIn, l.version)
}

// address returns the address of the public thread, or "".
func (f fault) address() string {
	if !strings.HasPrefix(f.thread, "https://") {
		return ""
	}
	return strings.Fields(f.thread)[0]
}

var githubThread = regexp.MustCompile(`^https://github\.com/([^/]+/[^/]+)/(?:issues|pull|discussions)/([0-9]+)$`)

// link returns a link to the public thread, or "none found".
func (f fault) link() string {
	address := f.address()
	if address == "" {
		return "none found"
	}
	name := strings.TrimPrefix(address, "https://")
	if m := githubThread.FindStringSubmatch(address); m != nil {
		name = m[1] + "#" + m[2]
	}
	return "[" + name + "](" + address + ")"
}

// threadText returns what docs/findings/PEER.md says about the public thread.
func (f fault) threadText() string {
	if f.address() == "" {
		return f.thread
	}
	return f.link() + strings.TrimPrefix(f.thread, f.address())
}

// page returns the text of docs/findings/PEER.md. others is the number of failures that are not on it.
func (l *library) page(others int) string {
	text := fmt.Sprintf("# Faults of %s\n\nVersion: %s.\n\n[findings.md](../findings.md) says how the faults were found and how to read a transcript. This page is generated from tools/readme/findings/%s.md.\n",
		l.name, l.version, l.peer)
	for i, f := range l.text.faults {
		text += fmt.Sprintf("\n## %s\n\n%s\n\nPublic thread: %s\n\n%s\n", f.title, f.harm, f.threadText(), l.evidence(i))
		fence := fenceFor(f.issue)
		text += "### Text of an issue\n\n"
		if f.private != "" {
			text += "**Do not file this publicly yet.** Send it to " + f.private + "\n\n"
		}
		text += fmt.Sprintf("%smarkdown\n%s\n%s\n", fence, f.issue, fence)
	}
	if others > 0 {
		text += "\n## Other failures\n\nFor the failures that are not on this page, see the [list](../findings.md#other-failures).\n"
	}
	return text
}

const (
	runCommand = "    build/scm interop run --peers build/peers/peers.json --expect=none --trace --run "
	openFence  = "\n\n```text\n"
)

// evidence returns the scenarios that show fault i, and the transcript of one of them.
func (l *library) evidence(i int) string {
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
	example := shown[0].result
	lines := slices.Clone(example.Transcript)
	for _, f := range example.Findings {
		found, _, _ := strings.Cut(f.Located(), "\nstack backtrace:")
		lines = append(lines, found)
	}
	transcript := localPath.ReplaceAllString(strings.Join(lines, "\n")+"\n", "")
	return text + runCommand + example.Name + openFence + strings.ReplaceAll(transcript, "```", "'''") + "```\n"
}

// localPath matches the part of a path that depends on the machine: up to the name of a crate or of a Go module.
var localPath = regexp.MustCompile(`/[^\s"'(]*?(?:/registry/src/[^/\s]+/|/pkg/mod/)`)

var backticks = regexp.MustCompile("(?m)^`{3,}")

// fenceFor returns a fence that is longer than any in the text.
func fenceFor(text string) string {
	longest := 3
	for _, fence := range backticks.FindAllString(text, -1) {
		longest = max(longest, len(fence))
	}
	return strings.Repeat("`", longest+1)
}

// example matches the command and the transcript on a page. Descriptors and the choice of the shortest
// transcript can differ between runs.
var example = regexp.MustCompile("(?s)" + regexp.QuoteMeta(runCommand) + `(\S+)` + regexp.QuoteMeta(openFence) + "(.*?)```\n")

// gone returns an error for each fault that the report does not show.
func gone(list []*library) (wrong error) {
	for _, l := range list {
		wrong = errors.Join(wrong, l.gone)
	}
	return wrong
}

// writeFindings writes the pages. If the index is among them, it removes the pages that have no text any more.
func writeFindings(root string, pages map[string]string) error {
	if err := os.MkdirAll(filepath.Join(root, findingsDir), 0o777); err != nil {
		return err
	}
	var wrong error
	for name, text := range pages {
		wrong = errors.Join(wrong, os.WriteFile(filepath.Join(root, name), []byte(text), 0o666))
	}
	if pages[indexFile] != "" {
		for _, name := range superfluous(root, pages) {
			wrong = errors.Join(wrong, os.Remove(filepath.Join(root, name)))
		}
	}
	return wrong
}

// superfluous returns the files in docs/findings that are not among the pages.
func superfluous(root string, pages map[string]string) (names []string) {
	files, _ := filepath.Glob(filepath.Join(root, findingsDir, "*")) // the pattern is valid
	for _, file := range files {
		if name := findingsDir + "/" + filepath.Base(file); pages[name] == "" {
			names = append(names, name)
		}
	}
	return names
}

// compareFindings compares the pages with the generated ones. It skips a library if the report is about another version
// of it than the page. It accepts any transcript of a case that still shows a fault on the page.
func compareFindings(root string, pages map[string]string, list []*library) (wrong error) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			wrong = errors.Join(wrong, err)
		}
		return string(text)
	}
	others := map[string]bool{} // the names of the libraries whose page is about another version
	for _, l := range list {
		page := read(l.file())
		_, rest, _ := strings.Cut(page, "\nVersion: ")
		if version, _, found := strings.Cut(rest, ".\n"); found && version != l.version {
			fmt.Printf("readme: %s and its rows in %s are not compared: the report is about version %s, the page about %s\n", l.file(), indexFile, l.version, version)
			others[l.name] = true
			continue
		}
		if l.gone != nil {
			wrong = errors.Join(wrong, l.gone)
			continue
		}
		wrong = errors.Join(wrong, difference(l.file(), example.ReplaceAllString(page, ""), example.ReplaceAllString(pages[l.file()], "")))
		for _, m := range example.FindAllStringSubmatch(page, -1) {
			if !slices.ContainsFunc(slices.Concat(l.shown...), func(f failure) bool { return f.result.Name == m[1] }) {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %s shows none of the faults any more", l.file(), m[1]))
			}
		}
	}
	if pages[indexFile] == "" {
		return wrong
	}
	for _, name := range superfluous(root, pages) {
		wrong = errors.Join(wrong, fmt.Errorf("%s has no text in tools/readme/findings", name))
	}
	return errors.Join(wrong, difference(indexFile, withoutRows(read(indexFile), others), withoutRows(pages[indexFile], others)))
}

var libraryRow = regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \| .*\|\n`)

// withoutRows returns the text of docs/findings.md without the rows of some libraries.
func withoutRows(text string, libraries map[string]bool) string {
	return libraryRow.ReplaceAllStringFunc(text, func(row string) string {
		if libraries[libraryRow.FindStringSubmatch(row)[1]] {
			return ""
		}
		return row
	})
}
