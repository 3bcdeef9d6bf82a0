//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// The pages are well formed, and each alternative of a pattern selects a scenario.
func TestTexts(t *testing.T) {
	texts, err := readTexts("../..")
	if err != nil || len(texts) < 20 {
		t.Fatal(len(texts), err)
	}
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		cases := scenario.Plan(scenarios, []*scenario.Peer{{Name: text.peer}}, scenario.RunnerPeer())
		for _, f := range text.faults {
			for _, s := range f.shown {
				for _, p := range s.patterns {
					if _, err := (scenario.Filter{Run: []scenario.Pattern{p}}).Apply(cases); err != nil {
						t.Errorf("%q: %v", f.title, err)
					}
				}
			}
		}
	}
}

// Advice that sets close-on-exec after the receive warns of programs that start in between. What SO_PASSPIDFD does is on one
// page, to which the others link.
func TestAdvice(t *testing.T) {
	texts, err := readTexts("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		for _, f := range text.faults {
			if strings.Contains(f.meanwhile, "each received descriptor") && !strings.Contains(f.meanwhile, "do not start programs in other") {
				t.Errorf("%s: %q: a program that another thread starts inherits the descriptor", text.file(), f.title)
			}
			if strings.Contains(f.meanwhile, "SO_PASSPIDFD") && !strings.Contains(f.meanwhile, "[SO_PASSPIDFD](README.md#so_passpidfd)") {
				t.Errorf("%s: %q: no link to what SO_PASSPIDFD does", text.file(), f.title)
			}
		}
	}
}

const (
	crashToo = "\nshown by: {crash} names"
	goodPage = `# Faults of runc SendFile, RecvFile

<!-- version -->
Version in the suite's transcripts: 0.
<!-- end -->

Words.

## RecvFile leaks a descriptor

A partner can use up the table.

Public thread: none found; searched for "a b", "c"

What you can do: Do not use it.

<!--
shown by: leak,answer names/x/**/runc names/y names/name-4096-received` + crashToo + `
-->
<!-- end -->

### Text of an issue

` + "````markdown\nTitle: It leaks\n\n**Steps** with `peer` in code.\n\n```go\nvar peer int\n```\n````\n"

	goodIndex = "Words.\n\n<!-- faults -->\n<!-- end -->\n\n<!-- other failures -->\n<!-- end -->\n"
)

// page returns a parsed page: goodPage without the selection of crashes, and with one text replaced.
func page(t *testing.T, old, new string) []peerText {
	t.Helper()
	p, err := parseText("runc", strings.Replace(strings.Replace(goodPage, crashToo, "", 1), old, new, 1))
	if err != nil {
		t.Fatal(err)
	}
	return []peerText{p}
}

