package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// oneCase returns a directory with a single scenario, for streams only.
func oneCase(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.Replace(contents(t, "../../interop/catalogue/peer/basics/pass-one-fd.txt"), "\non stream dgram seqpacket\n", "\non stream\n", 1)
	err := errors.Join(os.Mkdir(filepath.Join(dir, "basics"), 0o777),
		os.WriteFile(filepath.Join(dir, "basics", "pass-one-fd.txt"), []byte(text), 0o666))
	fdtest.Must(t, err)
	return dir
}

// expect --update rewrites the last file, here by a link to it. The next run rejects it until the user has replaced
// each "?".
func TestExpectUpdate(t *testing.T) {
	dir, folder := oneCase(t), t.TempDir()
	file, link := filepath.Join(folder, "r.jsonl"), filepath.Join(folder, "link.txt")
	peer := "fake=" + program(t, "faulty") + " --fault cloexec"
	expected := write(t, "# Ours.\nbasics/pass-one-fd leak@fake it was so once\n")
	fdtest.Must(t, os.Symlink(expected, link))
	run := func(want int) {
		t.Helper()
		if r := command(t, "interop", "run", "--catalogue", dir, "--builtin=false", "--peer", peer, "--report", file, "--expect", expected); r.code != want {
			t.Fatalf("exit status %d, %s", r.code, r.stderr)
		}
	}
	run(1)
	const changes = "- basics/pass-one-fd leak@fake it was so once\n+ ** cloexec@fake ? …\n    for example basics/pass-one-fd/stream/runner/fake\n"
	before := contents(t, expected)
	runs(t, result{code: 1, stdout: changes}, "interop", "expect", file, "--catalogue", dir, "--expect", expected)
	if now := contents(t, expected); now != before {
		t.Errorf("without --update, the file has changed to %s", now)
	}
	runs(t, result{stdout: changes, stderr: "scm: complete the reasons …\n"}, "interop", "expect", file, "--catalogue", dir, "--expect", link, "--update")
	now := contents(t, expected)
	if want := "# Ours.\n** cloexec@fake ? …\n"; !like(now, want) {
		t.Errorf("got the file %s, want %s", now, want)
	}
	run(2) // a reason is still missing
	fdtest.Must(t, os.WriteFile(expected, []byte(strings.ReplaceAll(now, "?", "it is a fake")), 0o666))
	run(0)
	runs(t, result{}, "interop", "expect", file, "--catalogue", dir, "--expect", expected)
	fdtest.Must(t, os.WriteFile(expected, []byte("** {leak,cloexec}@fake it is a fake\n"), 0o666))
	const narrowed = "- ** leak@fake it is a fake\n+ ** cloexec@fake it is a fake\n…"
	// no reason is to be completed
	runs(t, result{stdout: narrowed}, "interop", "expect", file, "--catalogue", dir, "--expect", expected, "--update")
	for _, args := range [][]string{{"--update"}, {"--update", "--expect=none"}} {
		runs(t, result{2, "", "scm: --update requires --expect FILE\n"}, append([]string{"interop", "expect", file}, args...)...)
	}
	want := fmt.Sprintf("scm: --expect %q and %q are the same file\n", link, expected)
	runs(t, result{2, "", want}, "interop", "expect", file, "--expect", link, "--expect", expected)
}

