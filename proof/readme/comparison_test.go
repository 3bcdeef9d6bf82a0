//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/proof/must"
)

// Each peer has one row or a reason for having none. The words of each row appear in docs/comparison.md.
func TestRows(t *testing.T) {
	text := must.Get(os.ReadFile("../../docs/comparison.md"))
	if !strings.HasPrefix(string(text), head()) {
		t.Error("docs/comparison.md does not begin with the text of page.go and the columns")
	}
	names := append(peers.Names(), scenario.RunnerName, scenario.KernelName)
	for _, lib := range builtin.All() {
		names = append(names, lib.Name)
	}
	at := map[string]int{
		scenario.RunnerName: 1, // the other peers are tested against it
		scenario.KernelName: 1, // the runner is tested against it
	}
	for name := range peers.Rowless() {
		at[name]++
	}
	for _, w := range rows {
		for _, name := range w.Peers {
			at[name]++
		}
		_, line, _ := strings.Cut(string(text), "\n|"+w.Name+"|")
		line, _, _ = strings.Cut(line, "\n")
		for key, word := range w.Words {
			if !strings.Contains("|"+line, "|"+word.Text+mark+"|") {
				t.Errorf("%s: %q is not in docs/comparison.md for %q", w.Name, word.Text, key)
			}
			if explained := word.Text == callersFlag || word.Text == callersControl; explained == (word.Why != "") {
				t.Errorf("%s: the record must say why %q replaces %q, unless the page does so for all rows", w.Name, word.Text, key)
			}
		}
	}
	for name, n := range at {
		if n != 1 || !slices.Contains(names, name) {
			t.Errorf("%s is listed %d times, want once; it is the name of a peer: %v", name, n, slices.Contains(names, name))
		}
	}
	for _, name := range names {
		if at[name] == 0 {
			t.Errorf("%s is in no row", name)
		}
	}
}

// A finding changes a cell only if the column includes its check, it is about the row's peer, and the case ran.
func TestCellsFollowTheVerdicts(t *testing.T) {
	played := []string{"limits/limit-253-ok", "basics/pass-one-fd", "truncation/ctrunc-two-of-three", "names/name-4096-received",
		"credentials/scm-pidfd-empty-packet", "basics/pass-one-fd",
		"payload/dgram-zero-byte-fd-delivered", "payload/dgram-zero-byte-fd-delivered"}
	w := row{Peers: []string{"fdchannel"}}
	for j, c := range columns {
		one := func(verdict scenario.Verdict, findings ...scenario.Finding) string {
			name := played[j] + "/seqpacket/runner/fdchannel"
			if c.role == scenario.RoleA {
				name = played[j] + "/seqpacket/fdchannel/runner"
			}
			return c.decide(w, w.trials([]scenario.Result{{Name: name, Verdict: verdict, Findings: findings}})).text
		}
		good, none := one(scenario.Pass), one(scenario.Unsupported)
		if good == none {
			t.Errorf("%s: passed and unsupported are both %q", c.name, good)
		}
		for _, check := range scenario.Checks {
			got := one(scenario.Expected, scenario.Finding{Check: check, Peer: "fdchannel"})
			other := one(scenario.Expected, scenario.Finding{Check: check, Peer: scenario.RunnerName})
			if (got != good) != slices.Contains(c.checks, check) || other != good {
				t.Errorf("%s: a %s finding gives %q, and one about the runner gives %q", c.name, check, got, other)
			}
		}
	}
}

