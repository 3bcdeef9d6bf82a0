package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The file of expected failures is rewritten, and a person has to give the reasons.
func TestExpectUpdate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.jsonl")
	peer := "fake=" + program(t, "faulty") + " --fault cloexec"
	expected := write(t, "# Ours.\nbasics/pass-one-fd leak@fake it was so once\n")
	run := func(want int) {
		t.Helper()
		if r := command(t, append([]string{"interop", "run", "--peer", peer, "--report", file, "--expect", expected}, one...)...); r.code != want {
			t.Fatalf("exit status %d, %s", r.code, r.stderr)
		}
	}
	run(1)
	const changes = "- basics/pass-one-fd leak@fake it was so once\n+ basics/pass-one-fd cloexec@fake ?\n"
	before := contents(t, expected)
	if r := command(t, "interop", "expect", file, "--expect", expected); r.code != 1 || r.stdout != changes {
		t.Errorf("got %+v", r)
	}
	if now := contents(t, expected); now != before {
		t.Errorf("it is changed: %s", now)
	}
	if r := command(t, "interop", "expect", file, "--expect", expected, "--update"); r.code != 0 || r.stdout != changes {
		t.Errorf("got %+v", r)
	}
	now := contents(t, expected)
	if now != "# Ours.\nbasics/pass-one-fd cloexec@fake ?\n" {
		t.Errorf("got %s", now)
	}
	run(2) // somebody has to give the reason
	if err := os.WriteFile(expected, []byte(strings.ReplaceAll(now, "?", "it is a fake")), 0o666); err != nil {
		t.Fatal(err)
	}
	run(0)
	if r := command(t, "interop", "expect", file, "--expect", expected); r.code != 0 || r.stdout != "" {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "expect", file, "--update"); r.code != 2 {
		t.Errorf("got %+v", r)
	}
}

// After a run of a part, a line about more than that stays, and is named.
func TestExpectUpdateOfAPart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	const text = "basics/pass-one-fd leak@fake it is so of datagrams\n"
	expected := write(t, text)
	for run, want := range map[string]struct {
		code        int
		list, stays string
	}{
		"basics/pass-one-fd/stream": {1, "= basics/pass-one-fd leak@fake it is so of datagrams: not so in what was played, and stays: a case of it was not played, or is flaky\n", text},
		"basics/pass-one-fd":        {0, "- basics/pass-one-fd leak@fake it is so of datagrams\n", "\n"},
	} {
		if err := os.WriteFile(expected, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if r := command(t, "interop", "run", "--builtin=false", "--peer", "fake="+program(t, "faulty"), "--report", file, "--expect", expected, "--run", run); r.code != 1 {
			t.Fatalf("got %+v", r)
		}
		if r := command(t, "interop", "expect", file, "--expect", expected, "--update"); r.code != want.code || r.stdout != want.list {
			t.Errorf("%s: got %+v", run, r)
		}
		if now := contents(t, expected); now != want.stays {
			t.Errorf("%s: the file is %q", run, now)
		}
	}
}
