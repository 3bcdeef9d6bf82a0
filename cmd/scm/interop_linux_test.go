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
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
)

// fewCases selects a few cases, all with the runner.
var fewCases = []string{"--builtin=false", "--run", "basics/pass-one-fd"}

// runFew returns the arguments of a run of fewCases.
func runFew(args ...string) []string {
	return slices.Concat([]string{"interop", "run"}, fewCases, args)
}

// An expected failure is no error if pairs are left out.
func TestFewPairs(t *testing.T) {
	fake := program(t, "faulty")
	list := write(t, fmt.Sprintf(`[{"name":"new","command":[%q],"few_pairs":true},{"name":"old","command":[%[1]q]}]`, fake))
	expect := write(t, "** leak@new:sends it is a fake\n")
	for run, want := range map[string][]string{
		"basics/pass-one-fd/stream/new":   {"new/new", "new/scm-purego", "new/runner"},
		"basics/pass-one-fd/stream/*/new": {"new/new", "scm-purego/new", "runner/new"},
		"basics/pass-one-fd/stream/old":   {"old/old", "old/scm-purego", "old/net", "old/runner"},
	} {
		r := command(t, "interop", "list", "--few-pairs", "--peers", list, "--expect", expect, "--run", run, "--skip", "**/{scm-pair-*,scm-fdchannel-*,xsys}/**")
		if got := strings.ReplaceAll(r.stdout, "basics/pass-one-fd/stream/", ""); got != strings.Join(want, "\n")+"\n" {
			t.Errorf("%s: got %s%s, want %v", run, got, r.stderr, want)
		}
	}
}

// With --peer, list has the cases that run runs: those in which the peer takes part, and the runner's own. Kernel
// scenarios need --kernel, or a pattern of their own, such as the names that completion proposes.
func TestCasesOfAPeer(t *testing.T) {
	fake := program(t, "faulty")
	list := write(t, fmt.Sprintf(`[{"name":"x","command":[%q]},{"name":"y","command":[%[1]q]}]`, fake))
	args := []string{"interop", "list", "--builtin=false", "--peers", list, "--peer", "mine=" + fake}
	const one, kernel = "basics/pass-one-fd/stream", "basics/fd-lowest-free-number/stream"
	const mine = "mine/mine mine/x mine/y mine/runner x/mine y/mine runner/mine runner/runner"
	const others = "mine/mine mine/x mine/y mine/runner x/mine x/x x/y x/runner y/mine y/x y/y y/runner runner/mine runner/x runner/y runner/runner"
	for flags, want := range map[string]string{
		"--run " + one:                                            mine,
		"--run " + one + " --all-pairs":                           others,
		"--run " + one + " --run " + kernel:                       "kernel/kernel " + mine,
		"--run basics/{fd-lowest-free-number,pass-one-fd}/stream": "kernel/kernel " + mine,
		"--run basics/{fd-lowest-free-number,pass-one-fd}/stream --skip **/kernel/kernel": mine,
	} {
		r := command(t, append(args, strings.Fields(flags)...)...)
		got := strings.NewReplacer(one+"/", "", kernel+"/", "", "\n", " ").Replace(r.stdout)
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: got %s%s, want %s", flags, got, r.stderr, want)
		}
	}
	if r := command(t, "__complete", "interop", "run", "--run", ""); !strings.Contains(r.stdout, "\nbasics/fd-lowest-free-number\n") {
		t.Errorf("completion does not propose a kernel scenario, which --run selects: %v", r)
	}
	const group = "--run basics/*/stream/*/runner"
	if r := command(t, append(args, strings.Fields(group)...)...); strings.Contains(r.stdout, "/kernel/") {
		t.Errorf("%s selects kernel scenarios: %s", group, r.stdout)
	}
	whole := append(args, "--skip", "!basics", "--skip", "**/kernel/kernel")
	if r := command(t, whole...); r.code != 0 || strings.Contains(r.stdout, "/kernel/") || strings.Contains(r.stdout, "/x/y") {
		t.Errorf("%q: got %v, want the cases of mine", whole, r)
	}
	want := "scm: pattern \"**/x/y\" matches no case of mine: to run the other peers with each other, add --all-pairs\n"
	runs(t, result{2, "", want}, append(args, "--run", "**/x/y")...)
}