// A pidfd that stays open counts only in its own column, and a socket that an error closes is not a wrong file.
func TestCellsOfRows(t *testing.T) {
	cells := func(name, peer string, check scenario.Check) string {
		i := slices.IndexFunc(rows, func(w row) bool { return slices.Contains(w.Peers, peer) })
		result := scenario.Result{Name: name, Verdict: scenario.Expected, Findings: []scenario.Finding{{Check: check, Peer: peer}}}
		trials := rows[i].trials([]scenario.Result{result})
		var list []string
		for _, c := range columns {
			if cell := c.decide(rows[i], trials); len(cell.findings) > 0 {
				list = append(list, c.name+": "+cell.text)
			}
		}
		return strings.Join(list, "; ")
	}
	for _, c := range []struct {
		name, peer string
		check      scenario.Check
		want       string
	}{
		{"credentials/ctrunc-pidfd-no-room/stream/runner/glib", "glib", leak, "pidfd closed: no"},
		{"credentials/scm-pidfd-alone/stream/runner/glib", "glib", leak, "pidfd closed: no"},
		{"truncation/ctrunc-two-of-three/stream/runner/glib", "glib", leak, "no leaks: no"},
		{"hostile/bad-fd-minus-1/stream/junixsocket/runner", "junixsocket", file, "right file sent: yes, but an error closes the socket"},
	} {
		if got := cells(c.name, c.peer, c.check); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// The pages that -w writes pass the comparison. A different cell is an error, unless another library has a different
// version.
func TestWriteAndCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	leaks := func(peer string) []scenario.Finding { return []scenario.Finding{{Check: leak, Peer: peer}} }
	for _, c := range []struct {
		version  string
		findings []scenario.Finding
		write    bool
		fails    string
	}{
		{"1", nil, true, ""},
		{"1", nil, false, ""},
		{"1", leaks("runc"), false, "docs/comparison.md has a different row for runc"},
		{"2", leaks("runc"), false, ""},
		{"2", leaks("scm-purego"), false, "docs/comparison.md has a different row for scm"},
	} {
		r := report.Report{Schema: report.Schema, Seconds: 1, Peers: []report.Peer{{Name: "runc"}, {Name: "scm-purego"}, {Name: "glib"}, {Name: "runner"}}}
		for _, pair := range []string{"runner/runc", "runner/scm-purego", "runner/glib"} {
			r.Cases = append(r.Cases, scenario.Result{Name: "names/x/stream/" + pair, Verdict: scenario.Pass, Findings: c.findings})
		}
		r.Peers[0].Hello.Version, r.Peers[1].Hello.Version = c.version, c.version
		text := must.Get(json.Marshal(&r))
		if c.write {
			_ = os.Mkdir(filepath.Join(dir, "docs"), 0o777)
		}
		_ = os.WriteFile(file, text, 0o666)
		err := must.Try(func() { run(dir, file, c.write) })
		hint := "\nto update the page: go run -C proof ./readme -w " + file
		if (err == nil) != (c.fails == "") ||
			err != nil && (!strings.Contains(err.Error(), c.fails) || !strings.HasSuffix(err.Error(), hint)) {
			t.Errorf("version %s, findings %v, write %v: got %v, want %q",
				c.version, c.findings, c.write, err, c.fails)
		}
	}
}

// A report without a peer is an error if CI runs all peers, or with -w.
func TestPeerThatDidNotRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	r := report.Report{Schema: report.Schema, Seconds: 1, Peers: []report.Peer{{Name: "runc", NotRun: "no Go"}}}
	must.OK(os.WriteFile(file, must.Get(json.Marshal(&r)), 0o666))
	for _, c := range []struct {
		ci, peers    string
		write, fails bool
	}{{"true", "", false, false}, {"", "all", false, false}, {"true", "all", false, true}, {"true", "few", false, true}, {"", "", true, true}} {
		t.Setenv("CI", c.ci)
		t.Setenv("PEERS", c.peers)
		if err := must.Try(func() { run("", file, c.write) }); (err != nil) != c.fails {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

// The error names the line and not the lines around it, and only a part of a long line.
func TestDifference(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, c := range []struct{ text, wanted, want string }{
		{"a\nb\nc\n", "a\nb 1\nc\n", `it has "b", the report gives "b 1"`},
		{"a\n", "a\nb\n", `it has "", the report gives "b"`},
		{"a\nb 1", "a\nb 2", `it has "b 1", the report gives "b 2"`},
		{long + "1" + long, long + "2" + long, `it has "` + long[:120] + "1" + long[:119] + `", the report gives "` + long[:120] + "2" + long[:119] + `"`},
	} {
		if err := difference("f", c.text, c.wanted); err == nil || err.Error() != "f differs from the report: "+c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if err := difference("f", "a", "a"); err != nil {
		t.Error(err)
	}
}
