package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expect --update rewrites the file of expected failures. The next run rejects it until the user has replaced each "?".
func TestExpectUpdate(t *testing.T) {
	dir := oneCase(t)
	file := filepath.Join(t.TempDir(), "r.jsonl")
	peer := "fake=" + program(t, "faulty") + " --fault cloexec"
	expected := write(t, "# Ours.\nbasics/pass-one-fd leak@fake it was so once\n")
	run := func(want int) {
		t.Helper()
		if r := command(t, "interop", "run", "--catalogue", dir, "--builtin=false", "--peer", peer, "--report", file, "--expect", expected); r.code != want {
			t.Fatalf("exit status %d, %s", r.code, r.stderr)
		}
	}
	run(1)
	const added = "** cloexec@fake ? does not pass MSG_CMSG_CLOEXEC, so child processes inherit received descriptors\n"
	const changes = "- basics/pass-one-fd leak@fake it was so once\n+ " + added +
		"    for example basics/pass-one-fd/stream/fake/fake\n"
	before := contents(t, expected)
	if r := command(t, "interop", "expect", file, "--catalogue", dir, "--expect", expected); r.code != 1 || r.stdout != changes {
		t.Errorf("got %+v", r)
	}
	if now := contents(t, expected); now != before {
		t.Errorf("the file was changed: %s", now)
	}
	r := command(t, "interop", "expect", file, "--catalogue", dir, "--expect", expected, "--update")
	if r.code != 0 || r.stdout != changes || strings.Contains(r.stderr, "below") {
		t.Errorf("got %+v", r)
	}
	now := contents(t, expected)
	if now != "# Ours.\n"+added {
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
	for _, args := range [][]string{{"--update"}, {"--update", "--expect=none"}} {
		if r := command(t, append([]string{"interop", "expect", file}, args...)...); r.code != 2 || r.stderr != "scm: --update requires --expect FILE\n" {
			t.Errorf("%q: got %+v", args, r)
		}
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
	if now := contents(t, expected); r.code != 2 || !like(r.stderr, "scm: the report is not of a whole run, probably because of --run, --skip, --shard or --fail-fast: … was not run\n") || now != text {
		t.Errorf("got %+v, and the file is %q", r, now)
	}
}

// expect says why the run of a report was cut short, and rejects a report with an invalid name.
func TestExpectWithInvalidReport(t *testing.T) {
	const text = "# Ours.\n"
	expected := write(t, text)
	for report, want := range map[string]string{
		`"cut": "interrupt\n::error::"`:           ": the report is not of a whole run, because the run was cut short: interrupt\n| ::error::\n",
		`"peers": [{"name": "x\n** answer@y z"}]`: `: invalid peer name "x\n** answer@y z"` + "\n",
		`"peers": [{"name": "{m"}]`:               `: invalid peer name "{m"` + "\n",
	} {
		file := write(t, `{"schema": 2, "seconds": 1, `+report+`}`)
		r := command(t, "interop", "expect", file, "--expect", expected, "--update")
		if now := contents(t, expected); r.code != 2 || r.stdout != "" || r.stderr != "scm: "+file+want || now != text {
			t.Errorf("%s: got %+v, and the file is %q", report, r, now)
		}
	}
}

// expect --update rewrites the file to which a link refers. A file cannot be given twice, under different names either.
func TestExpectUpdateOfLink(t *testing.T) {
	dir, folder := oneCase(t), t.TempDir()
	file, link, target := filepath.Join(folder, "r.json"), filepath.Join(folder, "link.txt"), filepath.Join(folder, "target.txt")
	if r := command(t, "interop", "run", "--catalogue", dir, "--builtin=false", "--report", file); r.code != 0 {
		t.Fatalf("got %+v", r)
	}
	if err := os.Symlink("target.txt", link); err != nil {
		t.Fatal(err)
	}
	expect := []string{"interop", "expect", file, "--catalogue", dir, "--update", "--expect", link}
	if r := command(t, expect...); r != (result{}) {
		t.Errorf("got %+v", r)
	}
	if now := contents(t, target); now != "# Expected failures: SCENARIO CHECK@PEER REASON\n" {
		t.Errorf("got %q", now)
	}
	want := fmt.Sprintf("scm: --expect %q and %q are the same file\n", link, target)
	if r := command(t, append(expect, "--expect", target)...); r.code != 2 || r.stderr != want {
		t.Errorf("got %+v", r)
	}
}

// oneCase returns a directory with a single scenario, for streams only.
func oneCase(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.Replace(contents(t, "../../interop/catalogue/peer/basics/pass-one-fd.txt"), "\non stream dgram seqpacket\n", "\non stream\n", 1)
	err := errors.Join(os.Mkdir(filepath.Join(dir, "basics"), 0o777),
		os.WriteFile(filepath.Join(dir, "basics", "pass-one-fd.txt"), []byte(text), 0o666))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// expect --update creates the last file and changes no other. It adds no line for a failure that another file
// expects.
func TestExpectUpdateOfLastFile(t *testing.T) {
	dir, folder := oneCase(t), t.TempDir()
	file, last := filepath.Join(folder, "r.json"), filepath.Join(folder, "new", "last.txt")
	const first = "** cloexec@fake it is a fake\n** leak@mad stale\n"
	given := write(t, first)
	fake := program(t, "faulty") + " --fault cloexec"
	r := command(t, "interop", "run", "--catalogue", dir, "--builtin=false", "--peer", "fake="+fake, "--peer", "mad="+fake,
		"--report", file, "--expect", given)
	if r.code != 1 {
		t.Fatalf("got %+v", r)
	}
	expect := []string{"interop", "expect", file, "--catalogue", dir, "--expect", given, "--expect", last}
	if r := command(t, expect...); r.code != 2 || !like(r.stderr, "scm: --expect: open "+last+": no such file or directory (…)\n") {
		t.Errorf("got %+v", r)
	}
	r = command(t, append(expect, "--update")...)
	if r.code != 0 || strings.Contains(r.stdout, "fake ?") || !strings.Contains(r.stdout, " cloexec@mad ?") || !strings.Contains(r.stderr, last) {
		t.Errorf("got %+v", r)
	}
	now := contents(t, last)
	if !strings.HasPrefix(now, "# Expected failures: SCENARIO CHECK@PEER REASON\n") || !strings.Contains(now, " cloexec@mad ?") || contents(t, given) != first {
		t.Errorf("the files are\n%s\n%s", contents(t, given), now)
	}
}

// expect --update creates a file even if it has no line to add. Without --expect, the command compares the built-in
// list, and with --expect=none no list.
func TestExpectWithBuiltinList(t *testing.T) {
	last := filepath.Join(t.TempDir(), "last.txt")
	const one = "basics/pass-one-fd/stream/runner/net"
	file := filepath.Join(t.TempDir(), "r.json")
	if r := command(t, "interop", "run", "--run", one, "--report", file); r.code != 0 {
		t.Fatalf("got %+v", r)
	}
	// The report is not of a whole run, so both lists are read, and none is written.
	for _, args := range [][]string{nil, {"--expect=none"}, {"--expect", last, "--update"}} {
		r := command(t, append([]string{"interop", "expect", file}, args...)...)
		if r.code != 2 || !like(r.stderr, "scm: the report is not of a whole run, probably because of --run, --skip, --shard or --fail-fast: … was not run\n") {
			t.Errorf("%q: got %+v", args, r)
		}
	}
	if _, err := os.Stat(last); err == nil {
		t.Error("the file was created")
	}

	dir := oneCase(t)
	if r := command(t, "interop", "run", "--catalogue", dir, "--builtin=false", "--report", file); r.code != 0 {
		t.Fatalf("got %+v", r)
	}
	if r := command(t, "interop", "expect", file, "--catalogue", dir, "--expect", last, "--update"); r != (result{}) {
		t.Errorf("got %+v", r)
	}
	if now := contents(t, last); now != "# Expected failures: SCENARIO CHECK@PEER REASON\n" {
		t.Errorf("got %q", now)
	}
	if r := command(t, "interop", "run", "--catalogue", dir, "--builtin=false", "--expect", last); r.code != 0 {
		t.Errorf("got %+v", r)
	}
}

// The command that a report gives for replaying a case repeats all --expect flags.
func TestReplayWithExpectations(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	expected := write(t, "** cloexec@fake it is a fake\n")
	flags := []string{"--expect", "none", "--expect", expected}
	page := filepath.Join(t.TempDir(), "r.html")
	args := runFew(append(flags, "--report", page, "--peer", "fake="+program(t, "faulty")+" --fault cloexec", "--peer", "mad="+program(t, "faulty")+" --fault cloexec", "--report", file)...)
	want := "scm interop replay --expect none --expect " + expected + " " + file + "#"
	if r := command(t, args...); r.code != 1 || !strings.Contains(contents(t, page), want) {
		t.Fatalf("no %q in %s, got %+v", want, page, r)
	}
	const id = "basics/pass-one-fd/stream/runner/fake"
	if r := command(t, append([]string{"interop", "replay", file + "#" + id}, flags...)...); r.code != 0 || !strings.HasPrefix(r.stdout, id+": was expected, is now expected\n") {
		t.Errorf("got %+v", r)
	}
	r := command(t, "interop", "replay", file+"#"+id, "--expect", write(t, "** cloexec@fake ? it is a fake\n"))
	if r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, ":1: unfinished reason: ? it is a fake\n") {
		t.Errorf("got %+v", r)
	}
}
