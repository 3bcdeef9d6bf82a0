package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// summary prints Markdown or annotations for a report, and fails if it cannot read the report.
func TestSummary(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.html")
	fake := "fake=" + program(t, "faulty") + " --fault cloexec"
	runs(t, result{1, "…", "…"}, runFew("--peer", fake, "--report", file, "--report", page)...)
	r := command(t, "interop", "summary", "--catalogue", "a dir", file)
	for _, want := range []string{
		"## scm interop: **not as expected**\n\n9 cases of `fake` have a verdict: 3 pass, 0 expected failures, 6 not as expected. ",
		"\nfake: of 9 cases, 3 passed, 6 did not end as expected; ",
		"\n| `cloexec@fake` | 6 | `a received descriptor is not close-on-exec` | `basics/pass-one-fd/",
		"\n```sh\nscm interop replay --catalogue 'a dir' " + file + "#basics/pass-one-fd/",
		"\n`" + page + "` shows every case.",
	} {
		if r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.text())
		}
	}
	const leak = "::error title=scm interop%3A cloexec@fake ×6::" +
		"a received descriptor is not close-on-exec (for example …)\n"
	runs(t, result{stdout: leak}, "interop", "summary", "--annotations", file)
	runs(t, result{2, "", "…"}, "interop", "summary", "/nonexistent")
}

// If a required peer has no verdict, the run is not as expected, even if the report is read from a file.
func TestSummaryOfMissingVerdicts(t *testing.T) {
	dumb := "x=sh " + write(t, "while read -r verb rest; do case $verb in hello) echo ok name=x can=multi;; *) echo unsupported;; esac; done\n")
	for _, ext := range []string{".json", ".jsonl"} {
		file := filepath.Join(t.TempDir(), "r"+ext)
		runs(t, result{3, "…", "…"}, runFew("--peer", dumb, "--report", file)...)
		const none = "peer x: none of its cases has a verdict"
		runs(t, result{0, "## scm interop: **" + none + "**\n…", "…"}, "interop", "summary", file)
		runs(t, result{0, "::error title=scm interop::" + none + "\n", "…"},
			"interop", "summary", "--annotations", file)
	}
}
