package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/peers"
)

func TestReport(t *testing.T) {
	const command, ended = "p: go test -C . -v ./...\n", "p: exit status 0\n"
	for _, c := range []struct{ name, log, want, red, prints string }{
		{"the subtests of a test are counted instead of it",
			"=== RUN   A\n--- PASS: A (0.00s)\n    --- PASS: A/x (0.00s)\n    --- SKIP: A/y (0.00s)\nok  \tp\t0.1s\n", "1 passed, 0 failed, 1 skipped", "", ""},
		{"a test that fails after its subtests passed counts",
			"--- FAIL: A (0.00s)\n    --- PASS: A/x (0.00s)\n    a_test.go:1: no\nFAIL\tp\t0.1s\n", "1 passed, 1 failed, 0 skipped", "p A", "a_test.go:1: no"},
		{"a test fails with its subtest, and counts once",
			"--- FAIL: A (0.00s)\n    --- PASS: A/x (0.00s)\n    --- FAIL: A/y (0.00s)\n        a_test.go:1: no\nFAIL\tp\t0.1s\n", "1 passed, 1 failed, 0 skipped", "p A/y", "a_test.go:1: no"},
		{"a subtest whose name contains a slash is counted",
			"--- FAIL: A (0.00s)\n    --- FAIL: A/no_/proc (0.00s)\n    --- PASS: A/no (0.00s)\nFAIL\tp\t0.1s\n", "1 passed, 1 failed, 0 skipped", "p A/no_/proc", ""},
		{"the results of a program that a test prints are not counted",
			"--- PASS: A (0.00s)\n    a_test.go:1: --- PASS: B\n        --- FAIL: C (0.00s)\nok  \tp\t0.1s\n", "1 passed, 0 failed, 0 skipped", "", ""},
		{"the specs of a suite are counted instead of it",
			"7 specs\nSummarizing 2 Failures:\n  [FAIL] a file [It] is closed\n  /a/b_test.go:1\n\n  [PANICKED!] a socket [It] is open\nFAIL! -- 7 Passed | 2 Failed | 1 Pending | 3 Skipped\n--- FAIL: TestSuite (0.00s)\nFAIL\tp\t0.1s\n",
			"7 passed, 2 failed, 4 skipped", "p a file [It] is closed /a/b_test.go:1, p a socket [It] is open", "7 specs"},
		{"the specs of a suite are counted if it prints in colour",
			"  \x1b[38;5;9m[FAIL]\x1b[0m a file \x1b[1m[It] is closed\x1b[0m\n\x1b[1m7 Passed\x1b[0m | \x1b[1m1 Failed\x1b[0m | 0 Pending | 3 Skipped\n--- FAIL: TestSuite (0.00s)\nFAIL\tp\t0.1s\n",
			"7 passed, 1 failed, 3 skipped", "p a file [It] is closed", ""},
		{"the failed specs that a suite does not list count too",
			"FAIL! -- 7 Passed | 2 Failed | 1 Pending | 3 Skipped\n--- FAIL: TestSuite (0.00s)\nFAIL\tp\t0.1s\n", "7 passed, 2 failed, 4 skipped", "p 2 specs, for the causes above", ""},
		{"a suite that fails without a failed spec counts as one",
			"FAIL! -- 7 Passed | 0 Failed | 0 Pending | 0 Skipped\n--- FAIL: TestSuite (0.00s)\nFAIL\tp\t0.1s\n", "7 passed, 1 failed, 0 skipped", "p failed outside its tests", ""},
		{"a package that reached its time limit counts as one", "=== RUN   A/b\npanic: test timed out after 1s\n\trunning tests:\n\t\tA (1s)\n\t\tA/b (1s)\n\ngoroutine 3 [running]:\nFAIL\tp\t0.1s\n", "0 passed, 1 failed, 0 skipped", "p reached the time limit of 1s: A (1s), A/b (1s)", "goroutine 3"},
		{"a package that go test kills has reached its limit", "dying\n*** Test killed with quit: ran too long (21m0s).\nFAIL\tp\t0.1s\n", "0 passed, 1 failed, 0 skipped", "p reached the time limit of 21m0s", "dying"},
		{"a package whose process dies counts as one", "=== RUN   B\ndying\nFAIL\tp\t0.1s\n", "0 passed, 1 failed, 0 skipped", "p failed outside its tests; the last to start was B", "dying"},
		{"a suite whose process dies names the spec", "=== RUN   TestSuite\n------------------------------\na file, it is closed\n/a/b_test.go:1\r\ndying\nFAIL\tp\t0.1s\n",
			"0 passed, 1 failed, 0 skipped", "p failed outside its tests; the last to start was a file, it is closed", "dying"},
		{"a package that does not build counts as one", "# p\np/a.go:1:1: undefined: x\nFAIL\tp [build failed]\n", "0 passed, 1 failed, 0 skipped", "p failed outside its tests", "undefined: x"},
		{"a package that runs no test counts as one", "ok  \tp\t0.1s\n", "0 passed, 1 failed, 0 skipped", "p ran no test", ""},
		{"a suite that runs no spec counts as one", "SUCCESS! -- 0 Passed | 0 Failed | 0 Pending | 0 Skipped\n--- PASS: A (0.00s)\n--- PASS: TestSuite (0.00s)\nok  \tp\t0.1s\n", "1 passed, 1 failed, 0 skipped", "p ran no spec", ""},
		{"a suite whose specs are all skipped does not fail", "SUCCESS! -- 0 Passed | 0 Failed | 0 Pending | 3 Skipped\n--- PASS: TestSuite (0.00s)\nok  \tp\t0.1s\n", "0 passed, 0 failed, 3 skipped", "", ""},
		{"a part without test files counts as one", "?   \tq\t[no test files]\n", "0 passed, 1 failed, 0 skipped", "ran no test", ""},
		{"a package without test files does not count", "?   \tq\t[no test files]\n--- PASS: A (0.00s)\nok  \tp\t0.1s\n", "1 passed, 0 failed, 0 skipped", "", ""},
	} {
		p := count(command + c.log + ended)
		if p.String() != c.want || strings.Join(p.red, ", ") != c.red || !strings.Contains(p.output, c.prints) {
			t.Errorf("%s: got %v, failed %q; want %s and %q; it printed:\n%s", c.name, p, p.red, c.want, c.red, p.output)
		}
	}
	if p := count(command + "--- PASS: A (0.00s)\nok  \tp\t0.1s\n=== RUN   B\nat line 7\n"); p.String() != "1 passed, 1 failed, 0 skipped" || !strings.Contains(p.output, "at line 7") {
		t.Errorf("a part that did not end: got %v; it printed:\n%s", p, p.output)
	}
}