// A complete page is accepted, and each kind of mistake in it is reported.
func TestParseText(t *testing.T) {
	p, err := parseText("runc", goodPage)
	if err != nil {
		t.Fatal(err)
	}
	f := p.faults[0]
	if f.title != "RecvFile leaks a descriptor" || len(f.shown) != 2 || len(f.shown[0].checks) != 2 || len(f.shown[0].patterns) != 3 || f.reported || f.seenIn != "" {
		t.Errorf("got %+v", f)
	}
	const link = "[a/b#1](https://github.com/a/b/pull/1)"
	for thread, want := range map[string]string{
		link + " is the same fault":                                           "reported: " + link,
		link + " is the same fault; it is open":                               "reported: " + link,
		`none found; searched for "a b", "c". Related: ` + link + " is old.":  "related: " + link,
		`none found; searched for "a b", "c". https://github.com/a/b is old.`: "no report found",
	} {
		if got := page(t, `none found; searched for "a b", "c"`, thread)[0].faults[0].upstream(); got != want {
			t.Errorf("%s: got %q, want %q", thread, got, want)
		}
	}
	page(t, "````markdown", "**Do not file this publicly yet.** Send it to security@example.org first, because it discloses memory.\n\n````markdown")
	for _, c := range []struct{ old, new, want string }{
		{"# Faults of runc", "# Faults of nix", "the first line"},
		{"<!-- version -->", "", "the first line"},
		{"a descriptor\n", "a descriptor.\n", "full stop"},
		{"shown by: ", "shown: ", "not a line"},
		{"leak,answer", "leek", "not a check"},
		{"names/x/**/runc names/y names/name-4096-received", "", "is not CHECK"},
		{"names/y", "names//y", "an empty part"},
		{"A partner can use up the table.\n\n", "", "consequence"},
		{"````markdown", "**Do not file this publicly yet.** Send it to the maintainers.\n\n````markdown", "e-mail address"},
		{`, "c"`, "", "at least two searches"},
		{`none found; searched for "a b", "c"`, "https://github.com/a/b/pull/1", "at least two searches"},
		{`none found; searched for "a b", "c"`, link + " is about another function.", "is the same fault"},
		{`none found; searched for "a b", "c"`, link + " is the same fault in another function.", "is the same fault"},
		{"<!-- end -->\n\n### ", "\n### ", "a section consists of"},
		{"### Text", "### Issue", "a section consists of"},
		{"````markdown", "```markdown", "a section consists of"},
		{"Title: ", "", "Title: "},
		{"```go", "````go", "fences"},
		{"in code", "of a Runner", "Runner"},
	} {
		if _, err := parseText("runc", strings.Replace(goodPage, c.old, c.new, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: got %v, want %q", c.new, c.old, err, c.want)
		}
	}
	for _, name := range []string{"other", "book", scenario.RunnerName} {
		if _, err := parseText(name, goodPage); err == nil || !strings.Contains(err.Error(), "no peer") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, section, _ := strings.Cut(goodPage, "\n## ")
	if _, err := parseText("runc", goodPage+"\n## "+section); err == nil || !strings.Contains(err.Error(), "used twice") {
		t.Errorf("two faults with one title: got %v", err)
	}
}

// fakeReport returns a report with four cases that show the fault of goodText, one that shows another, and some that show
// none, because they are about another peer or pair runc with one.
func fakeReport(version, fd string) *report.Report {
	leak := []scenario.Finding{{Check: scenario.CheckLeak, Peer: "runc", Line: 3, Text: "a, as " + fd + ", is open in /home/user/go/pkg/mod/runc@v1/a.go\nstack backtrace:\n0"}}
	return &report.Report{
		Schema: report.Schema, Seconds: 1,
		Peers: []report.Peer{{Name: "runc", Hello: contract.Hello{Version: version}}, {Name: scenario.RunnerName}},
		Cases: []scenario.Result{
			{Name: "names/x/stream/runc/runc", Verdict: scenario.Expected, Findings: leak, Transcript: []string{"A> short"}},
			{Name: "names/y/stream/runner/runc", Verdict: scenario.Expected, Findings: leak, Transcript: []string{"A> use fds=" + fd, "A< ok n=7"}},
			{Name: "names/y/dgram/runner/runc", Verdict: scenario.Expected, Findings: leak, Transcript: []string{"A> longest", "A< " + fd, "A< " + fd}},
			{Name: "names/name-4096-received/stream/runner/runc", Verdict: scenario.Expected, Findings: leak, Transcript: []string{"A> more", "A<", "A<"},
				Reasons: []string{"RecvFile rejects a name of 4096 bytes and leaves its descriptor open"}},
			{Name: "credentials/scm-pidfd-alone/stream/runner/runc", Verdict: scenario.Expected, Findings: leak,
				Reasons: []string{"RecvFile rejects a control message of another type and leaves the pidfd in it open"}},
			{Name: "names/y/stream/runc/nix", Verdict: scenario.Expected, Findings: leak},
			{Name: "names/y/stream/nix/runc", Verdict: scenario.Expected, Findings: leak},
			{Name: "names/y/seqpacket/runner/runc", Verdict: scenario.Expected, Findings: []scenario.Finding{{Check: scenario.CheckLeak, Peer: scenario.RunnerName}}},
			{Name: "names/z/stream/runner/runc", Verdict: scenario.Pass},
		},
	}
}

// The pages show the fault by the shortest transcript with the runner, and the index lists the failures that no page covers.
// Only text between markers changes.
func TestFindingsPages(t *testing.T) {
	texts := page(t, "", "")
	pages, _, err := findings(fakeReport("1", "7"), texts, goodIndex)
	if err != nil {
		t.Fatal(err)
	}
	page, index := pages["docs/findings/runc.md"], pages[indexFile]
	for _, want := range []string{
		"<!-- version -->\nVersion in the suite's transcripts: 1.\n<!-- end -->\n",
		"-->\nChecks that fail: `leak` in [`names/name-4096-received`](", "), [`names/x`](../../interop/catalogue/peer/names/x.txt), [`names/y`](../../interop/catalogue/peer/names/y.txt).\n",
		"--run names/y/stream/runner/runc\n\n```text\nA> use fds=7\nA< ok n=7\nline 3: leak@runc: a, as 7, is open in runc@v1/a.go\n```\n<!-- end -->\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in:\n%s", want, page)
		}
	}
	if a, b := marked.ReplaceAllString(page, ""), marked.ReplaceAllString(texts[0].page, ""); a != b {
		t.Errorf("text outside the markers differs: %v", difference("page", a, b))
	}
	for _, want := range []string{
		"Faults: 1. Libraries: 1. Faults for which we found no report: 1.",
		"| [runc SendFile, RecvFile](findings/runc.md) | 1 | 1 | 1 | `answer`, `leak` |\n",
		"| runc SendFile, RecvFile | 1 | `leak`: RecvFile rejects a control message of another type and leaves the pidfd in it open | 1 |\n",
	} {
		if !strings.Contains(index, want) {
			t.Errorf("no %q in:\n%s", want, index)
		}
	}
	if strings.Contains(index, "4096 bytes") {
		t.Errorf("the index lists a failure that is on the page of runc:\n%s", index)
	}
	for name, text := range map[string]string{"no marker": "", "an unknown marker": goodIndex + "<!-- x -->\n<!-- end -->\n"} {
		if _, _, err := findings(fakeReport("1", "7"), texts, text); err == nil {
			t.Errorf("the index has %s, but there is no error", name)
		}
	}
	texts[0].page += "<!-- shown by: leak z -->\n<!-- end -->\n"
	if _, _, err := findings(fakeReport("1", "7"), texts, goodIndex); err == nil || !strings.Contains(err.Error(), "belongs to no fault") {
		t.Errorf("got %v", err)
	}
}

