package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// limited runs the program with at most 30 seconds, 10 of them of the processor, and 4 GiB of
// addresses: a loop without an end does not take the machine with it.
func limited(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, exec.Command("/bin/sh", append([]string{"-c", `ulimit -t 10 && ulimit -v 4194304 && exec timeout -k 1 30 "$0" "$@"`, program(t, "scm")}, args...)...))
}

// reported is a report of one case of peers x and y, with a finding.
func reported(t *testing.T, name, check, peer string) string {
	t.Helper()
	return write(t, fmt.Sprintf(`{"schema": 2, "seconds": 1, "system": {"kind": "linux"}, "peers": [{"name": "x", "command": ["x"]}, {"name": "y", "command": ["y"]}],
		"cases": [{"name": %q, "hash": "0123", "verdict": "fail", "findings": [{"check": %q, "peer": %q, "text": "woe"}]}]}`, name, check, peer))
}

// A report is input, and the file of expected failures has a line of it only where it
// is about a case.
func TestExpectOfReports(t *testing.T) {
	const name = "basics/pass-one-fd/stream/x/y"
	for _, c := range []struct {
		what, report, stdout, stderr string
		code                         int
	}{
		{"a finding of a case", reported(t, name, "crash", "x"), "+ basics/pass-one-fd crash@x ?\n", "", 1},
		{"close-on-exec of who receives nothing", reported(t, name, "cloexec", "x"),
			"? " + name + " cloexec@x: no line can be about it: the catalogue has another scenario of this name, or none\n", "", 1},
		{"a finding of a scenario of another catalogue", reported(t, "mine/gone/stream/x/y", "crash", "x"),
			"? mine/gone/stream/x/y crash@x: no line can be about it: the catalogue has another scenario of this name, or none\n", "", 1},
		{"a finding of a peer that did not play", reported(t, name, "crash", "z"), "",
			"scm: …: case \"" + name + "\": the peer \"z\" of a finding does not play in it\n", 2},
		{"a peer that writes lines", reported(t, "basics/pass-one-fd/stream/x\n** leak@y a reason of mine\n#/y", "crash", "x\n** leak@y a reason of mine\n#"), "",
			"scm: …: case \"basics/pass-one-fd/stream/x\\n** leak@y a reason of mine\\n#/y\": not the name of a case\n", 2},
		{"a check that writes lines", reported(t, name, "crash@x a reason\n**", "x"), "",
			"scm: …: case \"" + name + "\": no such check: \"crash@x a reason\\n**\"\n", 2},
		{"a kernel that writes lines", write(t, `{"schema": 2, "seconds": 1, "system": {"kind": "minix]\n** leak@y a reason"}, "peers": [], "cases": []}`), "",
			"scm: …: no such kernel: \"minix]\\n** leak@y a reason\"\n", 2},
		{"one case twice", write(t, `{"schema": 2, "seconds": 1, "peers": [], "cases": [{"name": "`+name+`", "verdict": "pass"}, {"name": "`+name+`", "verdict": "fail",
			"findings": [{"check": "crash", "peer": "x"}]}]}`), "", "scm: …: two cases are named \"" + name + "\"\n", 2},
	} {
		const before = "# Ours.\n"
		expected := write(t, before)
		r := limited(t, "interop", "expect", c.report, "--expect", expected)
		if r.code != c.code || r.stdout != c.stdout || !like(r.stderr, c.stderr) {
			t.Errorf("%s: got %+v\nwant %+v", c.what, r, c)
		}
		// The exit status is 0 only if the file has a line for each finding.
		if r := limited(t, "interop", "expect", c.report, "--expect", expected, "--update"); (r.code == 0) != strings.HasPrefix(c.stdout, "+") {
			t.Errorf("%s: got %+v", c.what, r)
		}
		text := contents(t, expected)
		if want := before + strings.TrimPrefix(c.stdout, "+ "); text != want && (text != before || strings.HasPrefix(c.stdout, "+")) {
			t.Errorf("%s: the file is %q", c.what, text)
		}
	}
}

