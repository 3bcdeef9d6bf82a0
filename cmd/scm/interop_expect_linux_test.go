package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expect --update rewrites the file of expected failures. The next run rejects it until the user has replaced each "?".
func TestExpectUpdate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "r.jsonl")
	if err := os.Mkdir(filepath.Join(dir, "basics"), 0o777); err != nil {
		t.Fatal(err)
	}
	scenario := strings.Replace(contents(t, "../../interop/catalogue/peer/basics/pass-one-fd.txt"), "\non stream dgram seqpacket\n", "\non stream\n", 1)
	if err := os.WriteFile(filepath.Join(dir, "basics", "pass-one-fd.txt"), []byte(scenario), 0o666); err != nil {
		t.Fatal(err)
	}
	peer := "fake=" + program(t, "faulty") + " --fault cloexec"
	expected := write(t, "# Ours.\nbasics/pass-one-fd leak@fake it was so once\n")
	run := func(want int) {
		t.Helper()
		if r := command(t, "interop", "run", "--catalogue", dir, "--builtin=false", "--peer", peer, "--report", file, "--expect", expected); r.code != want {
			t.Fatalf("exit status %d, %s", r.code, r.stderr)
		}
	}
	run(1)
	const changes = "- basics/pass-one-fd leak@fake it was so once\n" +
		"+ basics/pass-one-fd/stream/fake/fake cloexec@fake ?\n+ basics/pass-one-fd/stream/runner/fake cloexec@fake ?\n"
	before := contents(t, expected)
	if r := command(t, "interop", "expect", file, "--catalogue", dir, "--expect", expected); r.code != 1 || r.stdout != changes {
		t.Errorf("got %+v", r)
	}
	if now := contents(t, expected); now != before {
		t.Errorf("the file was changed: %s", now)
	}
	if r := command(t, "interop", "expect", file, "--catalogue", dir, "--expect", expected, "--update"); r.code != 0 || r.stdout != changes {
		t.Errorf("got %+v", r)
	}
	now := contents(t, expected)
	if now != "# Ours.\nbasics/pass-one-fd/stream/fake/fake cloexec@fake ?\nbasics/pass-one-fd/stream/runner/fake cloexec@fake ?\n" {
		t.Errorf("got %s", now)
	}
	run(2) // a reason is still missing
	if err := os.WriteFile(expected, []byte(strings.ReplaceAll(now, "?", "it is a fake")), 0o666); err != nil {
		t.Fatal(err)
	}
	run(0)
	if r := command(t, "interop", "expect", file, "--catalogue", dir, "--expect", expected); r.code != 0 || r.stdout != "" {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "expect", file, "--update"); r.code != 2 {
		t.Errorf("got %+v", r)
	}
}

// expect rejects the report of a part of the cases, and does not change the file.
func TestExpectUpdateWithPartialReport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	const text = "basics/pass-one-fd leak@fake it is so of datagrams\n"
	expected := write(t, text)
	if r := command(t, append([]string{"interop", "run", "--peer", "fake=" + program(t, "faulty"), "--report", file, "--expect", expected}, fewCases...)...); r.code != 1 {
		t.Fatalf("got %+v", r)
	}
	r := command(t, "interop", "expect", file, "--expect", expected, "--update")
	if now := contents(t, expected); r.code != 2 || !like(r.stderr, "scm: the report is not of a whole run: … was not run\n") || now != text {
		t.Errorf("got %+v, and the file is %q", r, now)
	}
}
