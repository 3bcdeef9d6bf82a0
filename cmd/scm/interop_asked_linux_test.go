package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/report"
)

// If a peer claims more than it supports, the last line, the summary and the reports give the same reasons for its
// cases without a verdict. The reasons and the verdicts add up to all its cases, also in a part of the run.
func TestNotAsked(t *testing.T) {
	t.Parallel()
	catalogue := filepath.Join(t.TempDir(), "catalogue")
	fdtest.Must(t, os.CopyFS(filepath.Join(catalogue, "peer/payload"), os.DirFS("../../interop/catalogue/peer/payload")))
	var cases []int
	for _, flags := range []string{"", "--skip */*/dgram"} {
		dir := t.TempDir()
		json, xml := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.xml")
		args := append(strings.Fields(flags), "--builtin=false", "--catalogue", catalogue, "--report", json, "--report", xml,
			"--peer", "liar="+program(t, "faulty")+" --refuse flags,iov", "--peer", "stiff="+program(t, "faulty")+" --strict")
		run := command(t, append([]string{"interop", "run"}, args...)...)
		summary := command(t, "interop", "summary", json)
		r, err := report.Read(json)
		if run.code != 0 || summary.code != 0 || err != nil {
			t.Fatalf("%s: %v\n%s%s", flags, err, run.text(), summary.text())
		}
		asked := r.Asked["liar"]
		sum := asked.Verdicts
		for _, n := range asked.NotAsked {
			sum += n.Cases
		}
		want := r.NotAsked["liar"]
		if p := r.Peers[0]; p.Name != "liar" || p.Totals.Verdicts() != asked.Verdicts || sum != asked.Cases || !strings.Contains(want, " although it claims iov (") {
			t.Errorf("%s: the verdicts are %+v, and the numbers %+v", flags, p, asked)
		}
		for where, text := range map[string]string{"the last line": run.stdout, "the summary": summary.stdout, "JUnit": contents(t, xml)} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), "; "+want+".") {
				t.Errorf("%s: no %q in %s:\n%s", flags, want, where, text)
			}
		}
		cases = append(cases, asked.Cases)
	}
	if cases[0] != cases[1] {
		t.Errorf("got %d cases, and %d in a part of the run", cases[0], cases[1])
	}
}