// A line that is about no case, with which no run begins, is not silently kept.
func TestExpectOfALineAboutNoCase(t *testing.T) {
	const line = "basics/no-such-scenario crash@x Ours.\n"
	for _, args := range [][]string{nil, {"--update"}} {
		expected := write(t, line)
		r := limited(t, append([]string{"interop", "expect", reported(t, "basics/pass-one-fd/stream/x/y", "crash", "x"), "--expect", expected}, args...)...)
		if r.code != 2 || r.stdout != "" || r.stderr != "scm: expected failures: line 1: basics/no-such-scenario crash@x applies to no case\n" {
			t.Errorf("%v: got %+v", args, r)
		}
		if text := contents(t, expected); text != line {
			t.Errorf("%v: the file is %q", args, text)
		}
	}
}

// A line can be about the cases with a partner that no line blames.
func TestExpectOfAPartner(t *testing.T) {
	expected := write(t, "basics/pass-one-fd/*/x/{y,z} crash@x Ours.\n")
	r := limited(t, "interop", "expect", reported(t, "basics/pass-one-fd/stream/x/y", "crash", "x"), "--expect", expected)
	if r != (result{}) {
		t.Errorf("got %+v", r)
	}
}

// A file of expected failures that cannot be written whole stays as it was. Where it can
// be, it keeps its mode, for root its owner and group too, and a link to it stays a link.
func TestUpdateThatFails(t *testing.T) {
	before := "# " + strings.Repeat("Ours. ", 1000) + "\n"
	expected := write(t, before)
	if err := os.Chmod(expected, 0o640); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 65534, 65533
		if err := os.Chown(expected, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(expected, link); err != nil {
		t.Fatal(err)
	}
	report := reported(t, "basics/pass-one-fd/stream/x/y", "leak", "y")
	update := []string{"interop", "expect", report, "--expect", link, "--update"}
	r := finish(t, exec.Command("/bin/sh", append([]string{"-c", `ulimit -f 1; exec "$0" "$@"`, program(t, "scm")}, update...)...))
	if text := contents(t, expected); r.code != 4 || text != before {
		t.Errorf("got %+v, and %d bytes of %d", r, len(text), len(before))
	}
	r = command(t, update...)
	info, err := os.Lstat(link)
	if err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(link); r.code != 0 || err != nil || info.Mode() != 0o640 || info.Size() <= int64(len(before)) {
		t.Errorf("got %+v, and %v, %v", r, info, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(expected, &st); err != nil || int(st.Uid) != uid || int(st.Gid) != gid {
		t.Errorf("the owner is %d and the group %d, %v", st.Uid, st.Gid, err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(expected), ".*.new")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Names from a report, a list of peers or of expected failures are words, and nothing else.
func TestNamesThatAreNone(t *testing.T) {
	const bad = "x\n::error::woe"
	for _, c := range []struct {
		what string
		args []string
		want string
	}{
		{"a list of peers", []string{"run", "--peers", write(t, `[{"name": "x\n::error::woe", "command": ["x"]}]`)},
			"scm: …: peer 0 (\"x\\n::error::woe\"): not a name: letters, digits and any of \"_.+-\"\n"},
		{"a peer", []string{"run", "--peer", bad + "=x"}, "scm: --peer \"x\\n::error::woe=x\" is not NAME=COMMAND\n"},
		{"expected failures", []string{"run", "--expect", write(t, "** leak@x\x1b[2J why")}, "scm: …: line 1: \"leak@x\\x1b[2J\" is not CHECK@PEER; checks are …\n"},
		{"their reason", []string{"run", "--expect", write(t, "** leak@x why\x1b[2J")}, "scm: …: line 1: not text: \"why\\x1b[2J\"\n"},
		{"two reports", []string{"compare", reported(t, "basics/pass-one-fd/stream/x/y\n[2J", "leak", "x"), reported(t, "basics/pass-one-fd/stream/x/y", "leak", "x")},
			"scm: …: case \"basics/pass-one-fd/stream/x/y\\n[2J\": not the name of a case\n"},
		{"peers of a report", []string{"replay", write(t, `{"schema": 2, "seconds": 1, "peers": [{"name": "x\n", "command": ["x"]}], "cases": [{"name": "basics/pass-one-fd/stream/x/x", "verdict": "pass"}]}`) + "#1"},
			"scm: …: not the name of a peer: \"x\\n\"\n"},
		{"two peers of a report of one name", []string{"compare", write(t, `{"schema": 2, "seconds": 1, "peers": [{"name": "x", "command": ["x"]}, {"name": "x", "command": ["y"]}], "cases": []}`), "/nonexistent"},
			"scm: …: two peers are named \"x\"\n"},
		{"a peer of a report without a command", []string{"compare", write(t, `{"schema": 2, "seconds": 1, "peers": [{"name": "x"}], "cases": []}`), "/nonexistent"},
			"scm: …: the peer \"x\" has neither a command nor not_run\n"},
		{"more behind the end of a stream", []string{"compare", write(t, `{"schema": 2, "peers": []}`+"\n"+`{"end": {"schema": 2, "peers": []}}`+"\n"+`{"case": {}}`+"\n"), "/nonexistent"},
			"scm: …: there is more behind its end\n"},
		{"the schema at the end of a stream", []string{"compare", write(t, `{"schema": 2, "peers": []}`+"\n"+`{"end": {"schema": 3, "peers": []}}`+"\n"), "/nonexistent"},
			"scm: …: schema 3 at its end, and this reads 2\n"},
		{"a verdict", []string{"compare", write(t, `{"schema": 2, "seconds": 1, "peers": [], "cases": [{"name": "basics/pass-one-fd/stream/x/x", "verdict": "pass\n::error::woe"}]}`), "/nonexistent"},
			"scm: …: case \"basics/pass-one-fd/stream/x/x\": no such verdict: \"pass\\n::error::woe\"\n"},
		{"a hash", []string{"compare", write(t, `{"schema": 2, "seconds": 1, "peers": [], "cases": [{"name": "basics/pass-one-fd/stream/x/x", "hash": "\n", "verdict": "pass"}]}`), "/nonexistent"},
			"scm: …: case \"basics/pass-one-fd/stream/x/x\": not a hash: \"\\n\"\n"},
	} {
		if r := limited(t, append([]string{"interop"}, c.args...)...); r.code != 2 || r.stdout != "" || !like(r.stderr, c.want) {
			t.Errorf("%s: got %+v\nwant %s", c.what, r, c.want)
		}
	}
}

// forging is a peer that writes lines on standard error, which look like the runner's
// totals and like commands of a workflow, and ends when it gets one of these words.
func forging(words string) string {
	return `while read -r verb rest; do case $verb in
` + words + `) printf 'woe\n::error::forged\n  ::error::forged\n##[error]forged\nx ##[add-mask]e ##vso[task.complete]\nverdicts: 99: 99 pass\n| peers | 99 |\n' >&2; exit 1;;
hello) echo "ok name=x version=##[add-mask]e lang=##vso[x] can=stream,dgram,seqpacket,multi";;
use|end|close) echo ok;;
*) echo unsupported;;
esac; done
`
}

// forged finds lines that a reader, or a CI server, takes for the runner's own.
var forged = regexp.MustCompile(`(?m)^\s*(::|verdicts: 99|\| peers \| 99).*|##(vso)?\[.*`)

// No line of what a peer writes is taken for one of the runner's.
func TestForgedLines(t *testing.T) {
	dir := t.TempDir()
	late, early := "x=sh "+write(t, forging("recv")), "x=sh "+write(t, forging("hello"))
	run := []string{"run", "--builtin=false", "--run", "basics/pass-one-fd/stream/runner/x", "--peer"}
	files := []string{filepath.Join(dir, "r.txt"), filepath.Join(dir, "r.md"), filepath.Join(dir, "r.jsonl")}
	json := filepath.Join(dir, "r.json")
	for _, c := range []struct {
		what string
		code int
		args []string
	}{
		{"a run", 1, append(run, late, "--report", files[0], "--report", files[1], "--report", files[2], "--report", json)},
		{"a run, as JSON", 1, append(run, late, "--json")},
		{"a peer that does not start", 4, append(run, early)},
		{"smoke", 4, []string{"smoke", "--builtin=false", "--peer", early}},
		{"replay", 1, []string{"replay", json + "#1"}},
		{"a peer that there is not", 0, []string{"run", "--builtin=false", "--run", "basics/pass-one-fd/stream/runner/runner", "--peers",
			write(t, `[{"name": "libc", "why": "no\n::error::forged"}]`)}},
	} {
		r := command(t, append([]string{"interop"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.text(), "::error::forged") {
			t.Errorf("%s: got %+v", c.what, r)
		}
		if lines := forged.FindAllString(r.text(), -1); len(lines) > 0 {
			t.Errorf("%s: %q", c.what, lines)
		}
	}
	for _, file := range files {
		text := contents(t, file)
		if lines := forged.FindAllString(text, -1); len(lines) > 0 || !strings.Contains(text, "::error::forged") {
			t.Errorf("%s: %q", file, lines)
		}
	}
}
