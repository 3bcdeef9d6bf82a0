package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/peers"
)

func TestReport(t *testing.T) {
	const (
		run, pass    = `{"Action":"run","Package":"p","Test":"`, `{"Action":"pass","Package":"p","Test":"`
		fail, skip   = `{"Action":"fail","Package":"p","Test":"`, `{"Action":"skip","Package":"p","Test":"`
		out          = `{"Action":"output","Package":"p","Test":"`
		passed, dead = `{"Action":"pass","Package":"p"}`, `{"Action":"fail","Package":"p"}`
	)
	for _, c := range []struct {
		name   string
		events []string
		want   string
		red    []string
		prints string
	}{
		{"the subtests of a test are counted instead of it",
			[]string{run + `A"}`, run + `A/x"}`, pass + `A/x"}`, run + `A/y"}`, out + `A/y","Output":"no compiler\n"}`, skip + `A/y"}`, pass + `A"}`, passed},
			"1 passed, 0 failed, 1 skipped", nil, "skip  p A/y: no compiler\nok    p"},
		{"a test that fails after its subtests passed counts",
			[]string{run + `A"}`, run + `A/x"}`, pass + `A/x"}`, fail + `A"}`, dead},
			"1 passed, 1 failed, 0 skipped", []string{"p A"}, "FAIL  p"},
		{"the reason is printed if a test passes but skipped a part",
			[]string{run + `A"}`, out + `A","Output":"skip: the half in C\n"}`, pass + `A"}`, passed},
			"1 passed, 0 failed, 0 skipped", nil, "the half in C"},
		{"the specs of a suite are counted instead of it",
			[]string{run + `S"}`, out + `S","Output":"7 specs\n"}`, out + `S","Output":"Summarizing 2 Failures:\n  [FAIL] a file [It] is closed\n  file_test.go:1\n  [PANICKED!] a socket [It] is open\n"}`,
				out + `S","Output":"FAIL! -- 7 Passed | 2 Failed | 1 Pending | 3 Skipped\n"}`, fail + `S"}`, dead},
			"7 passed, 2 failed, 4 skipped", []string{"p S: a file [It] is closed", "p S: a socket [It] is open"}, "7 specs"},
		{"the specs of a suite are counted if it prints in colour",
			[]string{run + `S"}`, out + `S","Output":"\u001b[38;5;9m\u001b[1mFAIL!\u001b[0m -- \u001b[38;5;10m\u001b[1m7 Passed\u001b[0m | \u001b[38;5;9m\u001b[1m1 Failed\u001b[0m | \u001b[1m0 Pending\u001b[0m | \u001b[1m3 Skipped\u001b[0m\n"}`,
				out + `S","Output":"  \u001b[38;5;9m[FAIL]\u001b[0m a file \u001b[1m[It] is closed\u001b[0m\n"}`, fail + `S"}`, dead},
			"7 passed, 1 failed, 3 skipped", []string{"p S: a file [It] is closed"}, "FAIL  p"},
		{"a suite that fails without a failed spec counts as one",
			[]string{run + `S"}`, out + `S","Output":"FAIL! -- 7 Passed | 0 Failed | 0 Pending | 0 Skipped\n"}`, fail + `S"}`, dead},
			"7 passed, 1 failed, 0 skipped", []string{"p S"}, "FAIL  p"},
		{"the reason is printed if a suite skips every spec",
			[]string{run + `S"}`, out + `S","Output":"skip: no compiler (specs: 3)\n"}`, out + `S","Output":"SUCCESS! -- 0 Passed | 0 Failed | 0 Pending | 3 Skipped\n"}`, pass + `S"}`, passed},
			"0 passed, 0 failed, 3 skipped", nil, "skip  p  0.0 s: no test ran: no compiler (specs: 3)"},
		{"a test that was running when the process died counts as one",
			[]string{run + `A"}`, fail + `A"}`, run + `B"}`, run + `B/x"}`, out + `B/x","Output":"dying\n"}`, dead},
			"0 passed, 2 failed, 0 skipped", []string{"p A", "p B/x"}, "p B/x did not end\ndying"},
		{"a test that was running when go test died counts as one",
			[]string{`{"Action":"start","Package":"p"}`, run + `A"}`, pass + `A"}`, run + `B"}`, out + `B","Output":"at line 7\n"}`},
			"1 passed, 1 failed, 0 skipped", []string{"p B"}, "p B did not end\nat line 7"},
		{"a package that was running no test when go test died counts as one",
			[]string{`{"Action":"start","Package":"p"}`}, "0 passed, 1 failed, 0 skipped", []string{"p"}, "p did not end"},
		{"a line that is not an event is printed", []string{"go: no such module"}, "0 passed, 0 failed, 0 skipped", nil, "no such module"},
	} {
		var said, log strings.Builder
		r := newReport("go test", &said, &log)
		err := r.read(strings.NewReader(strings.Join(c.events, "\n") + "\n"))
		if err != nil || r.counts() != c.want || !slices.Equal(r.Red, c.red) || !strings.Contains(said.String(), c.prints) {
			t.Errorf("%s: got %s, failed %q, %v; want %s, failed %q and %q; it printed:\n%s", c.name, r.counts(), r.Red, err, c.want, c.red, c.prints, &said)
		}
	}
}

