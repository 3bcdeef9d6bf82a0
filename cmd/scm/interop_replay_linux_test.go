package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A case is played again, alone, and replay prints what to type.
func TestReplay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	fake := program(t, "faulty")
	r := command(t, append([]string{"interop", "run", "--peer", "fake=" + fake + " --fault cloexec", "--report", file}, one...)...)
	if r.code != 1 {
		t.Fatalf("got %+v", r)
	}
	const id = "basics/pass-one-fd/dgram/runner/fake"
	r = command(t, "interop", "replay", file+"#"+id)
	for _, want := range []string{id + ": it was fail, and is fail\n", "cloexec@fake: what it receives is not close-on-exec\n", "\nA> send payload=68656c6c6f fds=4\n",
		"\n$ " + program(t, "scm") + " scm-interop-actor\nuse sock=3 fds=4\nsend payload=68656c6c6f fds=4\nend\n",
		"\n$ /bin/sh -c 'exec " + fake + " --fault cloexec'\nuse sock=3 fds=-\nrecv bytes=4096 fds=1\nend\n"} {
		if r.code != 1 || !strings.Contains(r.stdout, want) {
			t.Errorf("exit status %d, no %q in\n%s", r.code, want, r.text())
		}
	}
	// A report can be a stranger's: replay shows what it runs.
	if want := "scm: runs peer fake of the report: /bin/sh -c 'exec " + fake + " --fault cloexec'\n"; r.stderr != want {
		t.Errorf("got %q, want %q", r.stderr, want)
	}
	stranger := write(t, `{"schema": 2, "seconds": 1, "peers": [{"name": "stream", "command": ["/bin/false"]}, {"name": "x", "command": ["/bin/sh", "-c", "echo \n::error::\u001b[2J"]}], "cases": [{"name": "basics/pass-one-fd/stream/x/x", "verdict": "pass"}]}`)
	if r := command(t, "interop", "replay", stranger+"#1"); r.code != 4 || !strings.HasPrefix(r.stderr, "scm: runs peer x of the report: /bin/sh -c 'echo \n| ::error::\\x1b[2J'\nscm: peer x: ") {
		t.Errorf("got %+v", r)
	}
	for _, flag := range []string{"--expect", "--catalogue"} { // of a variable that is not set, say
		if r := command(t, "interop", "replay", flag, "", file+"#"+id); r.code != 2 || r.stderr != fmt.Sprintf("scm: invalid argument \"\" for \"%s\" flag: an empty name\n", flag) {
			t.Errorf("got %+v", r)
		}
	}
	if r := command(t, "interop", "replay", "--help"); !strings.Contains(r.stdout, "This runs the commands that the report has") {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "replay", file+"#1"); r.code > 1 || !strings.Contains(r.stdout, ": it was ") {
		t.Errorf("got %+v", r)
	}
	// What there is of the report of a run that was killed.
	cut := write(t, `{"schema": 2, "peers": [{"name": "stream", "command": ["/bin/false"]}]}`+"\n"+`{"case": {"name": "basics/pass-one-fd/stream/runner/runner", "verdict": "pass"}}`+"\n"+`{"case": {"na`)
	if r := command(t, "interop", "replay", "--expect", write(t, ""), cut+"#1"); r.code != 0 || !strings.Contains(r.stdout, ": it was pass, and is pass\n") || r.stderr != "scm: "+cut+": it is cut off: unexpected EOF\n" {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "replay", cut+"#2"); r.code != 2 || !strings.HasSuffix(r.stderr, ": it is cut off: unexpected EOF\nscm: the report has no case \"2\"\n") {
		t.Errorf("got %+v", r)
	}
	for arg, want := range map[string]string{
		file:                  "scm: \"" + file + "\" is not REPORT#ID\n",
		file + "#0":           "scm: the report has no case \"0\"\n",
		file + "#a/b/c/d/e":   "scm: the report has no case \"a/b/c/d/e\"\n",
		"/nonexistent#1":      "scm: open /nonexistent: no such file or directory\n",
		"/none#such#1":        "scm: open /none#such: no such file or directory\n",
		write(t, "{}") + "#1": "scm: …: schema 0, and this reads 2\n",
	} {
		if r := command(t, "interop", "replay", arg); r.code != 2 || !like(r.stderr, want) {
			t.Errorf("%s: got %+v", arg, r)
		}
	}
}

// A case of a peer inside is played again by the program of the report, or if that is gone by
// the one that is asked.
func TestReplayOfAPeerInside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	const id = "basics/pass-one-fd/stream/runner/net"
	if r := command(t, "interop", "run", "--run", id, "--report", file); r.code != 0 {
		t.Fatalf("got %+v", r)
	}
	text, self := contents(t, file), program(t, "scm")
	other := filepath.Join(t.TempDir(), "scm")
	if err := os.Symlink(self, other); err != nil {
		t.Fatal(err)
	}
	for there, runs := range map[string]string{"/nowhere/scm": self, other: other} {
		elsewhere := strings.ReplaceAll(text, self, there)
		if !strings.Contains(elsewhere, `"`+there+`"`) {
			t.Fatalf("the report has no command of the peer: %s", text)
		}
		r := command(t, "interop", "replay", write(t, elsewhere)+"#"+id)
		if r.code != 0 || !strings.HasPrefix(r.stdout, id+": it was pass, and is pass\n") || !strings.Contains(r.stderr, ": "+runs+" interop peer ") {
			t.Errorf("got %+v", r)
		}
	}
}
