//go:build linux

package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	inside "github.com/scm-rights/scm/internal/peers"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
)

const root = "../.."

// expectedOnce makes the table of expected.txt once.
var expectedOnce = sync.OnceValues(func() (*comparison, error) {
	hellos, err := readHellos(root)
	if err != nil {
		return nil, err
	}
	return expected(hellos)
})

// mustExpected is a copy of that table.
func mustExpected(t *testing.T) *comparison {
	t.Helper()
	e, err := expectedOnce()
	if err != nil {
		t.Fatal(err)
	}
	own := &comparison{versions: slices.Clone(e.versions)}
	for _, line := range e.cells {
		own.cells = append(own.cells, slices.Clone(line))
	}
	return own
}

func mustRead(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// README.md's table, and the page behind it, are what the verdicts say: those that
// expected.txt holds each run to.
func TestREADMESaysWhatTheVerdictsSay(t *testing.T) {
	e := mustExpected(t)
	_, body, _, err := comparisonBlock.split(mustRead(t, readmeFile))
	if err != nil {
		t.Fatal(err)
	}
	if want := e.table() + "\n" + legend(); body != want {
		t.Errorf("README.md has\n%s\nand the verdicts say\n%s", body, want)
	}
	if mustRead(t, pageFile) != e.page() {
		t.Errorf("%s is not what the verdicts say: go run ./tools/readme -w", pageFile)
	}
}

// Each peer is of one row, or it is said why it is of none.
func TestEveryPeerHasARow(t *testing.T) {
	names := append(peers.Names(), scenario.RunnerName, scenario.KernelName)
	for _, lib := range inside.All() {
		names = append(names, lib.Name)
	}
	at := map[string]int{}
	for _, w := range rows {
		for _, name := range w.peers {
			at[name]++
			if !slices.Contains(names, name) {
				t.Errorf("%s: there is no peer %s", w.name, name)
			}
		}
	}
	for name := range rowless {
		at[name]++
		if !slices.Contains(names, name) {
			t.Errorf("there is no peer %s", name)
		}
	}
	for _, name := range names {
		backends := at[name+"-cgo"] == 1 && at[name+"-purego"] == 1
		if at[name] != 1 && !backends {
			t.Errorf("%s is in %d rows", name, at[name])
		}
	}
}

// A row's own words stand in the table, and for a verdict that its column has.
func TestWordsAreUsed(t *testing.T) {
	e := mustExpected(t)
	for i, w := range rows {
		for key, text := range w.words {
			wanted, _, _ := strings.Cut(key, ": ")
			j := slices.IndexFunc(columns, func(c column) bool {
				return c.name == wanted
			})
			if j < 0 || e.cells[i][j].text != text {
				t.Errorf("%s: %q is not in the table for %q", w.name, text, key)
			}
		}
	}
}

// one is a report of one case of a peer with the runner.
func one(c *column, played string, findings ...scenario.Finding) *report.Report {
	name := played + "/seqpacket/runner/fdchannel"
	if c.role == scenario.RoleA {
		name = played + "/seqpacket/fdchannel/runner"
	}
	return &report.Report{Cases: []scenario.Result{{Name: name, Verdict: scenario.Pass, Findings: findings}}}
}

// Each check of a column turns a cell, in each of its scenarios and in no other.
func TestCellsFollowTheVerdicts(t *testing.T) {
	at := slices.IndexFunc(rows, func(w row) bool { return slices.Contains(w.peers, "fdchannel") })
	scenarios := map[string]string{
		"descriptors": "limits/limit-253-ok", "sent": "basics/pass-one-fd", "told": "truncation/ctrunc-two-of-three", "closed": "names/name-4096-received",
		"pidfd": "credentials/scm-pidfd-empty-packet", "cloexec": "basics/pass-one-fd",
		"empty packet sent": "payload/dgram-zero-byte-fd-delivered", "received": "payload/dgram-zero-byte-fd-delivered",
	}
	for j, c := range columns {
		text := func(r *report.Report) string {
			got, err := compare(r)
			if err != nil {
				t.Fatal(err)
			}
			return got.cells[at][j].text
		}
		played := scenarios[c.name]
		if got := text(one(&c, played)); got != c.yes {
			t.Errorf("%s: a case that passes makes it %q", c.name, got)
		}
		for _, check := range scenario.Checks {
			got := text(one(&c, played, scenario.Finding{Check: check, Peer: "fdchannel"}))
			if turned := got != c.yes; turned != slices.Contains(c.checks, check) {
				t.Errorf("%s: %s makes it %q", c.name, check, got)
			}
			if got := text(one(&c, played, scenario.Finding{Check: check, Peer: scenario.RunnerName})); got != c.yes {
				t.Errorf("%s: %s of the one opposite makes it %q", c.name, check, got)
			}
		}
		r := one(&c, played, scenario.Finding{Check: c.checks[0], Peer: "fdchannel"})
		r.Cases[0].Verdict = scenario.Unsupported
		if got, want := text(r), c.none; want != "" && got != want {
			t.Errorf("%s: what was not played makes it %q", c.name, got)
		}
		if len(c.otherwise) == 0 {
			continue
		}
		r = one(&c, c.otherwise[0], scenario.Finding{Check: c.checks[0], Peer: "fdchannel"})
		if got := text(r); got == c.yes {
			t.Errorf("%s: what it plays instead makes it %q", c.name, got)
		}
		r.Cases = append(r.Cases, one(&c, played).Cases...)
		if got := text(r); got != c.yes {
			t.Errorf("%s: what it plays instead counts where it plays the column's, and makes it %q", c.name, got)
		}
	}
}

// A report that says other than README.md is an error, unless it is about another
// version of the peer.
func TestRunComparesTheReport(t *testing.T) {
	hellos, err := readHellos(root)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _, err := comparisonBlock.split(mustRead(t, readmeFile))
	if err != nil {
		t.Fatal(err)
	}
	if list := mustExpected(t).differences(body, hellos); len(list) > 0 {
		t.Errorf("the table differs from itself: %v", list)
	}
	e := mustExpected(t)
	at := slices.IndexFunc(rows, func(w row) bool { return slices.Contains(w.peers, "runc") })
	e.cells[at][3].text = "yes"
	if list := e.differences(body, hellos); len(list) != 1 || list[0].row != rows[at].name || list[0].version != "" {
		t.Errorf("another cell: %v", list)
	}
	e.versions[at] = "v9"
	if list := e.differences(body, hellos); len(list) != 1 || list[0].version == "" {
		t.Errorf("another cell, of another version: %v", list)
	}
	here := maps.Clone(hellos)
	here["php"] = contract.Hello{Version: "9"}
	if others := otherVersions(hellos, hellos) + otherVersions(hellos, here); others != "php 9, and not "+hellos["php"].Version {
		t.Errorf("other versions: %q", others)
	}
	more := strings.Replace(body, "\n\n", "\n| one row more |\n\n", 1)
	if list := mustExpected(t).differences(more, hellos); len(list) != 1 || list[0].row != "all" {
		t.Errorf("one row more: %v", list)
	}
}

// Without a report, -w writes the table and the page, and leaves the rest of README.md.
func TestWriteWithoutReport(t *testing.T) {
	dir := t.TempDir()
	readme := mustRead(t, readmeFile)
	head, _, tail, err := comparisonBlock.split(readme)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{readmeFile: head + "old\n" + tail, pageFile: "old\n", hellosFile: mustRead(t, hellosFile)} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(dir, "", true); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{readmeFile: readme, pageFile: mustExpected(t).page()} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is another one: %v", name, err)
		}
	}
}

// What the peers say of themselves is written as it is read.
func TestHellos(t *testing.T) {
	hellos, err := readHellos(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(hellos, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if mustRead(t, hellosFile) != string(text)+"\n" {
		t.Errorf("%s is not as -w writes it", hellosFile)
	}
	for _, w := range rows {
		for _, name := range w.peers {
			if len(hellos[name].Can) == 0 {
				t.Errorf("%s says nothing of %s", hellosFile, name)
			}
		}
	}
}