// toys are the files of a module whose packages end in different ways.
var toys = map[string]string{
	"go.mod": "module toy\n\ngo 1.24\n",
	"good/a_test.go": "package a\nimport (\"os\"; \"testing\")\n" +
		"func TestGood(t *testing.T) { if f := os.Getenv(\"GOFLAGS\"); f != \"-ldflags=-w -trimpath\" { t.Error(f) } }\n",
	"red/a_test.go":      "package a\nimport \"testing\"\nfunc TestRed(t *testing.T) { t.Run(\"sub\", func(t *testing.T) { t.Error(\"one is not two\") }) }\n",
	"panics/a_test.go":   "package a\nimport \"testing\"\nfunc TestPanic(t *testing.T) { panic(\"oh\") }\nfunc TestNext(t *testing.T) {}\n",
	"exits/a_test.go":    "package a\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { println(\"leaked\"); os.Exit(3) }\n",
	"unbuilt/a_test.go":  "package a\nimport \"testing\"\nfunc TestUnbuilt(t *testing.T) { nothing() }\n",
	"without/a_test.go":  "package a\nimport \"testing\"\nfunc TestC(t *testing.T) { t.Log(\"gcc: stubs-32.h:\\nnot found\"); t.Skip(\"no compiler\\nfor 386\") }\n",
	"silent/a_test.go":   "package a\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { os.Exit(0) }\nfunc TestRed(t *testing.T) { t.Error() }\n",
	"untested/untest.go": "package a\n",
}

