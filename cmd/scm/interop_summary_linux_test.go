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
	if r := command(t, runFew("--peer", "fake="+program(t, "faulty")+" --fault cloexec", "--report", file, "--report", page)...); r.code != 1 {
		t.Fatalf("got %+v", r)
	}
	r := command(t, "interop", "summary", "--catalogue", "a dir", file)
	for _, want := range []string{
		"## scm interop: **not as expected**\n\n12 cases have a verdict: 6 pass, 0 expected failures, 6 not as expected. ",
		"\n| `cloexec@fake` | 6 | `a received descriptor is not close-on-exec` | `basics/pass-one-fd/",
		"\n```sh\nscm interop replay --catalogue 'a dir' " + file + "#basics/pass-one-fd/",
		"\n`" + page + "` shows every case.",
	} {
		if r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.text())
		}
	}
	r = command(t, "interop", "summary", "--annotations", file)
	if r.code != 0 || r.stderr != "" || !like(r.stdout, "::error title=scm interop%3A cloexec@fake ×6::a received descriptor is not close-on-exec (for example …)\n") {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "summary", "/nonexistent"); r.code != 2 || r.stdout != "" {
		t.Errorf("got %+v", r)
	}
}

// If a required peer has no verdict, the run is not as expected, even if the report is read from a file.
func TestSummaryOfMissingVerdicts(t *testing.T) {
	dumb := "x=sh " + write(t, "while read -r verb rest; do case $verb in hello) echo ok name=x can=multi;; *) echo unsupported;; esac; done\n")
	for _, ext := range []string{".json", ".jsonl"} {
		file := filepath.Join(t.TempDir(), "r"+ext)
		if r := command(t, runFew("--peer", dumb, "--report", file)...); r.code != 3 {
			t.Fatalf("got %+v", r)
		}
		r := command(t, "interop", "summary", file)
		if r.code != 0 || !strings.HasPrefix(r.stdout, "## scm interop: **peer x: none of its cases has a verdict**\n") {
			t.Errorf("got %+v", r)
		}
		if r := command(t, "interop", "summary", "--annotations", file); r.stdout != "::error title=scm interop::peer x: none of its cases has a verdict\n" {
			t.Errorf("got %+v", r)
		}
	}
}