func TestExitCodes(t *testing.T) {
	fake := program(t, "faulty")
	folder := t.TempDir()
	dumb := func(can string) string {
		return "x=sh " + write(t, "while read -r verb rest; do case $verb in hello) echo ok name=x can="+can+";; send) echo err EIO;; *) echo unsupported;; esac; done\n")
	}
	dgramOnly := t.TempDir()
	const text = "# Bytes pass.\n# unix(7)\non dgram\nA> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\n"
	fdtest.Must(t, errors.Join(os.Mkdir(filepath.Join(dgramOnly, "group"), 0o777), os.WriteFile(filepath.Join(dgramOnly, "group", "id.txt"), []byte(text), 0o666)))
	stale := write(t, "** leak@fake:receives it is a fake")
	unfinished := write(t, "# Ours.\n** cloexec@fake ? it is a fake\n** leak@fake it is so\n** {file,crash}@fake flaky: ?\n")
	alsoUnfinished := write(t, "** hang@fake ?\n")
	complaint := "scm: " + unfinished + ":2: unfinished reason: ? it is a fake\nscm: " + unfinished + ":4: unfinished reason: flaky: ?\n" +
		"scm: " + alsoUnfinished + ":1: unfinished reason: ?\nscm: complete the reasons of these lines, and remove the \"?\"\n"
	// This peer creates a file when it starts.
	started := filepath.Join(t.TempDir(), "started")
	marking := "fake=sh -c ': > " + started + "; exec " + fake + "'"
	orphan := write(t, "#!/nonexistent/sh\n")
	fdtest.Must(t, os.Chmod(orphan, 0o700))
	run := func(args ...string) []string { return append([]string{"run"}, args...) }
	whole := func(args ...string) []string { return slices.Concat([]string{"run"}, fewCases, args) }
	// A run reads the whole catalogue. One group takes a fraction of the time.
	group := t.TempDir()
	fdtest.Must(t, os.CopyFS(filepath.Join(group, "basics"), os.DirFS("../../interop/catalogue/peer/basics")))
	with := func(args ...string) []string { return whole(append(args, "--catalogue", group)...) }
	peer := func(text string) []string { return with("--peer", text) }
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout string // a part of it
		stderr string // all of it; "…" matches anything
	}{
		{"as expected", whole(), 0, "Of 3 cases, 3 passed.\n", ""},
		{"a good peer", peer("fake=" + fake), 0, "2 peers of ", ""},
		{"a failure", peer("fake=" + fake + " --fault cloexec"), 1,
			"cloexec@fake: a received descriptor is not close-on-exec\nThe scenario (A is the runner, B is fake): A message of five bytes", ""},
		{"an expected failure", with("--peer", "fake="+fake+" --fault cloexec", "--expect", write(t, "** cloexec@fake it is a fake")), 0,
			"Of 9 cases, 3 passed, 6 failed as expected.\n", ""},
		{"expected failures in two files", with("--peer", "fake="+fake+" --fault cloexec", "--peer", "mad="+fake+" --fault cloexec",
			"--expect", write(t, "** cloexec@fake it is a fake"), "--expect", write(t, "** cloexec@mad it is mad")), 0, " failed as expected.\n", ""},
		{"an expected failure that passes", with("--peer", "fake="+fake, "--expect", stale), 1,
			"Example: basics/pass-one-fd/stream/runner/fake\nexpected to fail, but does not: " + stale + ":1: ** leak@fake:receives\n", ""},
		{"a flaky failure that occurs", with("--peer", "fake="+fake+" --fault cloexec", "--retry", "1", "--expect", write(t, "** cloexec@fake flaky: it is a fake")), 0,
			"Of 9 cases, 3 passed, 6 failed as expected.\n", ""},
		{"a flaky failure that does not occur", with("--peer", "fake="+fake, "--retry", "1", "--expect", write(t, "** cloexec@fake flaky: it is a fake")), 0,
			"Of 9 cases, 9 passed.\n", ""},
		{"the built-in list", run("--run", "truncation/ctrunc-empty-packet-of-two/seqpacket/runner/net"), 0, "Of 1 case, 1 failed as expected.\n", ""},
		{"the built-in list and a file", run("--run", "truncation/ctrunc-empty-packet-of-two/seqpacket/runner/net", "--all-pairs", "--peer", "fake="+fake, "--expect", write(t, "** cloexec@fake it is a fake")), 0,
			"Of 1 case, 1 failed as expected.\n", ""},
		{"no built-in list", run("--run", "truncation/ctrunc-empty-packet-of-two/seqpacket/runner/net", "--expect=none", "--expect", "none"), 1, "Of 1 case, 1 did not end as expected.\n", ""},
		{"an empty file of expectations", with("--expect", ""), 0, "3 passed", ""},

		{"a bad pattern", run("--run", "a//b"), 2, "", "scm: pattern \"a//b\": an empty part\n"},
		{"patterns of a file", run("--builtin=false", "--run", "@"+write(t, "# Two types.\n\nbasics/pass-one-fd/stream\n  basics/pass-one-fd/dgram\n")), 0,
			"Of 2 cases, 2 passed.\n", ""},
		{"patterns of a file to skip", with("--skip", "@"+write(t, "basics/*/{stream,dgram}")), 0, "Of 1 case, 1 passed.\n", ""},
		{"no file of patterns", run("--run", "@/nonexistent"), 2, "", "scm: open /nonexistent: no such file or directory\n"},
		{"a file of no patterns", run("--run", "@"+write(t, "# None.\n")), 2, "", "scm: …/file: the file contains no pattern\n"},
		{"a bad pattern in a file", run("--skip", "@"+write(t, "# One.\n[a\n")), 2, "", "scm: …/file: line 2: pattern \"[a\": syntax error in pattern\n"},
		{"nothing matches", with("--run", "basics/nothing"), 2, "", "scm: pattern \"basics/nothing\" matches no case: no scenario matches \"nothing\"\n"},
		{"an argument", run("now"), 2, "", "scm: unexpected argument \"now\": to select cases, use --run; to add a peer, use --peer\nusage: …"},
		{"a timeout of 0", run("--timeout", "0s"), 2, "", "scm: --timeout and --jobs must be greater than 0\n"},
		{"a negative number of retries", run("--retry", "-1"), 2, "", "scm: --retry must not be negative\n"},
		{"a report of unknown format", run("--report", "report.pdf"), 2, "",
			"scm: report \"report.pdf\": the file name must end in one of .html .json .jsonl .txt .xml\n"},
		{"no such catalogue", run("--catalogue", "/nonexistent"), 2, "", "scm: no scenario in /nonexistent: there must be a peer/GROUP/ID.txt, kernel/GROUP/ID.txt or GROUP/ID.txt\n"},
		{"a peer named kernel", run("--peer", "kernel=y"), 2, "", "scm: the peer name \"kernel\" is reserved: choose another name\n"},
		{"a peer named runner, in a list", run("--peers", write(t, `[{"name":"runner","command":["y"]}]`)), 2, "", "scm: …: the peer name \"runner\" is reserved: choose another name\n"},
		{"a peer without a command", run("--peer", "x"), 2, "", "scm: --peer \"x\" is not NAME=COMMAND\n"},
		{"a name that is a pattern", run("--peer", "x*=x"), 2, "", "scm: --peer \"x*=x\" is not NAME=COMMAND\n"},
		{"a name of two lines", run("--peer", "x\n::error::woe=x"), 2, "", "scm: --peer \"x\\n::error::woe=x\" is not NAME=COMMAND\n"},
		{"a peer with the name of one in the repository", whole("--peer", "python="+fake+" --fault cloexec"), 2, "",
			"scm: --peer \"python\" has the name of a peer in the repository, whose expected failures would hide its own: …\n"},
		{"a peer with the name of a built-in one", whole("--peer", "net="+fake), 2, "", "scm: --peer \"net\" has the name of a peer in the repository, …\n"},
		{"a name in the repository, with a file of expectations", whole("--peer", "python="+fake, "--expect", write(t, "# None.\n")), 2, "",
			"scm: --peer \"python\" has the name of a peer in the repository, whose expected failures would hide its own: choose another name, or use --expect=none\n"},
		{"a name in the repository, without the built-in list", whole("--peer", "python="+fake, "--expect=none", "--expect", write(t, "# None.\n")), 0, "2 peers of ", ""},
		{"a name in the repository, with a catalogue", run("--catalogue", dgramOnly, "--builtin=false", "--peer", "python="+fake), 0, " passed", ""},
		{"a second peer of the same name, in a list", run("--peer", "x=y", "--peers", write(t, `[{"name":"x","command":["y"]}]`)), 2, "", "scm: two peers are named \"x\"\n"},
		{"no list of peers", run("--peers", "/nonexistent"), 2, "", "scm: open /nonexistent: no such file or directory\n"},
		{"an invalid list of peers", run("--peers", write(t, "{}")), 2, "", "scm: …cannot unmarshal…\n"},
		{"an unknown key in a list of peers", with("--peers", write(t, `[{"name":"x","command":["`+fake+`"],"few-pairs":true}]`)), 0, " passed",
			"scm: warning: --peers …/file: json: unknown field \"few-pairs\", which is ignored\n"},
		{"a peer of a list that cannot run", run("--peers", write(t, `[{"name":"gone","lang":"c","why":"no compiler"}]`), "--with", "gone"), 4, "", "scm: --with gone: no compiler\n"},
		{"a language of a list whose peers cannot run", run("--peers", write(t, `[{"name":"gone","lang":"c","why":"no compiler"},{"name":"here","lang":"go","command":["x"]}]`), "--with", "c"), 4, "", "scm: --with c: no compiler\n"},
		{"a peer that is not in the list", run("--peers", write(t, "[]"), "--with", "gone"), 2, "", "scm: --with \"gone\": …/file has no such peer or language\n"},
		{"peers in one word", run("--peers", write(t, "[]"), "--with", "rust,csrc"), 2, "", "scm: --with \"rust,csrc\": for two peers or languages, give --with twice\n"},
		{"a peer of no list", run("--with", "gone"), 2, "", "scm: --with selects peers from the list of --peers\n"},
		{"no file of expectations", run("--expect", "/nonexistent"), 2, "",
			"scm: --expect: open /nonexistent: no such file or directory (\"scm interop expect --update\" creates the file from a report)\n"},
		{"a file of expectations that is named none", run("--expect", "./none"), 2, "", "scm: --expect: open ./none: no such file or directory (…)\n"},
		{"a file of expectations twice", run("--expect", stale, "--expect", "/."+stale), 2, "", "scm: --expect \"" + stale + "\" and \"/." + stale + "\" are the same file\n"},
		{"an expectation for an unknown peer, in a part", with("--expect", write(t, "** leak@no-such why")), 0,
			"/file:1: ** leak@no-such applies to no case: no peer is named \"no-such\"\n", ""},
		{"unfinished reasons", run("--peer", marking, "--expect", unfinished, "--expect", alsoUnfinished), 2, "", complaint},
		{"unfinished reasons in list", []string{"list", "--peer", marking, "--expect", unfinished, "--expect", alsoUnfinished}, 2, "", complaint},

		{"nothing is supported", run("--run", "limits/limit-253-ok/*/*/scm-pair-purego"), 3, "No case has a verdict. Unsupported: ", "scm: nothing ran\n"},
		{"all is skipped", with("--skip", "basics"), 3, "No case has a verdict.\n", "scm: nothing ran\n"},
		{"nothing to list", slices.Concat([]string{"list"}, fewCases, []string{"--skip", "basics"}), 3, "", "scm: no cases\n"},
		{"a peer that supports nothing", peer(dumb("multi")), 3, "No case has a verdict. Unsupported: 9.\nx: no case has a verdict; ", "scm: peer x: none of its cases has a verdict\n"},
		{"a partner that supports nothing", whole("--catalogue", group, "--peers", write(t, `[{"name":"dumb","command":["sh","`+strings.TrimPrefix(dumb("multi"), "x=sh ")+`"]}]`), "--peer", "fake="+fake), 0,
			"Of 9 cases, 9 passed. Unsupported: 6.\nfake: of 9 cases, 9 passed; no verdict in 165 of its 174 cases: not selected\n  (159), not supported by its partner (6).\n", ""},
		{"only the control", run("--builtin=false", "--run", "basics/pass-one-fd/*/runner/runner", "--peer", "fake="+fake), 0, "Of 3 cases, 3 passed.\n", ""},
		{"a peer that supports cases of other types only", with("--skip", "*/*/dgram", "--peer", dumb("dgram")), 3, "\nx: no case has a verdict; ", "scm: nothing ran\n"},
		{"one of two peers that supports cases of other types only", with("--skip", "*/*/dgram", "--peer", dumb("dgram"), "--peer", "fake="+fake), 0, "\nx: no case has a verdict; ", ""},
		{"a partial run in which a peer supports nothing", run("--catalogue", dgramOnly, "--run", "**", "--builtin=false", "--peer", dumb("stream")), 3, "\nx: no case has a verdict; ",
			"scm: peer x: none of its cases has a verdict\n"},
		{"a part of a run, with a peer that supports no case with a descriptor", whole("--peer", dumb("stream,dgram,seqpacket payload="+strings.Repeat("21", 17))), 3,
			" its payload is 2121",
			"scm: peer x: no case that it supports passes a descriptor\n"},
		{"a part of a run without descriptors", run("--builtin=false", "--run", "death/plain-send-after-close/stream", "--peer", "fake="+fake), 0,
			"\nfake: of 1 case, 1 passed; ", ""},
		{"a catalogue that a built-in peer does not support", run("--catalogue", dgramOnly), 0, " passed", ""},

		{"a peer that does not exist", peer("x=/nonexistent/peer"), 4, "", "scm: peer x: …/nonexistent/peer: no such file or directory\n"},
		{"a peer without its interpreter", peer("x=" + orphan), 4, "", "scm: peer x: …: no such file or directory (the program exists, but its interpreter or loader does not)\n"},
		{"a peer that prints control characters", peer(`x=sh -c "read -r l; printf 'Welcome to \007\n'; cat"`), 4, "", "scm: peer x: not text: \"Welcome to \\a\"\n"},
		{"a peer that does not answer hello", peer(`x=sh -c "read -r l; echo Hello, world; cat"`), 4, "", "scm: peer x: not an answer to hello: \"Hello, world\"\n"},
		{"a peer that never reads", peer("x=" + fake + " --fault noread"), 4, "", "scm: peer x: no answer in time (10s): is standard output flushed after each line, or is the machine slow? (see --timeout)\n"},
		{"a peer that answers only hello", with("--timeout", "500ms", "--peer", "x=sh "+write(t, "while read -r verb rest; do case $verb in hello) echo ok name=x can=stream,dgram,seqpacket;; use) ;; *) echo unsupported;; esac; done\n")), 1,
			"\n5 cases in a row with the same peer, or 10 in all, hung because of x, so its", ""},
		{"two broken peers", with("--peer", "x=false", "--peer", "good="+fake, "--peer", "y=false"), 4, "",
			"scm: peer x: the peer ended: exit status 1\nscm: peer y: the peer ended: exit status 1\n"},
		{"a broken peer in list", []string{"list", "--peer", "x=false"}, 4, "", "scm: peer x: the peer ended: exit status 1\n"},
		{"a peer that starts only once", peer("x=sh -c 'test ! -e " + folder + "/once && : > " + folder + "/once && exec " + fake + "'"), 4,
			"\nx: the peer ended: exit status 1\n", ""},
		{"a report that cannot be written", with("--report", "/dev/null/report.json"), 4, "Of 3 cases, 3 passed.\n", "scm: cannot write the report: …\n"},
		{"a report that cannot be streamed", with("--report", "/dev/null/report.jsonl"), 4, "", "scm: cannot write the report: …\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := command(t, append([]string{"interop"}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.stdout, c.stdout) || !like(r.stderr, c.stderr) || (c.stdout == "") != (r.stdout == "") {
				t.Errorf("exit status %d\n%s\nwant %d, %q, %q", r.code, r.text(), c.code, c.stdout, c.stderr)
			}
		})
	}
	t.Cleanup(func() { // after the parallel tests
		if _, err := os.Stat(started); err == nil {
			t.Error("a peer was started although a reason is unfinished")
		}
	})
}