// toys are the files of a module whose packages end in different ways.
var toys = map[string]string{
	"go.mod": "module toy\n\ngo 1.24\n",
	"good/a_test.go": "package a\nimport (\"os\"; \"testing\")\n" +
		"func TestGood(t *testing.T) { if f := os.Getenv(\"GOFLAGS\") + os.Getenv(\"GOGC\"); f != \"-ldflags=-w -trimpath\" { t.Error(f) } }\n",
	"red/a_test.go":      "package a\nimport \"testing\"\nfunc TestRed(t *testing.T) { t.Run(\"sub\", func(t *testing.T) { t.Error(\"one is not two\") }) }\n",
	"panics/a_test.go":   "package a\nimport \"testing\"\nfunc TestPanic(t *testing.T) { panic(\"oh\") }\nfunc TestNext(t *testing.T) {}\n",
	"exits/a_test.go":    "package a\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { println(\"leaked\"); os.Exit(3) }\n",
	"unbuilt/a_test.go":  "package a\nimport \"testing\"\nfunc TestUnbuilt(t *testing.T) { nothing() }\n",
	"without/a_test.go":  "package a\nimport \"testing\"\nfunc TestC(t *testing.T) { t.Log(\"gcc: stubs-32.h:\\nnot found\"); t.Skip(\"no compiler\\nfor 386\") }\n",
	"silent/a_test.go":   "package a\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { os.Exit(0) }\nfunc TestRed(t *testing.T) { t.Error() }\n",
	"untested/untest.go": "package a\n",
}

// runPart runs a part of the tests with tools/part.sh, and returns what it prints.
func runPart(t *testing.T, results string, environment []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("../part.sh", args...)
	cmd.Env = append(os.Environ(), append(environment, "RESULTS="+results, "PROGRESS=")...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestGoTest(t *testing.T) {
	dir, results := t.TempDir(), filepath.Join(t.TempDir(), "results")
	for name, text := range toys {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	said, err := runPart(t, results, []string{"GOFLAGS=-trimpath", "SLOW=3"}, "toys", "test", "-C", dir, "./...")
	if err == nil {
		t.Error("the part passed")
	}
	for _, want := range []string{"panic: oh", "undefined: nothing\n", "--- SKIP: TestC", "ok  \ttoy/good"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing", want)
		}
	}
	var text strings.Builder
	log := filepath.Join(results, "toys.log")
	if kept, err := os.ReadFile(log); err != nil || !strings.Contains(string(kept), " -timeout=60m ") {
		t.Errorf("SLOW=3 is not three times 20 minutes: %v\n%.200s", err, kept)
	}
	if verdict(&text, "make test", 0, []string{log, "purego.log"}) {
		t.Error("the verdict is green")
	}
	for _, name := range []string{"toy/red TestRed/sub", "toy/panics TestPanic", "toy/exits failed outside its tests", "toy/unbuilt failed outside its tests", "toy/silent ran no test"} {
		if !strings.Contains(text.String(), "\nfailed: "+name+" ("+log+")\n") {
			t.Errorf("the verdict does not name %s", name)
		}
	}
	// The output of the compiler can be between the lines of another package, so only the part is certain to show it.
	for _, want := range []string{"one is not two\n", "panic: oh", "leaked\n", "\nfailed: did not run to its end (purego.log)\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the verdict does not contain %q", want)
		}
	}
	if want := "\n1 passed, 6 failed, 1 skipped\n"; !strings.HasSuffix(text.String(), want) {
		t.Errorf("the verdict does not end with %q", want)
	}
	if t.Failed() {
		t.Logf("printed:\n%s\nverdict:\n%s", said, &text)
	}
}

