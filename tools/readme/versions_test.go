//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/tools/prove/versions"
)

// The tables of versions are those that the results give.
func TestVersionsPages(t *testing.T) {
	const root = "../.."
	texts, err := readTexts(root)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := fillVersions(root, texts)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := difference(name, string(text), want); err != nil {
			t.Errorf("%v; to update the pages: go run ./tools/readme -versions", err)
		}
	}
}

// Every fault on the pages has a program in the plan and a result for each version of the plan, and there are no others.
func TestVersionsPlan(t *testing.T) {
	const root = "../.."
	texts, err := readTexts(root)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := versions.ReadPlan(root)
	if err != nil {
		t.Fatal(err)
	}
	results, err := versions.ReadResults(root)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, p := range texts {
		i := slices.IndexFunc(plan.Libraries, func(l versions.Library) bool { return l.Peer == p.peer })
		if i < 0 {
			t.Errorf("%s: no versions in %s", p.file(), versions.PlanFile)
			continue
		}
		l := plan.Libraries[i]
		if !strings.Contains(p.page, "<!-- versions -->\n") {
			t.Errorf("%s has no marker for the table of versions", p.file())
		}
		for _, f := range p.faults {
			if !slices.ContainsFunc(l.Faults, func(g versions.Fault) bool { return g.Title == f.title }) {
				t.Errorf("%s: %q has no program in %s", p.file(), f.title, versions.PlanFile)
			}
		}
		var where, planned []string
		for _, v := range p.tried(results) {
			where = append(where, v.where)
		}
		for _, v := range l.Versions {
			planned = append(planned, v.Where)
		}
		slices.Sort(where)
		slices.Sort(planned)
		if !slices.Equal(where, planned) || len(l.Faults) != len(p.faults) {
			t.Errorf("%s: results for %v and %d faults, planned %v and %d", p.file(), where, len(p.faults), planned, len(l.Faults))
		}
		count += len(l.Faults) * len(l.Versions)
		if err := l.Check(root); err != nil {
			t.Error(err)
		}
	}
	for _, r := range results {
		if _, err := time.Parse(time.DateOnly, r.Date); err != nil {
			t.Errorf("%s %s: %v", r.Peer, r.Version, err)
		}
	}
	if len(results) != count || len(plan.Libraries) != len(texts) {
		t.Errorf("%d results about %d libraries, want %d about %d", len(results), len(plan.Libraries), count, len(texts))
	}
}

// The words name only versions that were tried.
func TestRangeOf(t *testing.T) {
	list := []tried{{"Debian 12", "1"}, {"Debian 13", "2"}, {"Debian unstable", "3"}}
	for want, affected := range map[string][]bool{
		"1 to 3, the newest tried":                     {true, true, true},
		"2 to 3, the newest tried; 1 does not have it": {false, true, true},
		"1 to 3, the newest tried; 2 does not have it": {true, false, true},
		"1 to 2; 3 does not have it":                   {true, true, false},
		"1; 2 and 3 do not have it":                    {true, false, false},
		"2; 1 and 3 do not have it":                    {false, true, false},
		"none of those tried":                          {false, false, false},
	} {
		if got := rangeOf(list, affected); got != want {
			t.Errorf("%v: got %q, want %q", affected, got, want)
		}
	}
}

// A version that is the package of two releases is named once.
func TestRangeOfSameVersion(t *testing.T) {
	list := []tried{{"Debian 12", "1"}, {"Debian 13", "1"}, {"Debian unstable", "2"}}
	if got, want := rangeOf(list, []bool{false, false, true}), "2, the newest tried; 1 does not have it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The tables say when the programs ran.
func TestDays(t *testing.T) {
	results := []versions.Result{{Peer: "nix", Date: "2026-11-27"}, {Peer: "runc", Date: "2026-12-01"}, {Peer: "nix", Date: "2026-11-27"}}
	for peer, want := range map[string]string{"nix": "on 2026-11-27", "": "from 2026-11-27 to 2026-12-01"} {
		if got := days(results, peer); got != want {
			t.Errorf("%q: got %q, want %q", peer, got, want)
		}
	}
}