// Every format of a report contains the same cases. If one report cannot be written, the others still are.
func TestReports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	args := runFew("--json", "--peer", "fake="+program(t, "faulty")+" --fault cloexec", "--report", filepath.Join(write(t, ""), "no-folder.json"))
	for _, name := range []string{"r.json", "r.jsonl", "r.xml", "r.html", "r.txt"} {
		args = append(args, "--report", filepath.Join(dir, name))
	}
	r := command(t, args...)
	if r.code != 4 || !like(r.stderr, "scm: cannot write the report: …\n") {
		t.Fatalf("a report that cannot be written: got %+v, want exit status 4", r)
	}
	whole, err1 := report.Read(filepath.Join(dir, "r.json"))
	streamed, err2 := report.Read(filepath.Join(dir, "r.jsonl"))
	fdtest.Must(t, errors.Join(err1, err2))
	if whole.Totals != streamed.Totals || whole.Totals.Fail != 6 || len(whole.Cases) != 12 || len(streamed.Cases) != 12 {
		t.Errorf("got %+v, and in the stream %+v; want 6 failures in 12 cases", whole.Totals, streamed.Totals)
	}
	if whole.Schema != report.Schema || whole.Version == "" || whole.System.Kernel == "" ||
		whole.System.User != os.Getuid() || whole.Started.IsZero() {
		t.Errorf("got %+v, want the schema, a version, the kernel, the user and the start", whole)
	}
	for _, c := range whole.Cases {
		failed := strings.HasSuffix(c.Name, "/fake")
		if failed != (len(c.Findings) > 0) || len(c.Transcript) == 0 || c.Hash == "" ||
			failed && (c.Findings[0].Check != "cloexec" || c.Findings[0].Peer != "fake") {
			t.Errorf("%s: got %+v, want a transcript and a hash; cloexec@fake: %v", c.Name, c, failed)
		}
	}
	text := func(name string) string { return contents(t, filepath.Join(dir, name)) }
	var junit struct {
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal([]byte(text("r.xml")), &junit); err != nil || junit.Failures != 6 {
		t.Errorf("r.xml: got %+v, %v; want 6 failures", junit, err)
	}
	if text("r.json") != r.stdout || !strings.Contains(text("r.txt"), "fail: ") || !strings.Contains(text("r.html"), "<!DOCTYPE html>") {
		t.Error("a report has the wrong content")
	}
}