func TestGoTest(t *testing.T) {
	dir, results, beat := t.TempDir(), filepath.Join(t.TempDir(), "results"), t.TempDir()
	for name, text := range toys {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(beatVariable, beat)
	t.Setenv("GOFLAGS", "-trimpath")
	var said strings.Builder
	err := record(io.Discard, results, "toys", func(log io.Writer) (*part, error) { return goTest("toys", dir, []string{"./..."}, &said, log) })
	if err != errFailed {
		t.Errorf("got %v, want %v", err, errFailed)
	}
	for _, want := range []string{
		"one is not two\n", "panic: oh", "leaked\n", "undefined: nothing\n",
		"skip  toy/without TestC: no compiler\n", "s: no test ran: no compiler\n", "ok    toy/good ",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, not := range []string{"stubs-32.h", "for 386", "ok    toy/without", "toy/untested"} {
		if strings.Contains(said.String(), not) {
			t.Errorf("%q is printed", not)
		}
	}
	if log := contents(t, logFile(results, "toys")); !strings.Contains(log, "stubs-32.h") || !strings.Contains(log, "one is not two") {
		t.Errorf("the log is not the whole output:\n%s", log)
	}
	if left, err := os.ReadDir(beat); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	// Ask for the verdict as make does.
	var text strings.Builder
	if err := verdict(&text, "make test", results, 0, "", []string{"toys", "purego"}); err != errFailed {
		t.Errorf("verdict: got %v, want %v", err, errFailed)
	}
	for _, name := range []string{"toy/red TestRed/sub", "toy/panics TestPanic", "toy/exits failed outside its tests", "toy/unbuilt does not build", "toy/silent ran no test"} {
		if !strings.Contains(text.String(), "\n  toys: "+name+"\n") {
			t.Errorf("the verdict does not name %s", name)
		}
	}
	if want := "  purego                         did not run to its end\nfailed:\n"; !strings.Contains(text.String(), want) {
		t.Errorf("the verdict does not contain %q", want)
	}
	if want := "\noutput: " + logFile(results, "toys") + "\n1 passed, 6 failed, 1 skipped\n"; !strings.HasSuffix(text.String(), want) {
		t.Errorf("the verdict does not end with %q", want)
	}
	if t.Failed() {
		t.Logf("printed:\n%s\nverdict:\n%s", &said, &text)
	}
}

func contents(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestVerdict(t *testing.T) {
	t.Setenv("CI", "")
	for _, c := range []struct {
		name  string
		parts []*part
		least int
		want  string
		err   error
	}{
		{"green", []*part{{Name: "cgo", Passed: 3}, {Name: "a/b", Passed: 2, Skipped: 1}}, 0, "5 passed, 0 failed, 1 skipped\n", nil},
		{"red", []*part{{Name: "cgo", Passed: 3, Failed: 1, Red: []string{"x"}}}, 0, "failed:\n  cgo: x\n3 passed, 1 failed, 0 skipped\n", errFailed},
		{"a skipped part", []*part{{Name: "go", Passed: 3}, skipped(io.Discard, "c", "no compiler")}, 0, "skipped: no compiler\n  go                             3 passed, 0 failed, 0 skipped\n3 passed, 0 failed, 1 skipped\n", nil},
		{"a failure outside the parts", []*part{{Name: "cgo", Passed: 3}}, 2, "\n3 passed, 2 failed, 0 skipped\n", errFailed},
		{"nothing", nil, 0, "nothing ran\n0 passed, 1 failed, 0 skipped\n", errFailed},
	} {
		dir := t.TempDir()
		for _, p := range c.parts {
			if err := write(dir, p); err != nil && p.Failed == 0 {
				t.Fatal(err)
			}
		}
		var text strings.Builder
		if err := verdict(&text, "make test", dir, c.least, "", nil); err != c.err || !strings.HasSuffix(text.String(), c.want) {
			t.Errorf("%s: got %v and %q, want %v and %q", c.name, err, &text, c.err, c.want)
		}
	}
}

// The partners that no test has run are named directly before the counts.
func TestVerdictNamesPartners(t *testing.T) {
	dir := t.TempDir()
	partners := filepath.Join(t.TempDir(), "partners.json")
	list := []peers.Built{
		{Name: "csrc", Command: []string{"csrc"}},
		{Name: "nix", Why: "no cargo in PATH", Setup: "interop"},
		{Name: "rustix", Why: "no cargo in PATH", Setup: "interop"},
	}
	if err := errors.Join(peers.WriteList(partners, list), write(dir, &part{Name: "cgo", Passed: 3})); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	want := "\nnot played: nix rustix: no cargo in PATH; to install it: make setup-interop\n3 passed, 0 failed, 0 skipped\n"
	if err := verdict(&text, "make test", dir, 0, partners, nil); err != nil || !strings.HasSuffix(text.String(), want) {
		t.Errorf("got %v and %q, want %q", err, &text, want)
	}
}

func TestSkippedInCI(t *testing.T) {
	t.Setenv("CI", "true")
	if p := skipped(io.Discard, "c", "no compiler"); p.Failed != 1 || p.Red[0] != "no compiler, and CI=true" {
		t.Errorf("got %+v", p)
	}
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		script, want string
		red          []string
	}{
		{"echo '# test (cc): pair'; echo 'ok a'; echo 'skip b: no c'; echo 'skip: valgrind: not found'", "1 passed, 0 failed, 2 skipped", nil},
		{"echo '# test (cc): pair'; echo 'ok a'; echo 'not ok b' >&2; echo '# test (cc): failed: pair'; exit 1", "1 passed, 1 failed, 0 skipped", []string{"test (cc): pair: b"}},
		{"echo '# test (cc): failed: pair'; exit 1", "0 passed, 1 failed, 0 skipped", []string{"test (cc): failed: pair"}},
		{"echo 'a.c:1: error'; exit 2", "0 passed, 1 failed, 0 skipped", []string{"exit status 2"}},
		{"printf 'ok without a newline'", "1 passed, 0 failed, 0 skipped", nil},
	} {
		var said, log strings.Builder
		p, err := runCommand("c", []string{"sh", "-c", c.script}, &said, &log)
		if err != nil || p.counts() != c.want || !slices.Equal(p.Red, c.red) || said.String() != log.String() {
			t.Errorf("%s: got %+v, %v; it printed %q and logged %q", c.script, p, err, &said, &log)
		}
	}
	if p, err := runCommand("lint", []string{"true"}, io.Discard, io.Discard); err != nil || p.Note != "ok" {
		t.Errorf("true: got %+v, %v", p, err)
	}
}

// The specs that a filter leaves out do not count as skipped.
func TestFiltered(t *testing.T) {
	r := newReport("go test", io.Discard, io.Discard)
	r.filtered = true
	r.event([]byte(`{"Action":"output","Package":"p","Test":"S","Output":"SUCCESS! -- 7 Passed | 0 Failed | 0 Pending | 30 Skipped\n"}`))
	r.event([]byte(`{"Action":"pass","Package":"p","Test":"S"}`))
	if want := "7 passed, 0 failed, 0 skipped"; r.counts() != want {
		t.Errorf("got %s, want %s", r.counts(), want)
	}
}

// The running tests are listed, the oldest first, until they end.
func TestRunning(t *testing.T) {
	r := newReport("cgo", io.Discard, io.Discard)
	var list string
	r.beat = func(text string) { list = text }
	names := func() string {
		var names []string
		for line := range strings.Lines(list) {
			_, name, _ := strings.Cut(strings.TrimSpace(line), " ")
			names = append(names, name)
		}
		return strings.Join(names, ", ")
	}
	for _, step := range []struct{ action, test, want string }{
		{"build-output", "", "cgo"},
		{"start", "", "cgo: scm/p"},
		{"run", "A", "cgo: scm/p A"},
		{"run", "A/x", "cgo: scm/p A/x"},
		{"run", "B", "cgo: scm/p A/x, cgo: scm/p B"},
		{"run", "C", "cgo: scm/p A/x, cgo: scm/p B, cgo: scm/p C"},
		{"run", "D", "cgo: scm/p A/x, cgo: scm/p B, cgo: scm/p C, cgo: and 1 more"},
		{"pass", "A/x", "cgo: scm/p B, cgo: scm/p C, cgo: scm/p D"},
		{"pass", "", "cgo"},
	} {
		r.event(fmt.Appendf(nil, `{"Action":%q,"Package":"github.com/scm-rights/scm/p","Test":%q}`, step.action, step.test))
		r.listRunning()
		if names() != step.want {
			t.Errorf("after %s %s: got %s, want %s", step.action, step.test, names(), step.want)
		}
	}
}
