package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/interop/report"
)

// The catalogue, as others get it.
func TestCatalogueCommands(t *testing.T) {
	r := command(t, "interop", "show", "basics/pass-one-fd", "basics/echo-back")
	text, err := os.ReadFile("../../interop/catalogue/basics/pass-one-fd.txt")
	if err != nil {
		t.Fatal(err)
	}
	if r.code != 0 || !strings.HasPrefix(r.stdout, string(text)) || len(r.stdout) == len(text) {
		t.Errorf("got %+v", r)
	}
	for _, name := range []string{"basics/nothing", "README", "expected", "../catalogue/basics/echo-back"} {
		if r := command(t, "interop", "show", name); r.code != 2 || r.stderr != "scm: no scenario is named \""+name+"\"\n" {
			t.Errorf("got %+v", r)
		}
	}

	dir := filepath.Join(t.TempDir(), "copy")
	if r := command(t, "interop", "copy", dir); r.code != 0 || r.stdout+r.stderr != "" {
		t.Fatalf("got %+v", r)
	}
	for name, from := range map[string]string{"basics/pass-one-fd.txt": "catalogue/basics/pass-one-fd.txt", "README.md": "catalogue/README.md",
		"expected.txt": "catalogue/expected.txt", "PEERS.md": "peers/README.md"} {
		got, err1 := os.ReadFile(filepath.Join(dir, name))
		want, err2 := os.ReadFile(filepath.Join("../../interop", from))
		if err := errors.Join(err1, err2); err != nil || string(got) != string(want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := command(t, "interop", "copy", dir); r.code != 2 || r.stderr != "scm: there is a "+dir+" already\n" {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "copy", "/dev/null/copy"); r.code != 4 {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "copy", filepath.Join(t.TempDir(), "a", "b")); r.code != 0 {
		t.Errorf("folders above it that are not there: %+v", r)
	}
	for _, end := range []string{"/", "/.", "/x/.."} {
		dotted := filepath.Join(t.TempDir(), "new")
		r := command(t, "interop", "copy", dotted+end)
		if _, err := os.Stat(filepath.Join(dotted, "README.md")); r.code != 0 || err != nil {
			t.Errorf("%s: %+v, %v", end, r, err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if r := command(t, "interop", "copy", link); r.code != 2 || r.stderr != "scm: there is a "+link+" already\n" {
		t.Errorf("a link to a folder that is not there: %+v", r)
	}
	// Where it could write to /, that is a folder of its own.
	nowhere := exec.Command(program(t, "scm"), "interop", "copy", "")
	if os.Geteuid() == 0 {
		root := t.TempDir()
		text, err := os.ReadFile(nowhere.Path)
		if err := errors.Join(err, os.WriteFile(filepath.Join(root, "scm"), text, 0o700)); err != nil {
			t.Fatal(err)
		}
		nowhere.Path, nowhere.Dir, nowhere.SysProcAttr = "/scm", "/", &syscall.SysProcAttr{Chroot: root}
	}
	if r := finish(t, nowhere); r.code != 2 || r.stderr != "scm: copy needs the name of a new folder, and not an empty one\n" {
		t.Errorf("got %+v", r)
	}

	// The copy is played as what is inside is.
	inside := command(t, append([]string{"interop", "list"}, one...)...)
	copied := command(t, append([]string{"interop", "list", "--catalogue", dir}, one...)...)
	if inside.code != 0 || inside != copied {
		t.Errorf("got %+v, %+v", inside, copied)
	}

	if r := command(t, "interop", "check-catalogue", dir); r.code != 0 || !like(r.stdout, "… scenarios of peers, … of the kernel\n") {
		t.Errorf("got %+v", r)
	}
	own := t.TempDir()
	bad := filepath.Join(own, "basics", "Bad.txt")
	if err := os.Mkdir(filepath.Dir(bad), 0o777); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"# A rule.\n# Its source.\non stream\nA> end\n":                                            "scm: basics/Bad:4: nobody hears the answer of A\n",
		"# A rule\n# Its source.\non stream\nA> end\nA< ok\n":                                      "scm: basics/Bad: a name is GROUP/ID, of small letters, digits and dashes\nscm: basics/Bad: the rule is no sentence: A rule\n",
		"# A rule.\n# Its source.\non stream\nA> end\nA< ok\n | err\n":                             "scm: basics/Bad:6: an alternative needs a reason: \"err\"\n",
		"# A rule.\n# Its source.\non stream\nR> pending B\n":                                      "scm: basics/Bad: no answer is expected: the scenario cannot fail\n",
		"# A rule.\non stream\nA> end\nA< ok\n":                                                    "scm: basics/Bad: the first two lines say the rule and its source\n",
		"# A rule.\n# Its source.\non stream\nA> end\nA< ok\n | err EIO  # x\n | err EPERM  # x\n": "scm: basics/Bad: a name is GROUP/ID, of small letters, digits and dashes\nscm: basics/Bad: line 5: an alternative needs a reason of its own: err EPERM\n",
	} {
		if err := os.WriteFile(bad, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if r := command(t, "interop", "check-catalogue", own); r.code != 1 || r.stderr != want {
			t.Errorf("%s: got %+v\nwant %s", text, r, want)
		}
	}

	// Expected failures are held against the scenarios, on whatever kernel.
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	write("basics/good.txt", "# A rule.\n# Its source.\non stream\nA> end\nA< ok\n")
	for text, want := range map[string]string{
		"basics/good leak@mine why\n":                       "",
		"[gvisor]\nbasics/good leak@runner why\n":           "",
		"[gvisor]\nbasics/better leak@mine why\n":           "scm: expected.txt: line 2: [gvisor] basics/better leak@mine applies to no case\n",
		"[linux]\nbasics/good/dgram leak@runner why\n":      "scm: expected.txt: line 2: [linux] basics/good/dgram leak@runner applies to no case\n",
		"[gvisor]\nbasics/good answer@kernel no kernel's\n": "scm: expected.txt: line 2: [gvisor] basics/good answer@kernel applies to no case\n",
		"[minix]\n": "scm: expected.txt: line 1: no such kernel: \"minix\"; kernels are [linux gvisor]\n",
	} {
		write("expected.txt", text)
		if r := command(t, "interop", "check-catalogue", own); (r.code == 0) != (want == "") || r.stderr != want {
			t.Errorf("%s: got %+v\nwant %s", text, r, want)
		}
	}
	if r := command(t, "interop", "check-catalogue", t.TempDir()); r.code != 1 || r.stderr != "scm: there is no GROUP/ID.txt\n" {
		t.Errorf("got %+v", r)
	}
}

func TestListScenarios(t *testing.T) {
	r := command(t, append([]string{"interop", "list", "--scenarios"}, one...)...)
	if r.code != 0 || !strings.HasPrefix(r.stdout, "basics/pass-one-fd\tpair\t") || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("got %+v", r)
	}
	r = command(t, append([]string{"interop", "list", "--scenarios", "--json"}, one...)...)
	var list []listed
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != 1 || list[0].Name != "basics/pass-one-fd" || list[0].Hash == "" || list[0].Kernel {
		t.Errorf("got %+v, %v", list, err)
	}
}

// A rule that somebody else wrote is one column of one line, and no command of a CI server.
func TestListScenariosOfOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "group"), 0o777); err != nil {
		t.Fatal(err)
	}
	const text = "# To\tbe ##[add-mask]e\u00e9.\n# unix(7)\non stream\nA> send payload=00 fds=-\nA< ok n=1\n"
	if err := os.WriteFile(filepath.Join(dir, "group", "id.txt"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	list := []string{"interop", "list", "--builtin=false", "--scenarios", "--catalogue", dir}
	if r := command(t, list...); r.code != 0 || r.stdout != "group/id\tpair\tTo\\tbe #\\x23[add-mask]e\u00e9.\n" {
		t.Errorf("got %+v", r)
	}
	r := command(t, append(list, "--json")...)
	if r.code != 0 || !strings.Contains(r.stdout, `"To\tbe #\u0023[add-mask]e\u00e9."`) {
		t.Errorf("got %+v", r)
	}
}

// All parts together are the whole, and no case is in two.
func TestShard(t *testing.T) {
	all := strings.Fields(command(t, "interop", "list", "--builtin=false", "--run", "basics").stdout)
	var parts []string
	for _, i := range []string{"1/3", "2/3", "3/3"} {
		r := command(t, "interop", "list", "--builtin=false", "--run", "basics", "--shard", i)
		if r.code != 0 {
			t.Errorf("got %+v", r)
		}
		parts = append(parts, strings.Fields(r.stdout)...)
	}
	slices.Sort(all)
	slices.Sort(parts)
	if !slices.Equal(all, parts) || len(all) == 0 {
		t.Errorf("got %d cases of %d", len(parts), len(all))
	}
}

func TestSmokeCommand(t *testing.T) {
	fake := program(t, "faulty")
	r := command(t, "interop", "smoke", "--peer", "fake="+fake)
	if r.code != 0 || !strings.HasPrefix(r.stdout, "fake: well, go 1, can stream,") || !strings.Contains(r.stdout, "\nnet: well, ") {
		t.Errorf("got %+v", r)
	}
	r = command(t, "interop", "smoke", "--builtin=false", "--peer", "fake="+fake, "--peer", "bad=false",
		"--peers", write(t, `[{"name":"gone","why":"no compiler"}]`))
	if r.code != 4 || !strings.HasSuffix(r.stdout, "bad: the peer ended: exit status 1\ngone: not there: no compiler\n") || r.stderr != "scm: 2 of 3 peers are not well\n" {
		t.Errorf("got %+v", r)
	}
	r = command(t, "interop", "smoke", "--builtin=false", "--peer", "child=sh -c '"+fake+"; exit'")
	if r.code != 4 || !like(r.stdout, "child: \"end\" leaves the socket open in process …: if that is a shell, or starts the peer, it must do so by exec\n") {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "smoke", "--help"); !strings.Contains(r.stdout, "Exit status: 0 all are, 3 there is none, 4 one is not, or is not there.\n") {
		t.Errorf("got %+v", r)
	}
	if r := command(t, "interop", "smoke", "--builtin=false"); r.code != 3 || r.stderr != "scm: no peers\n" {
		t.Errorf("got %+v", r)
	}
}

// Each form of a report tells of the same cases.
func TestReports(t *testing.T) {
	dir := t.TempDir()
	args := []string{"interop", "run", "--peer", "fake=" + program(t, "faulty") + " --fault cloexec"}
	for _, name := range []string{"r.json", "r.jsonl", "r.xml", "r.md", "r.html", "r.txt"} {
		args = append(args, "--report", filepath.Join(dir, name))
	}
	r := command(t, append(args, one...)...)
	if r.code != 1 {
		t.Fatalf("got %+v", r)
	}
	whole, err1 := report.Read(filepath.Join(dir, "r.json"))
	streamed, err2 := report.Read(filepath.Join(dir, "r.jsonl"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if whole.Totals != streamed.Totals || whole.Totals.Fail != 6 || len(whole.Cases) != len(streamed.Cases) {
		t.Errorf("got %+v, %+v", whole.Totals, streamed.Totals)
	}
	text := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var junit struct {
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal([]byte(text("r.xml")), &junit); err != nil || junit.Failures != 6 {
		t.Errorf("got %+v, %v", junit, err)
	}
	if text("r.txt") != r.stdout || !strings.Contains(text("r.md"), "**not as expected**") || !strings.Contains(text("r.html"), "<!DOCTYPE html>") {
		t.Error("a report is another")
	}
}

// A case is played again, alone, and what to type is told.
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
			t.Errorf("exit status %d, no %q in\n%s%s", r.code, want, r.stdout, r.stderr)
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
	before, err := os.ReadFile(expected)
	if err != nil {
		t.Fatal(err)
	}
	if r := command(t, "interop", "expect", file, "--expect", expected); r.code != 1 || r.stdout != changes {
		t.Errorf("got %+v", r)
	}
	if now, err := os.ReadFile(expected); err != nil || string(now) != string(before) {
		t.Errorf("it is changed: %s, %v", now, err)
	}
	if r := command(t, "interop", "expect", file, "--expect", expected, "--update"); r.code != 0 || r.stdout != changes {
		t.Errorf("got %+v", r)
	}
	now, err := os.ReadFile(expected)
	if err != nil || string(now) != "# Ours.\nbasics/pass-one-fd cloexec@fake ?\n" {
		t.Errorf("got %s, %v", now, err)
	}
	run(2) // somebody has to give the reason
	if err := os.WriteFile(expected, []byte(strings.ReplaceAll(string(now), "?", "it is a fake")), 0o666); err != nil {
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
		if now, err := os.ReadFile(expected); err != nil || string(now) != want.stays {
			t.Errorf("%s: the file is %q, %v", run, now, err)
		}
	}
}

// It goes on until something is not as expected.
func TestRepeat(t *testing.T) {
	dir := t.TempDir()
	// The third time it is started, it is another.
	peer := "x=sh -c 'echo >> " + dir + "/starts; if [ $(wc -l < " + dir + "/starts) -gt 6 ]; then exec " + program(t, "faulty") + " --fault cloexec; else exec " + program(t, "faulty") + "; fi'"
	r := command(t, "interop", "run", "--builtin=false", "--peer", peer, "--run", "basics/pass-one-fd/stream/runner/x", "--repeat-until-unexpected")
	if r.code != 1 || !like(r.stderr, "scm: as expected, … s: round 2\nscm: as expected, … s: round 3\n…") || strings.Count(r.stdout, "\nverdicts: ") != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestFailFastAndRetry(t *testing.T) {
	bad := "fake=" + program(t, "faulty") + " --fault cloexec"
	r := command(t, append([]string{"interop", "run", "--peer", bad, "--fail-fast", "--jobs", "1"}, one...)...)
	if r.code != 1 || !strings.Contains(r.stdout, " 1 unexpected failures,") || !strings.Contains(r.stdout, "\ncut short: the first case that is not as expected\n") {
		t.Errorf("got %+v", r)
	}
	once := filepath.Join(t.TempDir(), "starts")
	moody := "x=sh -c 'echo >> " + once + "; if [ $(wc -l < " + once + ") -eq 2 ]; then exec " + program(t, "faulty") + " --fault cloexec; else exec " + program(t, "faulty") + "; fi'"
	r = command(t, "interop", "run", "--builtin=false", "--peer", moody, "--run", "basics/pass-one-fd/stream/runner/x", "--retry", "1")
	if r.code != 1 || !strings.Contains(r.stdout, "flaky: basics/pass-one-fd/stream/runner/x\n") || !strings.Contains(r.stdout, " 1 flaky\n") {
		t.Errorf("got %+v", r)
	}
}

// A report is held against an older one.
func TestCompareCommand(t *testing.T) {
	dir := t.TempDir()
	fake := program(t, "faulty")
	reports := map[string]string{"good": fake, "bad": fake + " --fault cloexec", "again": fake}
	for name, peer := range reports {
		reports[name] = filepath.Join(dir, name+".json")
		command(t, append([]string{"interop", "run", "--peer", "fake=" + peer, "--report", reports[name]}, one...)...)
	}
	const name = "basics/pass-one-fd/stream/fake/fake: "
	const other = "basics/pass-one-fd/stream/x/y"
	for _, c := range []struct {
		args []string
		code int
		want string // among others
	}{
		{[]string{reports["good"], reports["again"]}, 0, "12 the same, 0 worse, 0 better, 0 other, 0 new\n"},
		{[]string{"--exact", reports["good"], reports["again"]}, 0, "12 the same, "},
		{[]string{reports["good"], reports["bad"]}, 1, "worse: " + name + "pass, then fail cloexec@fake\n"},
		{[]string{reports["bad"], reports["good"]}, 0, "better: " + name + "fail cloexec@fake, then pass\n"},
		{[]string{"--exact", reports["bad"], reports["good"]}, 1, "better: "},
		{[]string{reported(t, other, "crash", "x"), reported(t, other, "leak", "x")}, 1, "worse: " + other + ": fail crash@x, then fail leak@x (leak@x is new)\n"},
	} {
		if r := command(t, append([]string{"interop", "compare"}, c.args...)...); r.code != c.code || !strings.Contains(r.stdout, c.want) || r.stderr != "" {
			t.Errorf("%v: got %+v", c.args, r)
		}
	}
	if r := command(t, "interop", "compare", reports["good"], "/nonexistent"); r.code != 2 || r.stderr != "scm: open /nonexistent: no such file or directory\n" {
		t.Errorf("got %+v", r)
	}
}

// A report that cannot be written costs neither the others nor the matrix.
func TestReportsBesideOneThatFails(t *testing.T) {
	dir := t.TempDir()
	first, second := write(t, ""), write(t, "") // files, in the place of the folders of two reports
	good := filepath.Join(dir, "good.json")
	r := command(t, append([]string{"interop", "run", "--report", filepath.Join(first, "a.json"), "--report", good, "--report", filepath.Join(second, "b.json")}, one...)...)
	if r.code != 4 || !like(r.stderr, "scm: the report cannot be written: …"+first+"…\nscm: the report cannot be written: …"+second+"…\n") || !strings.Contains(r.stdout, "stream") {
		t.Errorf("got %+v", r)
	}
	if _, err := report.Read(good); err != nil {
		t.Error(err)
	}
}