// If a run ends before its first case, each of its reports replaces the previous one and gives the reason. None can be
// mistaken for that of a passing run.
func TestReportsWithoutCases(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "r.json")
	var args []string
	for _, ext := range []string{".json", ".jsonl", ".xml", ".html", ".txt"} {
		args = append(args, "--report", filepath.Join(dir, "r"+ext))
	}
	runs(t, result{0, "…", ""}, runFew(args...)...)
	runs(t, result{2, "", "…"}, runFew(append(args, "--run", "a//b")...)...)
	if r, err := report.Read(none); err != nil || r.Totals.Pass == 0 {
		t.Fatalf("wrong usage changed the report: %+v, %v", r, err)
	}
	runs(t, result{4, "", "scm: peer bad: the peer ended: exit status 1\n"}, runFew(append(args, "--peer", "bad=false")...)...)
	runs(t, result{4, "…\"error\": \"peer bad: …", "…"}, runFew("--json", "--peer", "bad=false")...)
	const why = "peer bad: the peer ended: exit status 1"
	for ext, want := range map[string]string{
		".json": `"error": "` + why, ".jsonl": `"error":"` + why, ".xml": `<error message="did not run: ` + why,
		".html": "<h1>scm interop: did not run: " + why, ".txt": "\ndid not run: " + why,
	} {
		if text := contents(t, filepath.Join(dir, "r"+ext)); !strings.Contains(text, want) || strings.Contains(text, "basics/") {
			t.Errorf("%s: no %q in\n%s", ext, want, text)
		}
	}
	for _, file := range []string{none, none + "l"} {
		refused := result{2, "", "scm: " + file + ": the run ended before its first case: " + why + "\n"}
		runs(t, refused, "interop", "expect", "--update", "--expect", filepath.Join(dir, "list"), file)
		runs(t, result{0, "## scm interop: **did not run: " + why + "**\n…", ""}, "interop", "summary", file)
		runs(t, result{0, "::error title=scm interop::did not run: " + why + "\n", ""}, "interop", "summary", "--annotations", file)
	}
}