// A line that applies to no case makes the run fail, except for the parts other than the first, and expect --update
// removes it. Lines about other versions and kernels stay.
func TestExpectUnmatched(t *testing.T) {
	dir, folder := oneCase(t), t.TempDir()
	expected := filepath.Join(folder, "expected.txt")
	const kept = "# Ours.\n** cloexec@fake it is a fake\n** leak@fake<0.0.1 an old version\n** answer@runner<2.0 an old kernel\n"
	const stale = "basics/pass-two-fds leak@fake it was removed\nbasics/pass-1-fd leak@fake it was renamed\n** leak@gone no such peer\n"
	old := kept + stale + "basics/{pass-one-fd,moved} leak@fake<0.0.1 part of it was removed\n"
	fdtest.Must(t, os.WriteFile(expected, []byte(old), 0o666))
	file := filepath.Join(folder, "r.json")
	run := func(args ...string) result {
		return command(t, append([]string{"interop", "run", "--catalogue", dir, "--builtin=false", "--peer", "fake=" + program(t, "faulty") + " --fault cloexec",
			"--expect", expected, "--report", file, "--report", filepath.Join(folder, "r.xml")}, args...)...)
	}
	const line = "expected.txt:5: basics/pass-two-fds leak@fake applies to no case: no scenario matches \"pass-two-fds\"\n"
	for _, c := range []struct {
		args []string
		code int
	}{{nil, 1}, {[]string{"--run", "basics"}, 0}} {
		r := run(c.args...)
		if failure := strings.Contains(contents(t, filepath.Join(folder, "r.xml")), "<failure"); r.code != c.code || !strings.Contains(r.stdout, line) || failure != (c.code == 1) {
			t.Errorf("%v: got %v, a failure in JUnit: %v; want exit status %d and %s", c.args, r, failure, c.code, line)
		}
	}
	if r := run(); !like(r.stdout, "…\nOf … cases, … failed as expected. Expected failures that apply to no\n  case: 4.\n…") {
		t.Errorf("got %v", r)
	}
	annotations := exec.Command(program(t, "scm"), "interop", "summary", "--annotations", file)
	annotations.Env = append(os.Environ(), "GITHUB_WORKSPACE="+folder)
	const at = "::error file=expected.txt,line=%d,title=scm interop%%3A expected failure::…\n"
	ends(t, result{0, fmt.Sprintf(at+at+at+at, 5, 6, 7, 8), ""}, annotations)
	const changes = "- basics/pass-two-fds leak@fake …\n- basics/pass-1-fd leak@fake …\n- ** leak@gone …\n- basics/{pass-one-fd,moved} leak@fake<0.0.1 …\n+ basics/pass-one-fd leak@fake<0.0.1 …\n"
	expect := []string{"interop", "expect", file, "--catalogue", dir, "--expect", expected}
	runs(t, result{code: 1, stdout: changes}, expect...)
	runs(t, result{stdout: changes}, append(expect, "--update")...)
	if now := contents(t, expected); now != kept+"basics/pass-one-fd leak@fake<0.0.1 part of it was removed\n" {
		t.Errorf("got the file %s", now)
	}
	if r := run(); r.code != 0 || strings.Contains(r.stdout, "apply to no case") {
		t.Errorf("after the update, got %v", r)
	}
}

// expect creates no file for a report that it rejects.
func TestExpectWithInvalidReport(t *testing.T) {
	last := filepath.Join(t.TempDir(), "last.txt")
	file := filepath.Join(t.TempDir(), "r.json")
	runs(t, result{stdout: "…"}, "interop", "run", "--run", "basics/pass-one-fd/stream/runner/net", "--report", file)
	const partial = "scm: the report is not of a whole run, probably because of --run, --skip, --few-pairs or --fail-fast: … was not run\n"
	for _, args := range [][]string{nil, {"--expect=none"}, {"--expect", last, "--update"}} {
		runs(t, result{2, "", partial}, append([]string{"interop", "expect", file}, args...)...)
	}
	for report, want := range map[string]string{
		`"cut": "interrupt\n::error::"`:           ": the report is not of a whole run, because the run was cut short: interrupt\n| ::error::\n",
		`"peers": [{"name": "x\n** answer@y z"}]`: `: invalid peer name "x\n** answer@y z"` + "\n",
	} {
		file := write(t, `{"schema": 2, "seconds": 1, `+report+`}`)
		runs(t, result{2, "", "scm: " + file + want}, "interop", "expect", file, "--expect", last, "--update")
	}
	if _, err := os.Stat(last); err == nil {
		t.Error("the file was created")
	}
}

// expect --update creates the last file, even without a line, and changes no other. It adds no line for a failure that
// another file expects.
func TestExpectUpdateOfLastFile(t *testing.T) {
	dir, folder := oneCase(t), t.TempDir()
	file, last := filepath.Join(folder, "r.json"), filepath.Join(folder, "new", "last.txt")
	const first = "** cloexec@fake it is a fake\n** leak@mad stale\n"
	given := write(t, first)
	fake := program(t, "faulty") + " --fault cloexec"
	run := []string{"interop", "run", "--catalogue", dir, "--builtin=false", "--peer", "fake=" + fake, "--peer", "mad=" + fake, "--report", file}
	runs(t, result{1, "…", ""}, append(run, "--expect", given)...)
	expect := []string{"interop", "expect", file, "--catalogue", dir, "--expect", given, "--expect", last}
	runs(t, result{2, "", "scm: --expect: open " + last + ": no such file or directory (…)\n"}, expect...)
	for range 2 { // the second time, there is nothing to add
		r := command(t, append(expect, "--update")...)
		check(t, "expect --update", r, result{0, "…", "…"})
		const want = "# Expected failures: SCENARIO CHECK@PEER REASON\n** cloexec@mad ? …\n"
		if now := contents(t, last); !like(now, want) || contents(t, given) != first {
			t.Errorf("the files are %s and %s, want %s and %s", now, contents(t, given), want, first)
		}
	}
}

