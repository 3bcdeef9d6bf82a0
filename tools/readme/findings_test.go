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

// The texts are well formed, and each alternative of a pattern selects a scenario.
func TestTexts(t *testing.T) {
	texts, err := readTexts()
	if err != nil {
		t.Fatal(err)
	}
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		for _, f := range text.faults {
			for _, s := range f.shown {
				for _, p := range s.patterns {
					e := scenario.Expectation{Pattern: p, Check: s.checks[0], Peer: text.peer, Reason: "r", File: text.peer}
					if err := scenario.ValidateExpectations([]scenario.Expectation{e}, scenarios); err != nil {
						t.Errorf("%q: %v", f.title, err)
					}
				}
			}
		}
	}
}

const goodText = `# runc

## RecvFile leaks a descriptor

shown by: leak,answer names/x/**/runc names/y names/name-4096-received
shown by: {crash} names
harm: A partner
  can use up the table.
thread: none found; searched for "a b", "c"

### Issue

Title: It leaks

` + "**Steps** with `peer` in code.\n\n```go\nvar peer int\n```\n"

// A complete text is accepted, and each kind of mistake in it is reported.
func TestParseText(t *testing.T) {
	p, err := parseText("runc", goodText)
	if err != nil {
		t.Fatal(err)
	}
	f := p.faults[0]
	if f.harm != "A partner can use up the table." || len(f.shown) != 2 || len(f.shown[0].checks) != 2 || len(f.shown[0].patterns) != 3 ||
		f.private != "" || f.address() != "" || !strings.HasPrefix(f.issue, "Title: It leaks\n") || f.link() != "none found" {
		t.Errorf("got %+v", f)
	}
	for _, c := range []struct{ old, new, want string }{
		{"# runc", "# nix", "the first line"},
		{"a descriptor\n", "a descriptor.\n", "full stop"},
		{"shown by: ", "", "not a field"},
		{"leak,answer", "leek", "not a check"},
		{"names/x/**/runc names/y names/name-4096-received", "", "is not CHECK"},
		{"names/y", "names//y", "an empty part"},
		{"harm: A partner\n  can use up the table.\n", "", "harm"},
		{"thread: ", "private: the maintainers first.\nthread: ", "e-mail address"},
		{"thread: ", "private:\nthread: ", "e-mail address"},
		{`, "c"`, "", "at least two searches"},
		{"### Issue", "### Text", "### Issue"},
		{"Title: ", "", "Title: "},
		{"in code", "of a Runner", "Runner"},
	} {
		text := strings.Replace(goodText, c.old, c.new, 1)
		if c.old == "shown by: " {
			text = strings.ReplaceAll(goodText, c.old, c.new)
		}
		if _, err := parseText("runc", text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: got %v, want %q", c.new, c.old, err, c.want)
		}
	}
	for _, name := range []string{"other", "book", scenario.RunnerName} {
		if _, err := parseText(name, strings.Replace(goodText, "runc", name, 1)); err == nil || !strings.Contains(err.Error(), "no peer") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, section, _ := strings.Cut(goodText, "\n## ")
	if _, err := parseText("runc", goodText+"\n## "+section); err == nil || !strings.Contains(err.Error(), "used twice") {
		t.Errorf("two faults with one title: got %v", err)
	}
}

// A page says above the text of an issue where to send it privately, but only if the fault has a line "private".
func TestPrivate(t *testing.T) {
	const warning = "### Text of an issue\n\n**Do not file this publicly yet.** Send it to security@example.org first, because it discloses memory.\n\n````markdown\n"
	for private, want := range map[string]bool{
		"": false,
		"private: security@example.org first,\n  because it discloses memory.\n": true,
	} {
		text, err := parseText("runc", strings.Replace(goodText, "thread: ", private+"thread: ", 1))
		if err != nil {
			t.Fatal(err)
		}
		pages, _, err := findings(fakeReport("1", "7"), []peerText{text})
		if err != nil {
			t.Fatal(err)
		}
		page := pages["docs/findings/runc.md"]
		if strings.Contains(page, warning) != want || strings.Contains(page, "file this publicly") != want {
			t.Errorf("%q: got\n%s", private, page)
		}
	}
}

// fakeReport returns a report with four cases that show the fault of goodText, one that shows another, and some that show
// none, because they are about another peer or pair runc with one.
func fakeReport(version, fd string) *report.Report {
	leak := []scenario.Finding{{Check: scenario.CheckLeak, Peer: "runc", Line: 3, Text: fd + " is open in /home/user/go/pkg/mod/runc@v1/a.go\nstack backtrace:\n0"}}
	return &report.Report{
		Schema: report.Schema, Seconds: 1,
		Peers: []report.Peer{{Name: "runc", Hello: contract.Hello{Version: version}}, {Name: scenario.RunnerName}},
		Cases: []scenario.Result{
			{Name: "names/x/stream/runc/runc", Verdict: scenario.Expected, Findings: leak, Transcript: []string{"A> short"}},
			{Name: "names/y/stream/runner/runc", Verdict: scenario.Expected, Findings: leak, Transcript: []string{"A> long", "A< " + fd}},
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

// The pages show the fault by the shortest transcript with the runner, and list the failures that no text covers.
func TestFindingsPages(t *testing.T) {
	text, err := parseText("runc", strings.Replace(goodText, "shown by: {crash} names\n", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	pages, _, err := findings(fakeReport("1", "7"), []peerText{text})
	if err != nil {
		t.Fatal(err)
	}
	page, index := pages["docs/findings/runc.md"], pages[indexFile]
	for _, want := range []string{
		"# Faults of runc SendFile, RecvFile\n\nVersion: 1.\n", "\n## RecvFile leaks a descriptor\n\nA partner can use up the table.\n",
		"Public thread: none found; searched for", "`leak` in [`names/name-4096-received`](", "), [`names/x`](../../interop/catalogue/peer/names/x.txt), [`names/y`](../../interop/catalogue/peer/names/y.txt).\n",
		"--run names/y/stream/runner/runc\n\n```text\nA> long\nA< 7\nline 3: leak@runc: 7 is open in runc@v1/a.go\n```\n", "\n````markdown\nTitle: It leaks\n", "\n```\n````\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in:\n%s", want, page)
		}
	}
	for _, want := range []string{
		"Faults: 1. Libraries: 1. Faults for which we found no public thread: 1.",
		"| runc SendFile, RecvFile | 1 | [RecvFile leaks a descriptor](findings/runc.md#recvfile-leaks-a-descriptor) | A partner can use up the table. | none found |\n",
		"| runc SendFile, RecvFile | 1 | `leak`: RecvFile rejects a control message of another type and leaves the pidfd in it open | 1 |\n",
	} {
		if !strings.Contains(index, want) {
			t.Errorf("no %q in:\n%s", want, index)
		}
	}
	if strings.Contains(index, "4096 bytes") {
		t.Errorf("the index lists a failure that is on the page of runc:\n%s", index)
	}
}

// A fault that the report does not show is an error, unless it was seen in another version.
func TestFindingsGone(t *testing.T) {
	text, err := parseText("runc", goodText)
	if err != nil {
		t.Fatal(err)
	}
	_, list, err := findings(fakeReport("1", "7"), []peerText{text})
	if err != nil {
		t.Fatal(err)
	}
	if err := gone(list); err == nil || !strings.Contains(err.Error(), "the fault is gone") {
		t.Errorf("got %v", err)
	}
	text, err = parseText("runc", strings.Replace(goodText, "shown by: {crash} names\n", "shown by: crash names\nseen in: 0.9\n", 1))
	if err != nil {
		t.Fatal(err)
	}
	r := fakeReport("1", "7")
	r.Cases = r.Cases[5:]
	pages, list, err := findings(r, []peerText{text})
	if err != nil || gone(list) != nil || !strings.Contains(pages["docs/findings/runc.md"], "Seen in version 0.9.") || !strings.Contains(pages[indexFile], "| 0.9 |") {
		t.Errorf("got %v, %v", pages, err)
	}
	r = fakeReport("0.9", "7")
	r.Cases = r.Cases[4:]
	pages, _, err = findings(r, []peerText{text})
	if err != nil || !strings.Contains(pages["docs/findings/runc.md"], "No scenario tests for this fault.") {
		t.Errorf("got %v, %v", pages, err)
	}
}

// The pages that writeFindings writes pass the comparison with another run, even if descriptors and the shortest transcript
// differ. The comparison finds every other change, but not in the pages about another version.
func TestCompareFindings(t *testing.T) {
	text, err := parseText("runc", strings.Replace(goodText, "shown by: {crash} names\n", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	texts := []peerText{text}
	const page = "docs/findings/runc.md"
	for _, c := range []struct {
		version, file, old, new, want string
	}{
		{"1", "fixed", "", "", "the fault is gone"},
		{"2", "fixed", "", "", ""},
		{version: "1"},
		{"1", page, "can use up", "cannot use up", page + " differs"},
		{"1", page, "A> long", "A> longer", ""},
		{"1", page, "--run names/y/stream", "--run names/z/stream", "shows none of the faults"},
		{"2", page, "can use up", "cannot use up", ""},
		{"1", indexFile, "can use up", "cannot use up", indexFile + " differs"},
		{"1", indexFile, "RecvFile | 1 |", "RecvFile | 2 |", indexFile + " differs"},
		{"2", indexFile, "can use up", "cannot use up", ""},
		{"2", indexFile, "Faults: 1.", "Faults: 2.", indexFile + " differs"},
		{"1", "docs/findings/gone.md", "", "x", "has no text"},
		{"1", page, "*", "", "no such file"},
	} {
		root := t.TempDir()
		pages, _, err := findings(fakeReport("1", "7"), texts)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFindings(root, pages); err != nil {
			t.Fatal(err)
		}
		if file := filepath.Join(root, c.file); c.old == "*" {
			_ = os.Remove(file)
		} else if c.file != "" && c.file != "fixed" {
			_ = os.WriteFile(file, []byte(strings.ReplaceAll(pages[c.file], c.old, c.new)), 0o666)
		}
		r := fakeReport(c.version, "9")
		if c.file == "fixed" {
			r.Cases = r.Cases[4:]
		}
		pages, list, err := findings(r, texts)
		if err != nil {
			t.Fatal(err)
		}
		if err := compareFindings(root, pages, list); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q in %s: got %v, want %q", c.new, c.old, c.file, err, c.want)
		}
	}
}

// run writes and compares the pages together with the others. It writes nothing if a fault is gone.
func TestRunFindings(t *testing.T) {
	text, err := parseText("runc", strings.Replace(goodText, "shown by: {crash} names\n", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	file, page := filepath.Join(root, "report.json"), filepath.Join(root, findingsDir, "runc.md")
	if err := os.Mkdir(filepath.Join(root, "docs"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, readmeFile), []byte("<!-- comparison -->\n<!-- end -->\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	step := func(r *report.Report, write bool, want string) {
		t.Helper()
		for _, p := range missing(r) {
			r.Cases = append(r.Cases, scenario.Result{Name: p.caseName("names/z"), Verdict: scenario.Pass})
		}
		if err := r.WriteFile(file); err != nil {
			t.Fatal(err)
		}
		if err := run(root, file, write, []peerText{text}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	fixed := fakeReport("1", "7")
	fixed.Cases = fixed.Cases[4:]
	step(fixed, true, "the fault is gone")
	if _, err := os.Stat(page); err == nil {
		t.Error("a page was written although the fault is gone")
	}
	step(fakeReport("1", "7"), true, "")
	step(fakeReport("1", "7"), false, "")
	if err := os.WriteFile(page, []byte("Version: 1.\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	step(fakeReport("1", "7"), false, "runc.md differs from the report")
}

// A library without results keeps its page, and the index is neither written nor compared.
func TestFindingsPartly(t *testing.T) {
	text, err := parseText("runc", goodText)
	if err != nil {
		t.Fatal(err)
	}
	r := fakeReport("1", "7")
	r.Cases = nil
	pages, list, err := findings(r, []peerText{text})
	if err != nil || len(pages) != 0 || len(list) != 0 {
		t.Errorf("got %v, %v, %v", pages, list, err)
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, findingsDir), 0o777); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(root, findingsDir, "runc.md")
	if err := os.WriteFile(kept, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := writeFindings(root, pages); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	if err := compareFindings(root, pages, list); err != nil {
		t.Error(err)
	}
}

// A fence is longer than those in the text, and a thread on GitHub is named by its repository and number.
func TestFencesAndLinks(t *testing.T) {
	for text, want := range map[string]string{"a": "````", "````\na\n````": "`````", "a ````": "````"} {
		if got := fenceFor(text); got != want {
			t.Errorf("%q: got %s", text, got)
		}
	}
	for thread, want := range map[string]string{
		"https://github.com/php/php-src/pull/22338 the same fault": "[php/php-src#22338](https://github.com/php/php-src/pull/22338) the same fault",
		"https://bugs.ruby-lang.org/issues/1":                      "[bugs.ruby-lang.org/issues/1](https://bugs.ruby-lang.org/issues/1)",
	} {
		if got := (fault{thread: thread}).threadText(); got != want {
			t.Errorf("%q: got %q", thread, got)
		}
	}
}