// faultyAt returns a peer that has a fault if the number of its start satisfies the comparison with n.
func faultyAt(t *testing.T, comparison string, n int) string {
	starts, fake := filepath.Join(t.TempDir(), "starts"), program(t, "faulty")
	return fmt.Sprintf("x=sh -c 'echo >> %[1]s; if [ $(wc -l < %[1]s) %[2]s %[3]d ]; then exec %[4]s --fault cloexec; else exec %[4]s; fi'", starts, comparison, n, fake)
}

func TestRepeatFailFastAndRetry(t *testing.T) {
	alone := []string{"interop", "run", "--builtin=false", "--run", "basics/pass-one-fd/stream/runner/x", "--peer"}
	r := command(t, append(alone, faultyAt(t, "-gt", 6), "--repeat-until-unexpected")...)
	const rounds = "scm: as expected after … s, starting round 2\n" +
		"scm: as expected after … s, starting round 3\n…"
	if n := strings.Count(r.stdout, "\nOf 1 case, "); r.code != 1 || !like(r.stderr, rounds) || n != 1 {
		t.Errorf("--repeat-until-unexpected: got %+v, want exit status 1, one summary and %s", r, rounds)
	}
	const cut = "…\nOf … case…, 1 did not end as expected.\n…\ncut short after … of 12 cases: the first case that is not as expected\n"
	fake := "x=" + program(t, "faulty") + " --fault cloexec"
	runs(t, result{1, cut, "…"}, runFew("--peer", fake, "--fail-fast", "--jobs", "1")...)
	const flaky = "the outcome differs when the case is run again: 1 case\nExample: basics/pass-one-fd/stream/runner/x\n…"
	runs(t, result{1, flaky, "…"}, append(alone, faultyAt(t, "-eq", 2), "--retry", "1")...)
}