func TestVerdict(t *testing.T) {
	const book, nix = "with book: 5 passed, 0 failed, 2 skipped (2 no iov)", "with nix: 7 passed, 0 failed, 0 skipped"
	suite := func(backend string, lines ...string) string {
		text := "x: go test -C .\n"
		for _, line := range lines {
			text += "specs over " + backend + " " + line + "\n"
		}
		return text + "--- PASS: A (0.00s)\nok  \tp\t0.1s\nx: exit status 0\n"
	}
	totals := func(log, counts string) string {
		return strings.Replace(log, "--- PASS: A", "FAIL! -- "+counts+"\n--- FAIL: TestSuite", 1)
	}
	const green, red = "x: go test -C .\n--- PASS: A (0.00s)\nok  \tp\t0.1s\nx: exit status 0\n", "x: go test -C .\n--- FAIL: A (0.00s)\nFAIL\tp\t0.1s\nx: exit status 1\n"
	for _, c := range []struct {
		name  string
		logs  []string
		least int
		want  string
		ok    bool
	}{
		{"green", []string{green, green}, 0, "2 passed, 0 failed, 0 skipped\n", true},
		{"red", []string{green, red}, 0, "failed: p A (purego.log)\n1 passed, 1 failed, 0 skipped\n", false},
		{"a skipped part", []string{green, "x: skip x: old\nskip: x: old\nx: exit status 0\n"}, 0, "\nskipped: x: old\n1 passed, 0 failed, 1 skipped\n", true},
		{"what a tool or root is missing for", []string{"x: go test -C .\n--- SKIP: A (0.00s)\n    a_test.go:1: missing: no s6\nskip: missing: strace (specs: 2)\nskip: only root can mount (specs: 1)\n" +
			"skip: an old kernel (specs: 1)\nspecs over cgo with nix: 0 passed, 0 failed, 3 skipped (2 no cargo in PATH; 1 no iov)\nok  \tp\t0.1s\nx: exit status 0\n", green, "y: make\nskip: strace: not found\ny: exit status 0\n"}, 0,
			"\nskipped: nix: no cargo in PATH\nskipped: nix: no iov\nskipped: strace: not found\nmissing: cargo, no s6, root, strace (as root on Debian, tools/setup test installs the tools)\n0 specs against C and 0 against Rust passed on both backends\n1 passed, 0 failed, 2 skipped\n", true},
		{"a failure outside the parts", []string{green}, 2, "\n1 passed, 2 failed, 0 skipped\n", false},
		{"a program that reached its time limit", []string{"x: go test -C .\n--- FAIL: A (0.00s)\n    a_test.go:1: [\"b\"] reached the time limit of 5m0s: it was killed\nFAIL\tp\t0.1s\nx: exit status 1\n"}, 0,
			"failed: p A (cgo.log)\non a busy machine: make test SLOW=3\n0 passed, 1 failed, 0 skipped\n", false},
		{"partners", []string{suite("cgo", nix, book), suite("purego", book, nix)}, 0, "\n12 specs against C and Rust passed on both backends\n2 passed, 0 failed, 0 skipped\n", true},
		{"a failed partner", []string{suite("cgo", book, "with nix: 4 passed, 3 failed, 0 skipped"), suite("purego", book, nix)}, 0,
			"\n9 specs against C and Rust passed on cgo, and 12 specs against C and Rust passed on pure Go; 3 failed\n2 passed, 0 failed, 0 skipped\n", true},
		{"a failed runner, and a failed test without a partner", []string{
			totals(suite("cgo", book, nix, "with runner: 1 passed, 9 failed, 0 skipped"), "15 Passed | 11 Failed | 0 Pending | 5 Skipped"),
			totals(suite("purego", book, nix, "with scm-cgo: 0 passed, 4 failed, 0 skipped"), "12 Passed | 4 Failed | 0 Pending | 2 Skipped")}, 0,
			"\nthe other backend                    0       0       0           0       4       0\n" +
				"the runner                           1       9       0           0       0       0\n" +
				"other Go tests                       2       2       3           0       0       0\n" +
				"12 specs against C and Rust passed on both backends\n27 passed, 15 failed, 7 skipped\n", false},
		{"no Rust", []string{suite("cgo", book), suite("purego", book)}, 0, "\n5 specs against C and 0 against Rust passed on both backends\n2 passed, 0 failed, 0 skipped\n", true},
		{"no compiler", []string{"cgo: skip cgo: no C compiler\nskip: cgo: no C compiler (gcc) in PATH\ncgo: exit status 0\n",
			suite("purego", "with book: 0 passed, 0 failed, 9 skipped (9 no C compiler (gcc) in PATH)")}, 0,
			"\nskipped: book: no C compiler (gcc) in PATH\nskipped: cgo: no C compiler (gcc) in PATH\nmissing: C compiler (as root on Debian, tools/setup test installs the tools)\n" +
				"0 specs against C and 0 against Rust passed on both backends\n1 passed, 0 failed, 1 skipped\n", true},
		{"nothing", nil, 0, "0 passed, 1 failed, 0 skipped\n", false},
	} {
		t.Chdir(t.TempDir())
		t.Setenv("CI", "")
		var names []string
		for i, log := range c.logs {
			names = append(names, []string{"cgo.log", "purego.log", "c.log"}[i])
			if err := os.WriteFile(names[i], []byte(log), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		var text strings.Builder
		if ok := verdict(&text, "make test", c.least, names); ok != c.ok || !strings.HasSuffix(text.String(), c.want) {
			t.Errorf("%s: got %v and %q, want %v and %q", c.name, ok, &text, c.ok, c.want)
		}
	}
}

func TestRowsNameThePartners(t *testing.T) {
	for i, name := range peers.Partners {
		if !strings.HasPrefix(partnerRows[i], name+", ") {
			t.Errorf("row %d is %q, not %s", i, partnerRows[i], name)
		}
	}
}

func TestSkippedInCI(t *testing.T) {
	results := t.TempDir()
	for ci, want := range map[string]string{"": "0 passed, 0 failed, 1 skipped", "true": "0 passed, 1 failed, 1 skipped"} {
		said, err := runPart(t, results, []string{"CI=" + ci}, "c", "skip", "no compiler")
		log, _ := os.ReadFile(filepath.Join(results, "c.log"))
		if p := count(string(log)); (err == nil) != (ci == "") || p.String() != want || said != "skip: c: no compiler\n" {
			t.Errorf("CI=%s: got %v and %v, want %s; it printed %q", ci, err, p, want, said)
		}
	}
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		script, want string
		red          []string
	}{
		{"echo '# test (cc): pair'; echo 'ok a'; echo 'skip b: no c'; echo 'skip: valgrind: not found'", "1 passed, 0 failed, 2 skipped", nil},
		{"echo '# test (cc): pair'; echo 'ok a'; echo 'not ok b' >&2; exit 1", "1 passed, 1 failed, 0 skipped", []string{"test (cc): pair: b"}},
		{"echo '# test (cc): failed: pair'; exit 1", "0 passed, 1 failed, 0 skipped", []string{"test (cc): failed: pair: exit status 1"}},
		{"echo 'a.c:1: error'; exit 2", "0 passed, 1 failed, 0 skipped", []string{"exit status 2"}},
		{"true", "0 passed, 0 failed, 0 skipped", nil}, // a linter, for example
	} {
		results := t.TempDir()
		said, _ := runPart(t, results, nil, "c", "run", "sh", "-c", c.script)
		log, _ := os.ReadFile(filepath.Join(results, "c.log"))
		if p := count(string(log)); p.String() != c.want || !slices.Equal(p.red, c.red) || !strings.Contains(string(log), said) {
			t.Errorf("%s: got %v, failed %q; it printed %q and logged %q", c.script, p, p.red, said, log)
		}
	}
}

// The specs that a filter leaves out do not count as skipped. It must leave some.
func TestFiltered(t *testing.T) {
	for _, c := range [][3]string{
		{"label-filter=tree", "7 Passed", "7 passed, 0 failed, 0 skipped"},
		{"focus=nosuch", "0 Passed", "0 passed, 1 failed, 0 skipped"},
	} {
		p := count("tree: go test -C proof ./repotest -ginkgo." + c[0] + "\nSUCCESS! -- " + c[1] + " | 0 Failed | 0 Pending | 30 Skipped\n--- PASS: TestSuite (0.00s)\nok  \tp\t0.1s\ntree: exit status 0\n")
		if p.String() != c[2] {
			t.Errorf("%s: got %v, want %s", c[0], p, c[2])
		}
	}
}
