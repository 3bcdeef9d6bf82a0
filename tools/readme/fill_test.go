//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// A run of few pairs is compared in the cells that it has, and only in those.
func TestFill(t *testing.T) {
	whole := &report.Report{Peers: []report.Peer{{Name: "old"}, {Name: "new"}, {Name: "runner"}}}
	verdicts := []scenario.Verdict{scenario.Pass, scenario.Expected, scenario.Pass, scenario.Unsupported}
	for i, p := range missing(whole) {
		for _, name := range []string{"group/a", "group/b"} {
			whole.Cases = append(whole.Cases, scenario.Result{Name: p.caseName(name), Verdict: verdicts[i%len(verdicts)]})
		}
	}
	page, image := matrixPage(whole), picture(whole)
	stream := pageCells(page)
	for p, want := range map[place]string{{"stream", "old", "old"}: "2", {"stream", "old", "new"}: "0x2", {"stream", "new", "old"}: "-"} {
		if stream[p] != want {
			t.Errorf("%v is %q in the page, want %q", p, stream[p], want)
		}
	}
	left := func(name string) bool {
		return strings.HasSuffix(name, "/old/new") || strings.HasSuffix(name, "/new/old")
	}
	for _, c := range []struct {
		name    string
		without func(name string) bool
		changed string // the end of the names of cases whose verdict changes
		page    string
		few     []string
		same    bool
		err     string
	}{
		{"the run of the page", left, "", page, []string{"new"}, true, ""},
		{"a changed cell", left, "/stream/new/runner", page, []string{"new"}, false, ""},
		{"a changed cell that did not run", left, "/old/new", page, []string{"new"}, true, ""},
		{"a cell that must run", left, "", page, []string{"runner"}, false, "the report has no case */*/stream/old/new"},
		{"a new peer", left, "", strings.ReplaceAll(page, " new ", " newer "), []string{"new"}, false, "neither the report nor docs/matrix.md has a cell for */*/stream/old/new"},
		{"a whole run", func(string) bool { return false }, "/old/new", page, []string{"new"}, false, ""},
	} {
		part := *whole
		part.Cases = nil
		for _, r := range whole.Cases {
			if c.changed != "" && strings.HasSuffix(r.Name, c.changed) {
				r.Verdict = scenario.NotRun
			}
			if !c.without(r.Name) {
				part.Cases = append(part.Cases, r)
			}
		}
		if _, err := wholeMatrix("../..", &part, true); (err != nil) != c.without("/old/new") {
			t.Errorf("%s: -w: %v", c.name, err)
		}
		filled, err := fill(&part, missing(&part), c.page, c.few)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if same := matrixPage(filled) == page && picture(filled) == image; same != c.same {
			t.Errorf("%s: the pages are the same: %v, want %v", c.name, same, c.same)
		}
	}
}