func TestList(t *testing.T) {
	args := []string{"interop", "list", "--builtin=false", "--peer", "x=" + program(t, "faulty"),
		"--run", "basics/pass-one-fd/stream", "--skip", "**/runner/x", "--run", "basics/pass-two-fds/stream/x/x"}
	want := []string{
		"basics/pass-one-fd/stream/x/x", "basics/pass-one-fd/stream/x/runner", "basics/pass-one-fd/stream/runner/runner",
		"basics/pass-two-fds/stream/x/x",
	}
	runs(t, result{stdout: strings.Join(want, "\n") + "\n"}, args...)
	var names []string
	if err := json.Unmarshal([]byte(command(t, append(args, "--json")...).stdout), &names); err != nil || !slices.Equal(names, want) {
		t.Errorf("list --json: got %q, %v; want %q", names, err, want)
	}
	const lines = "basics/pass-one-fd\tpair\t…\nbasics/pass-two-fds\tpair\t…\n"
	runs(t, result{stdout: lines}, append(args, "--scenarios")...)
	var list []struct {
		Name, Hash string
		Kernel     bool
		IDs        []string
	}
	err := json.Unmarshal([]byte(command(t, append(args, "--scenarios", "--json")...).stdout), &list)
	if err != nil || len(list) != 2 || list[0].Name != "basics/pass-one-fd" || list[0].Hash == "" || list[0].Kernel ||
		!slices.Equal(list[0].IDs, []string{"pass-one-fd"}) {
		t.Errorf("list --scenarios --json: got %+v, %v; want pass-one-fd first, with its hash", list, err)
	}

}

// Replay runs one case again, and prints the commands to type into each peer.
func TestReplay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	fake, self := program(t, "faulty"), program(t, "scm")
	runs(t, result{1, "…", "…"}, "interop", "run", "--run", "basics/pass-one-fd", "--all-pairs",
		"--peer", "fake="+fake+" --fault cloexec", "--report", file)
	const id, inside = "basics/pass-one-fd/dgram/runner/fake", "basics/pass-one-fd/stream/runner/net"
	r := command(t, "interop", "replay", file+"#"+id)
	for _, want := range []string{id + ": was fail, is now fail\n", "cloexec@fake: a received descriptor is not close-on-exec\n", "\nA> send payload=68656c6c6f fds=4\n",
		"\n$ " + self + " scm-interop-actor\nuse sock=3 fds=4\nsend payload=68656c6c6f fds=4\nend\n",
		"\n$ " + fake + " --fault cloexec\nuse sock=3 fds=-\nrecv bytes=4096 fds=1\nend\n"} {
		if r.code != 1 || !strings.Contains(r.stdout, want) {
			t.Errorf("exit status %d, no %q in\n%s", r.code, want, r.text())
		}
	}
	if want := "scm: running peer fake of the report: " + fake + " --fault cloexec\n"; r.stderr != want {
		t.Errorf("got %q, want %q", r.stderr, want)
	}
	// A built-in peer is run by the scm in the report or, if that no longer exists, by this one.
	other := filepath.Join(t.TempDir(), "scm")
	fdtest.Must(t, os.Symlink(self, other))
	for recorded, want := range map[string]string{"/nowhere/scm": self, other: other} {
		runs(t, result{0, inside + ": was pass, is now pass\n…", "…: " + want + " interop peer …"},
			"interop", "replay", write(t, strings.ReplaceAll(contents(t, file), self, recorded))+"#"+inside)
	}
	// The incomplete report of a run that was killed.
	const head = `{"schema": 2, "peers": [{"name": "stream", "command": ["/bin/false"]}]}` + "\n"
	cut := write(t, head+`{"case": {"name": "basics/pass-one-fd/stream/runner/runner", "verdict": "pass"}}`+"\n"+`{"case": {"na`)
	incomplete := "scm: " + cut + ": the report is incomplete: unexpected EOF\n"
	runs(t, result{0, "…: was pass, is now pass\n…", incomplete},
		"interop", "replay", "--expect=none", cut+"#1")
	for arg, want := range map[string]string{
		file:                "scm: \"" + file + "\" is not REPORT#ID\nusage: scm interop replay REPORT#ID [flags]\n…",
		file + "#0":         "scm: the report has no case \"0\"; it has …\n",
		file + "#a/b/c/d/e": "scm: the report has no case \"a/b/c/d/e\"; it has …\n",
		cut + "#2":          "scm: …: the report is incomplete: unexpected EOF\nscm: the report has no case \"2\"; it has 1\n",
		cut + "#basics/pass-one-fd": "scm: …: the report is incomplete: unexpected EOF\nscm: the report has no case \"basics/pass-one-fd\"; it has 1, of which these match:\n" +
			"| basics/pass-one-fd/stream/runner/runner\n",
		cut + "#pass-one-fd":                     "…; it has 1, of which these match:\n| basics/pass-one-fd/stream/runner/runner\n",
		cut + "#basics/pass-noe-fd":              "…; it has 1; did you mean \"basics/pass-one-fd\"?\n",
		cut + "#basics/pass-one-fd/stream/rnner": "…; it has 1; did you mean \"basics/pass-one-fd/stream/runner\"?\n",
		file + "#basics":                         "…\n| basics/pass-one-fd/stream/…\n| and … more\n",
		"#1":                                     "scm: \"#1\" is not REPORT#ID: there is no file before the #\nusage: scm interop replay REPORT#ID [flags]\n…",
		cut + "#":                                "scm: \"…#\" is not REPORT#ID: there is no case after the #\nusage: …",
		write(t, "<!DOCTYPE html>") + "#1":       "scm: …: not a JSON report: invalid character '<' looking for beginning of value\n",
		"/none#such#1":                           "scm: open /none#such: no such file or directory\n",
	} {
		if r := command(t, "interop", "replay", arg); r.code != 2 || !like(r.stderr, want) {
			t.Errorf("%s: got %+v", arg, r)
		}
	}
}

