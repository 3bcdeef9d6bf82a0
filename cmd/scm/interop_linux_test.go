package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/report"
)

// write makes a file with this text.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

// one is a selection of a few cases, all with the runner.
var one = []string{"--builtin=false", "--run", "basics/pass-one-fd"}

func TestExitCodes(t *testing.T) {
	fake := program(t, "faulty")
	folder := t.TempDir()
	reportFolder := filepath.Join(folder, "folder.json")
	if err := os.Mkdir(reportFolder, 0o777); err != nil {
		t.Fatal(err)
	}
	dumb := func(can string) string {
		return "x=sh " + write(t, "while read -r verb rest; do case $verb in hello) echo ok name=x can="+can+";; *) echo unsupported;; esac; done\n")
	}
	dgramOnly := t.TempDir()
	if err := os.Mkdir(filepath.Join(dgramOnly, "group"), 0o777); err != nil {
		t.Fatal(err)
	}
	const text = "# Bytes pass.\n# unix(7)\non dgram\nA> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\n"
	if err := os.WriteFile(filepath.Join(dgramOnly, "group", "id.txt"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout string // among others
		stderr string // all of it; "…" stands for anything
	}{
		{"as expected", append(one, "run"), 0, "verdicts: 3: 3 pass, 0 expected failures, 0 unexpected failures", ""},
		{"a good peer", append(one, "run", "--peer", "fake="+fake), 0, "2 peers of ", ""},
		{"a failure", append(one, "run", "--peer", "fake="+fake+" --fault cloexec"), 1,
			"fail: basics/pass-one-fd/stream/fake/fake\n    cloexec@fake: what it receives is not close-on-exec\n", ""},
		{"an expected failure", append(one, "run", "--peer", "fake="+fake+" --fault cloexec", "--expect", write(t, "** cloexec@fake it is a fake")), 0,
			"6 pass, 6 expected failures, 0 unexpected failures", ""},
		{"an expected failure that passes", append(one, "run", "--peer", "fake="+fake, "--expect", write(t, "**/fake leak@fake it is a fake")), 1,
			"fixed: basics/pass-one-fd/stream/runner/fake\n    expected to fail, and does not: line 1: **/fake leak@fake\n", ""},

		{"a bad pattern", []string{"run", "--run", "a//b"}, 2, "", "scm: pattern \"a//b\": an empty part\n"},
		{"patterns of a file", []string{"run", "--builtin=false", "--run", "@" + write(t, "# Of the first.\n\nbasics/pass-one-fd/stream\n  basics/pass-one-fd/dgram\n")}, 0,
			"verdicts: 2: 2 pass", ""},
		{"patterns of a file to skip", append(one, "run", "--skip", "@"+write(t, "basics/*/{stream,dgram}")), 0, "verdicts: 1: 1 pass", ""},
		{"no file of patterns", []string{"run", "--run", "@/nonexistent"}, 2, "", "scm: open /nonexistent: no such file or directory\n"},
		{"a file of no patterns", []string{"run", "--run", "@" + write(t, "# None.\n")}, 2, "", "scm: …/file: no pattern\n"},
		{"a bad pattern in a file", []string{"run", "--skip", "@" + write(t, "# One.\n[a\n")}, 2, "", "scm: …/file: line 2: pattern \"[a\": syntax error in pattern\n"},
		{"a bad pattern to skip", []string{"run", "--skip", "[a"}, 2, "", "scm: pattern \"[a\": syntax error in pattern\n"},
		{"nothing matches", append(one, "run", "--run", "basics/nothing"), 2, "", "scm: pattern \"basics/nothing\" matches no case\n"},
		{"nothing to skip matches", append(one, "run", "--skip", "**/nobody"), 2, "", "scm: pattern \"**/nobody\" matches no case\n"},
		{"an unknown flag", []string{"run", "--fast"}, 2, "", "scm: unknown flag: --fast\n"},
		{"an unknown command", []string{"play"}, 2, "", "scm: unknown command \"play\" for \"scm interop\"\n"},
		{"an argument", []string{"run", "now"}, 2, "", "scm: unknown command \"now\" for \"scm interop run\"\n"},
		{"no time", []string{"run", "--timeout", "0s"}, 2, "", "scm: --timeout and --jobs must be more than 0\n"},
		{"no such part", []string{"run", "--shard", "3/2"}, 2, "", "scm: \"3/2\" is not I/N, from 1/N to N/N\n"},
		{"two parts", append(one, "run", "--shard", "1/2", "--shard", "2/2"), 2, "", "scm: invalid argument \"2/2\" for \"--shard\" flag: it is given twice\n"},
		{"two lists of peers", append(one, "run", "--peers", "a", "--peers", "b"), 2, "", "scm: invalid argument \"b\" for \"--peers\" flag: it is given twice\n"},
		{"two catalogues", append(one, "run", "--catalogue", "a", "--catalogue", "b"), 2, "", "scm: invalid argument \"b\" for \"--catalogue\" flag: it is given twice\n"},
		{"two files of expected failures", append(one, "run", "--expect", "a", "--expect", "b"), 2, "", "scm: invalid argument \"b\" for \"--expect\" flag: it is given twice\n"},
		{"less than no retries", []string{"run", "--retry", "-1"}, 2, "", "scm: --retry must not be less than 0\n"},
		{"a report of no form", []string{"run", "--report", "report.pdf"}, 2, "",
			"scm: the name of a report ends in one of .html .json .jsonl .md .txt .xml, and not as \"report.pdf\"\n"},
		{"a report twice", []string{"run", "--report", "r.json", "--report", "./r.json"}, 2, "", "scm: the reports r.json and ./r.json are one file\n"},
		{"no such catalogue", []string{"run", "--catalogue", "/nonexistent"}, 2, "", "scm: open /nonexistent: no such file or directory\n"},
		{"a peer named kernel", []string{"run", "--peer", "kernel=y"}, 2, "", "scm: two peers are named \"kernel\"\n"},
		{"no jobs", []string{"run", "--jobs", "0"}, 2, "", "scm: --timeout and --jobs must be more than 0\n"},
		{"a peer without a command", []string{"run", "--peer", "x"}, 2, "", "scm: --peer \"x\" is not NAME=COMMAND\n"},
		{"a peer without a name", []string{"run", "--peer", "=x"}, 2, "", "scm: --peer \"=x\" is not NAME=COMMAND\n"},
		{"a name that is a pattern", []string{"run", "--peer", "x*=x"}, 2, "", "scm: --peer \"x*=x\" is not NAME=COMMAND\n"},
		{"a name that is a path", []string{"run", "--peer", "x/y=x"}, 2, "", "scm: --peer \"x/y=x\" is not NAME=COMMAND\n"},
		{"two peers of one name", []string{"run", "--peer", "x=y", "--peer", "x=z"}, 2, "", "scm: two peers are named \"x\"\n"},
		{"a peer named runner", []string{"run", "--peer", "runner=y"}, 2, "", "scm: two peers are named \"runner\"\n"},
		{"a peer named as one of the source", append(one, "run", "--peer", "python="+fake+" --fault cloexec"), 2, "",
			"scm: --peer \"python\" has the name of a peer of the source, whose expected failures would hide its own: give it another name, or a file of its own with --expect\n"},
		{"a peer named as one inside", append(one, "list", "--peer", "net="+fake), 2, "",
			"scm: --peer \"net\" has the name of a peer of the source, …\n"},
		{"such a name, and expectations of its own", append(one, "run", "--peer", "python="+fake, "--expect", write(t, "# None.\n")), 0, "2 peers of ", ""},
		{"one more of one name, in a list", []string{"run", "--peer", "x=y", "--peers", write(t, `[{"name":"x","command":["y"]}]`)}, 2, "",
			"scm: two peers are named \"x\"\n"},
		{"no list of peers", []string{"run", "--peers", "/nonexistent"}, 2, "", "scm: open /nonexistent: no such file or directory\n"},
		{"a list that is none", []string{"run", "--peers", write(t, "{}")}, 2, "", "scm: …cannot unmarshal…\n"},
		{"no file of expectations", []string{"run", "--expect", "/nonexistent"}, 2, "", "scm: open /nonexistent: no such file or directory\n"},
		{"a missing reason", []string{"run", "--expect", write(t, "** leak@net")}, 2, "",
			"scm: …: line 1: PATTERN CHECK@PEER REASON, and the reason is compulsory\n"},
		{"no such check", []string{"run", "--expect", write(t, "** mood@net why")}, 2, "",
			"scm: …: line 1: \"mood@net\" is not CHECK@PEER; checks are [answer file cloexec leak contract crash hang]\n"},
		{"an expectation of nobody", []string{"run", "--expect", write(t, "** leak@nobody why")}, 2, "",
			"scm: expected failures: line 1: ** leak@nobody applies to no case\n"},

		{"nothing is supported", []string{"run", "--run", "limits/limit-253-ok/*/*/scm-pair-purego"}, 3, "verdicts: 0:", "scm: nothing ran\n"},
		{"all is skipped", append(one, "run", "--skip", "basics"), 3, "verdicts: 0:", "scm: nothing ran\n"},
		{"nothing to list", append(one, "list", "--skip", "basics"), 3, "", "scm: no cases\n"},

		{"a peer that can play nothing", append(one, "run", "--peer", dumb("multi")), 3, "verdicts: 3:", "scm: peer x: none of its cases has a verdict\n"},
		{"a peer that can play other cases", append(one, "run", "--skip", "*/*/dgram", "--peer", dumb("dgram")), 0, "verdicts: 2:", ""},
		{"a part with nothing to play for a peer", []string{"run", "--catalogue", dgramOnly, "--shard", "1/1", "--builtin=false", "--peer", dumb("stream")}, 3, "verdicts: 1:",
			"scm: peer x: none of its cases has a verdict\n"},
		{"a catalogue with nothing to play for a peer", []string{"run", "--catalogue", dgramOnly, "--peer", dumb("stream")}, 3, " pass, ",
			"scm: peer x: none of its cases has a verdict\n"},
		{"a catalogue with nothing to play for a peer inside", []string{"run", "--catalogue", dgramOnly}, 0, " pass, ", ""},

		{"a peer that is not there", append(one, "run", "--peer", "x=/nonexistent/peer"), 4, "",
			"scm: peer x: the peer ended: exit status 127; standard error: /bin/sh: …not found\n"},
		{"a peer that ends", append(one, "run", "--peer", "x=false"), 4, "", "scm: peer x: the peer ended: exit status 1\n"},
		{"a peer that says something else", append(one, "run", "--peer", `x=sh -c "read -r l; printf 'Welcome to \007\n'; cat"`), 4, "",
			"scm: peer x: not text: \"Welcome to \\a\"\n"},
		{"a peer that is polite", append(one, "run", "--peer", `x=sh -c "read -r l; echo Hello, world; cat"`), 4, "",
			"scm: peer x: not an answer to hello: \"Hello, world\"\n"},
		{"a peer that can what there is not", append(one, "run", "--peer", `x=sh -c "read -r l; echo ok name=x can=stream,levitation; cat"`), 4, "",
			"scm: peer x: can=levitation is nothing that the contract knows\n"},
		{"a peer that never reads", append(one, "run", "--timeout", "300ms", "--peer", "x="+fake+" --fault noread"), 4, "",
			"scm: peer x: no answer in time\n"},
		{"two broken peers", append(one, "run", "--peer", "x=false", "--peer", "good="+fake, "--peer", "y=false"), 4, "",
			"scm: peer x: the peer ended: exit status 1\nscm: peer y: the peer ended: exit status 1\n"},
		{"a broken peer to list", append(one, "list", "--peer", "x=false"), 4, "", "scm: peer x: the peer ended: exit status 1\n"},
		{"a peer that starts only once", append(one, "run", "--peer", "x=sh -c 'test ! -e "+folder+"/once && : > "+folder+"/once && exec "+fake+"'"), 4,
			"not run: basics/pass-one-fd/stream/x/x\n    x: the peer ended: exit status 1\n", ""},
		{"a peer that says something else of itself later", append(one, "run", "--peer", "x=sh -c 'test -e "+folder+"/said || { : > "+folder+"/said; exec "+fake+
			"; }; read -r l; echo ok name=x can=stream; read -r l; echo unsupported; cat'"), 4,
			"not run: basics/pass-one-fd/stream/x/x\n    x: its hello is not what it was\n", ""},
		{"a report that cannot be written", append(one, "run", "--report", "/dev/null/report.json"), 4, "verdicts: 3: 3 pass",
			"scm: the report cannot be written: …\n"},
		{"a report that cannot be streamed", append(one, "run", "--report", "/dev/null/report.jsonl"), 4, "", "scm: the report cannot be written: …\n"},
		{"a report in place of a folder", append(one, "run", "--report", reportFolder), 2, "", "scm: the report …/folder.json is a folder\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := command(t, append([]string{"interop"}, commandFirst(c.args)...)...)
			if r.code != c.code || !strings.Contains(r.stdout, c.stdout) || !like(r.stderr, c.stderr) || (c.stdout == "") != (r.stdout == "") {
				t.Errorf("exit status %d\n%s\nwant %d, %q, %q", r.code, r.text(), c.code, c.stdout, c.stderr)
			}
		})
	}
	if left, _ := filepath.Glob(folder + "*.new"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// commandFirst brings the command to the front: the flags of one are before it.
func commandFirst(args []string) []string {
	at := slices.IndexFunc(args, func(s string) bool { return s == "run" || s == "list" || s == "play" })
	return slices.Concat(args[at:at+1], args[:at], args[at+1:])
}

// like compares with a text in which "…" stands for anything.
func like(text, want string) bool {
	head, tail, any := strings.Cut(want, "…")
	if !any {
		return text == want
	}
	rest, ok := strings.CutPrefix(text, head)
	for i := range len(rest) + 1 {
		if ok && like(rest[i:], tail) {
			return true
		}
	}
	return false
}

func TestJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "report.json")
	r := command(t, "interop", "run", "--json", "--report", file, "--builtin=false", "--peer", "fake="+program(t, "faulty")+" --fault leak",
		"--run", "truncation/ctrunc-two-of-three", "--run", "limits/limit-253-ok")
	if r.code != 1 || r.stderr != "" {
		t.Fatalf("got %d, %s", r.code, r.stderr)
	}
	var got report.Report
	dec := json.NewDecoder(strings.NewReader(r.stdout))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil || dec.More() {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	if got.Schema != report.Schema || got.Version == "" || got.System.Kernel == "" || got.System.User != os.Getuid() || got.Started.IsZero() {
		t.Errorf("got %+v", got)
	}
	if got.Totals.Fail != 3 || got.Totals.Verdicts() != len(got.Cases) || len(got.Cases) != 3*(2+4) {
		t.Errorf("%d cases: %+v", len(got.Cases), got.Totals)
	}
	for _, c := range got.Cases {
		failed := strings.HasPrefix(c.Name, "truncation/") && strings.HasSuffix(c.Name, "/fake")
		if failed != (len(c.Findings) > 0) || failed && (c.Findings[0].Check != "leak" || c.Findings[0].Peer != "fake" || c.Findings[0].Line == 0) {
			t.Errorf("%s: %v", c.Name, c.Findings)
		}
		if len(c.Transcript) == 0 || c.Hash == "" {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
	if contents(t, file) != r.stdout {
		t.Error("the file is another")
	}
}

func TestList(t *testing.T) {
	args := []string{"interop", "list", "--builtin=false", "--peer", "x=" + program(t, "faulty"),
		"--run", "basics/pass-one-fd/stream", "--skip", "**/runner/x", "--run", "basics/pass-two-fds/stream/x/x"}
	want := []string{
		"basics/pass-one-fd/stream/x/x", "basics/pass-one-fd/stream/x/runner", "basics/pass-one-fd/stream/runner/runner",
		"basics/pass-two-fds/stream/x/x",
	}
	if r := command(t, args...); r.code != 0 || r.stdout != strings.Join(want, "\n")+"\n" || r.stderr != "" {
		t.Errorf("got %+v", r)
	}
	r := command(t, append(args, "--json")...)
	var list []string
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || r.code != 0 || !slices.Equal(list, want) {
		t.Errorf("got %+v, %v", r, err)
	}
}

// Nothing else is installed, nothing is set, and nothing is left. As root make interop plays everything.
func TestNothingElseInstalled(t *testing.T) {
	cmd := exec.Command(program(t, "scm"), "interop", "run")
	if os.Geteuid() == 0 {
		cmd.Args = append(cmd.Args, "--run", "{basics,death,sockets}/**")
	}
	cmd.Env, cmd.Dir = []string{"PATH=/nonexistent"}, t.TempDir()
	r := finish(t, cmd)
	for l := range strings.Lines(r.stderr) {
		if !like(l, "scm: … of … cases, 0 not as expected\n") {
			t.Errorf("it says %s", l)
		}
	}
	if r.code != 0 {
		t.Errorf("exit status %d\n%s", r.code, r.text())
	}
	for _, want := range []string{"\nscm-purego", "\nscm-pair-purego", "\nnet ", "\nxsys ", "\nrunner "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.stdout)
		}
	}
	if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A peer inside speaks the language of the others.
func TestPeerInside(t *testing.T) {
	for _, name := range []string{"scm", "scm-pair", "net", "xsys"} {
		cmd := exec.Command(program(t, "scm"), "interop", "peer", name)
		cmd.Stdin = strings.NewReader("hello\nlevitate\n")
		if r := finish(t, cmd); r.code != 0 || !strings.HasPrefix(r.stdout, "ok name="+name) || !strings.HasSuffix(r.stdout, "\nunsupported\n") {
			t.Errorf("%s: got %+v", name, r)
		}
	}
	if r := command(t, "interop", "peer", "nobody"); r.code != 2 || r.stderr != "scm: invalid argument \"nobody\" for \"scm interop peer\"\n" {
		t.Errorf("got %+v", r)
	}
}