// A fault that the report does not show is an error, unless it was seen in another version.
func TestFindingsGone(t *testing.T) {
	_, list, err := findings(fakeReport("1", "7"), page(t, "names/y", "names/y"+crashToo), goodIndex)
	if err != nil {
		t.Fatal(err)
	}
	if err := gone(list); err == nil || !strings.Contains(err.Error(), "the fault is gone") {
		t.Errorf("got %v", err)
	}
	texts := page(t, "received\n", "received\nseen in: 0.9\n")
	r := fakeReport("1", "7")
	r.Cases = r.Cases[5:]
	pages, list, err := findings(r, texts, goodIndex)
	if err != nil || gone(list) != nil || !strings.Contains(pages["docs/findings/runc.md"], "Seen in version 0.9.") {
		t.Errorf("got %v, %v", pages, err)
	}
	r = fakeReport("0.9", "7")
	r.Cases = r.Cases[4:]
	pages, _, err = findings(r, texts, goodIndex)
	if err != nil || !strings.Contains(pages["docs/findings/runc.md"], "No scenario tests for this fault.") {
		t.Errorf("got %v, %v", pages, err)
	}
}

// run writes the pages together with the others, and they pass the comparison with another run, even if descriptors and the
// shortest transcript differ. The comparison finds every other change between markers, but not in what is about another version.
// A change of the text outside the markers is no difference. Nothing is written if a fault is gone.
func TestRunFindings(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "report.json")
	const page, other = "docs/findings/runc.md", "docs/findings/nix.md"
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	step := func(r *report.Report, flag bool, want string) {
		t.Helper()
		for _, p := range missing(r) {
			r.Cases = append(r.Cases, scenario.Result{Name: p.caseName("names/z"), Verdict: scenario.Pass})
		}
		if err := r.WriteFile(file); err != nil {
			t.Fatal(err)
		}
		if err := run(root, file, flag); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, findingsDir), 0o777); err != nil {
		t.Fatal(err)
	}
	write(readmeFile, "<!-- comparison -->\n<!-- end -->\n")
	write(indexFile, goodIndex)
	write(page, strings.Replace(goodPage, crashToo, "", 1))
	fixed := func(version string) *report.Report {
		r := fakeReport(version, "7")
		r.Cases = r.Cases[4:]
		return r
	}
	step(fixed("1"), true, "the fault is gone")
	if read(indexFile) != goodIndex {
		t.Error("a page was written although the fault is gone")
	}
	step(fakeReport("1", "7"), true, "")
	good := map[string]string{page: read(page), indexFile: read(indexFile)}
	step(fakeReport("1", "9"), false, "")
	step(fakeReport("1", "9"), true, "")
	if read(page) != good[page] {
		t.Error("-w replaced a transcript that the report confirms")
	}
	step(fixed("1"), false, "the fault is gone")
	step(fixed("2"), false, "")
	for _, c := range []struct{ version, file, old, new, want string }{
		{"1", page, "can use up", "cannot use up", ""},
		{"1", page, "Title: It leaks", "Title: It leaks descriptors", ""},
		{"1", page, "a descriptor\n", "every descriptor\n", ""},
		{"1", indexFile, "Words.", "Other words.", ""},
		{"1", page, "`leak` in", "`crash` in", page + " differs"},
		{"1", page, "Checks that fail", "Checks", page + " differs"},
		{"1", page, "ok n=7", "ok n=8", page + " differs"},
		{"1", page, "line 3", "line 4", page + " differs"},
		{"1", page, "use fds=7", "use fds=8", ""},
		{"1", page, "--run names/y/stream/runner/runc", "--run names/z/stream/runner/runc", page + " differs"},
		{"2", page, "ok n=7", "ok n=8", ""},
		{"1", page, "<!-- end -->\n", "", `no end marker after "version"`},
		{"1", page, "leak,answer", "answer", "the fault is gone"},
		{"1", other, "", "x", "the first line"},
		{"1", indexFile, "Libraries: 1.", "Libraries: 2.", indexFile + " differs"},
		{"1", indexFile, ".md) | 1 |", ".md) | 2 |", indexFile + " differs"},
		{"1", indexFile, "open | 1 |", "open | 2 |", indexFile + " differs"},
		{"2", indexFile, "open | 1 |", "open | 2 |", ""},
	} {
		write(page, good[page])
		write(indexFile, good[indexFile])
		if c.old == "" {
			write(c.file, c.new)
		} else if !strings.Contains(good[c.file], c.old) {
			t.Errorf("%q is not in %s", c.old, c.file)
		} else {
			write(c.file, strings.Replace(good[c.file], c.old, c.new, 1))
		}
		step(fakeReport(c.version, "9"), false, c.want)
		_ = os.Remove(filepath.Join(root, other))
	}
}