func TestSmoke(t *testing.T) {
	fake := program(t, "faulty")
	list := write(t, `[{"name":"a","lang":"x","command":["`+fake+`"]},{"name":"gone","lang":"x","why":"no compiler"},{"name":"b","lang":"y","command":["`+fake+`"]}]`)
	const ok = ": ok, go 1, can stream,dgram,seqpacket,multi,iov,flags\n"
	for _, c := range []struct {
		args []string
		want result // "…" matches anything
	}{
		{[]string{"--peer", "fake=" + fake}, result{0, "fake: ok, go 1, can stream,dgram,seqpacket,multi,iov,flags\n…; … of … cases with the runner are not run: no multi (…), its room is *,1 (…\nnet: ok, …: no flags (…), it polls (…\n…", ""}},
		{[]string{"--builtin=false", "--peer", "bad=false", "--peers", write(t, `[{"name":"gone","why":"no compiler"}]`)},
			result{4, "bad: the peer ended: exit status 1\ngone: unavailable: no compiler\n", "scm: 2 of 2 peers do not work\n"}},
		{[]string{"--builtin=false", "--peer", "child=sh -c '" + fake + "; exit'"},
			result{4, "child: \"end\" leaves the socket open in process …", "scm: 1 of 1 peers do not work\n"}},
		{[]string{"--builtin=false", "--peer", "liar=" + fake + " --refuse multi,flags"},
			result{0, "liar" + ok[:len(ok)-1] + "; answers \"unsupported\" to send with flags, recv with flags, send with multi, recv with multi, which its can= claims\n", ""}},
		{[]string{"--builtin=false"}, result{3, "", "scm: no peers\n"}},
		{[]string{"--builtin=false", "--peers", list, "--with", "b", "--with", "b", "--with", "a"}, result{0, "b" + ok + "a" + ok, ""}},
		{[]string{"--builtin=false", "--peers", list, "--with", "x"}, result{4, "a" + ok + "gone: unavailable: no compiler\n", "scm: 1 of 2 peers do not work\n"}},
	} {
		r := command(t, append([]string{"interop", "smoke"}, c.args...)...)
		check(t, fmt.Sprintf("smoke %q", c.args), r, c.want)
	}
}