// Without --kernel, a run leaves out the kernel scenarios, also with lines about the kernel, and expect accepts the
// report. A catalogue that has no others needs no --kernel.
func TestRunWithoutKernel(t *testing.T) {
	dir := oneCase(t)
	const id = "basics/fd-lowest-free-number"
	fdtest.Must(t, os.WriteFile(filepath.Join(dir, id+".txt"), []byte(contents(t, "../../interop/catalogue/kernel/"+id+".txt")), 0o666))
	const text = id + " leak@kernel it was so once\n"
	expected, file := write(t, text), filepath.Join(t.TempDir(), "r.json")
	run := []string{"interop", "run", "--json", "--catalogue", dir, "--builtin=false", "--expect", expected}
	r := command(t, append(run, "--report", file)...)
	if all, _ := readJSON(t, r); r.code != 0 || all.Kernel.Verdicts() != 0 || all.NoKernel != 1 || all.Totals.Pass != 1 {
		t.Errorf("got %v, want exit status 0, one pass, and no verdict about the kernel", r)
	}
	runs(t, result{}, "interop", "expect", file, "--catalogue", dir, "--expect", expected, "--update")
	if now := contents(t, expected); now != text {
		t.Errorf("got the file %s, want %s", now, text)
	}
	fdtest.Must(t, os.Remove(filepath.Join(dir, "basics", "pass-one-fd.txt")))
	r = command(t, run...)
	if all, _ := readJSON(t, r); all.Kernel.Verdicts() != 3 || all.NoKernel != 0 {
		t.Errorf("without a peer scenario: got %v, want three verdicts about the kernel", r)
	}
}

// expect accepts the report of a run with --peer, although its partners did not run with each other. It keeps the lines
// about peers that were left out.
func TestExpectAfterARunAboutAPeer(t *testing.T) {
	dir, file := oneCase(t), filepath.Join(t.TempDir(), "r.json")
	fake := program(t, "faulty")
	list := write(t, fmt.Sprintf(`[{"name":"partner","command":[%q,"--fault","cloexec"]},{"name":"absent","why":"no compiler"}]`, fake))
	const others = "** cloexec@partner it is so\n** leak@absent it is so\n"
	expected := write(t, others+"** leak@mine it was so\n")
	run := []string{"interop", "run", "--catalogue", dir, "--builtin=false", "--peers", list, "--peer", "mine=" + fake, "--expect", expected, "--report", file}
	runs(t, result{1, "…", ""}, run...)
	runs(t, result{0, "- ** leak@mine it was so\n", ""}, "interop", "expect", file, "--catalogue", dir, "--expect", expected, "--update")
	if now := contents(t, expected); now != others {
		t.Errorf("got the file %s, want %s", now, others)
	}
	runs(t, result{0, "…\nOf 5 cases, 4 passed, 1 failed as expected.\n…", ""}, run...)
	runs(t, result{}, "interop", "expect", file, "--catalogue", dir, "--expect", expected)
	// A case of the control can be replayed.
	runs(t, result{0, "basics/pass-one-fd/stream/runner/runner: was pass, is now pass\n…", "…"},
		"interop", "replay", file+"#basics/pass-one-fd/stream/runner/runner", "--catalogue", dir, "--expect", expected)
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
	runs(t, result{0, id + ": was expected, is now expected\n…", "…"}, append([]string{"interop", "replay", file + "#" + id}, flags...)...)
	unfinished := write(t, "** cloexec@fake ? it is a fake\n")
	runs(t, result{2, "", "…:1: unfinished reason: ? it is a fake\n…"}, "interop", "replay", file+"#"+id, "--expect", unfinished)
}