// A library without results keeps its page, and the index is neither written nor compared.
func TestFindingsPartly(t *testing.T) {
	r := fakeReport("1", "7")
	r.Cases = nil
	pages, list, err := findings(r, page(t, "", ""), goodIndex)
	if err != nil || len(pages) != 0 || len(list) != 0 {
		t.Errorf("got %v, %v, %v", pages, list, err)
	}
	if err := compareFindings(goodIndex, pages, list); err != nil {
		t.Error(err)
	}
}

// Two transcripts of a case are the same if only descriptors differ, or memory beyond the receiver's buffer.
func TestComparable(t *testing.T) {
	const transcript = "A> use sock=7 fds=305,306,…,557 (253)\nB> recv bytes=2 fds=1 flags=trunc\nB< ok n=5 payload=686500624a fds=3\nline 11: (payload is 686500624a)\nleak@x: a, as 8, is open"
	for _, c := range []struct {
		old, new string
		same     bool
	}{
		{"sock=7 fds=305,306,…,557 (253)", "sock=12 fds=8,9,…,260 (253)", true},
		{"fds=3", "fds=11", true},
		{"as 8,", "as 9,", true},
		{"00624a", "12c4ff", true},
		{"6865", "6866", false},
		{"00624a", "00624a00", true},
		{"fds=3", "fds=-", false},
		{"n=5", "n=6", false},
		{"line 11", "line 12", false},
	} {
		if got := comparable(transcript) == comparable(strings.ReplaceAll(transcript, c.old, c.new)); got != c.same {
			t.Errorf("%q for %q: the same: %v, want %v", c.new, c.old, got, c.same)
		}
	}
}