// A copy of the catalogue is complete, and works like the built-in one.
func TestCatalogue(t *testing.T) {
	r := command(t, "interop", "show", "basics/pass-one-fd", "basics/echo-back")
	text := contents(t, "../../interop/catalogue/peer/basics/pass-one-fd.txt")
	if r.code != 0 || !strings.HasPrefix(r.stdout, text) || len(r.stdout) == len(text) {
		t.Errorf("show of two scenarios: got %+v, want more than\n%s", r, text)
	}
	for _, name := range []string{"basics/nothing", "README", "../catalogue/basics/echo-back"} {
		want := fmt.Sprintf("scm: no scenario is named %q\n", name)
		runs(t, result{code: 2, stderr: want}, "interop", "show", name)
	}

	dir := filepath.Join(t.TempDir(), "new", "copy")
	runs(t, result{}, "interop", "copy", dir)
	for name, from := range map[string]string{"peer/basics/pass-one-fd.txt": "catalogue/peer/basics/pass-one-fd.txt", "README.md": "catalogue/README.md",
		"peer/README.md": "catalogue/peer/README.md", "kernel/README.md": "catalogue/kernel/README.md",
		"expected.txt": "catalogue/expected.txt", "PEERS.md": "peers/README.md"} {
		if contents(t, filepath.Join(dir, name)) != contents(t, filepath.Join("../../interop", from)) {
			t.Errorf("%s differs", name)
		}
	}
	for dir, want := range map[string]int{dir: 2, "": 2, "/dev/null/copy": 4} {
		if r := command(t, "interop", "copy", dir); r.code != want || r.stderr == "" {
			t.Errorf("copy to %q: got %+v, want exit status %d and a message", dir, r, want)
		}
	}
	const counts = "… scenarios of peers, … of the kernel\n"
	runs(t, result{0, counts, "…"}, "interop", "check-catalogue", dir)
	builtin := command(t, append([]string{"interop", "list"}, fewCases...)...)
	copied := command(t, append([]string{"interop", "list", "--catalogue", dir}, fewCases...)...)
	if builtin.code != 0 || builtin != copied {
		t.Errorf("list: got %+v, and with the copy %+v", builtin, copied)
	}

	const good = "# A rule.\n# Its source.\non stream\nA> end\nA< ok\n"
	for _, c := range []struct{ folder, scenario, expected, want string }{
		{"basics", "# A rule.\n# Its source.\non stream\nA> end\n", "", "scm: basics/good:4: no answer of A to this command is expected\n"},
		{"basics", "# A rule\n# Its source.\non stream\nA> end\nA< ok\n", "", "scm: basics/good: the rule is not a sentence that ends with a period: A rule\n"},
		{"basics", good, "basics/good leak@mine why\n", ""},
		{"peer/basics", good, "basics/good leak@mine why\n", ""},
		{"kernel/basics", good, "", "scm: kernel/basics/good.txt: a scenario in kernel/ needs the line \"play kernel\"\n"},
		{"basics", good, "\nbasics/better leak@mine why\n",
			"scm: expected.txt:2: basics/better leak@mine applies to no case: no scenario matches \"better\"\n"},
		{"basics", good, "basics/good leak@mine ? it leaks\n",
			"scm: expected.txt:1: unfinished reason: ? it leaks\n| complete the reasons of these lines, and remove the \"?\"\n"},
		{"", "", "", "scm: there is no peer/GROUP/ID.txt, kernel/GROUP/ID.txt or GROUP/ID.txt\n"},
	} {
		own := t.TempDir()
		err := os.WriteFile(filepath.Join(own, "expected.txt"), []byte(c.expected), 0o666)
		if c.scenario != "" {
			err = errors.Join(err, os.MkdirAll(filepath.Join(own, c.folder), 0o777),
				os.WriteFile(filepath.Join(own, c.folder, "good.txt"), []byte(c.scenario), 0o666))
		}
		fdtest.Must(t, err)
		if r := command(t, "interop", "check-catalogue", own); (r.code == 0) != (c.want == "") || r.code > 1 || r.stderr != c.want {
			t.Errorf("%s/good.txt and the line %q: got %+v, want %q", c.folder, c.expected, r, c.want)
		}
	}
}

// A run needs no other program and no environment variable, and leaves no file. make interop runs the other cases.
func TestNothingElseInstalled(t *testing.T) {
	cmd := exec.Command(program(t, "scm"), "interop", "run", "--run", "{basics,death}/*/stream/*/runner", "--run", "sockets/**")
	cmd.Env, cmd.Dir = []string{"PATH=/nonexistent"}, t.TempDir()
	r := finish(t, cmd)
	if r.code != 0 {
		t.Fatalf("without PATH: got %+v, want exit status 0", r)
	}
	for _, want := range []string{"\nscm-purego ", "\nscm-pair-purego ", "\nnet ", "\nxsys ", "\nrunner "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.stdout)
		}
	}
	if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// The built-in peers speak the language of the others.
func TestBuiltinPeer(t *testing.T) {
	for _, name := range []string{"scm", "scm-pair", "net", "xsys"} {
		cmd := exec.Command(program(t, "scm"), "interop", "peer", name)
		cmd.Stdin = strings.NewReader("hello\nlevitate\n")
		ends(t, result{0, "ok name=" + name + "…\nunsupported\n", "…"}, cmd)
	}
}

// A run names each peer of a list that was not built once, with the command that helps.
func TestUnbuiltPeers(t *testing.T) {
	list := filepath.Join(t.TempDir(), "peers.json")
	const why = "no cargo in PATH"
	fdtest.Must(t, peers.WriteList(list, []peers.Built{{Name: "one", Why: why, Setup: "interop"}, {Name: "two", Why: why, Setup: "interop"}}))
	want := "\nnot used: one two: no cargo in PATH; to install it: make setup-interop\n"
	r := command(t, "interop", "run", "--builtin=false", "--skip", "!basics", "--skip", "*/!pass-one-fd", "--peers", list)
	if r.code != 0 || !strings.Contains(r.stdout, want) || strings.Count(r.stdout, "two") != 1 {
		t.Errorf("run: got %+v, want exit status 0 and once%s", r, want)
	}
	want = "…one: unavailable: no cargo in PATH; to install it: make setup-interop\n…"
	runs(t, result{4, want, "…"}, "interop", "smoke", "--peers", list)
}
