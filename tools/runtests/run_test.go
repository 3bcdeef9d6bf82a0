//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// toys are the files of a module whose packages end in different ways.
var toys = map[string]string{
	"go.mod":        "module toy\n\ngo 1.24\n\nrequire github.com/onsi/ginkgo/v2 v2.0.0\nreplace github.com/onsi/ginkgo/v2 => ./ginkgo\n",
	"ginkgo/go.mod": "module github.com/onsi/ginkgo/v2\n\ngo 1.24\n",
	"ginkgo/a.go":   "package ginkgo\n",
	"good/a_test.go": "package a\nimport (\"os\"; \"testing\")\n" +
		"func TestGood(t *testing.T) { if f := os.Getenv(\"GOFLAGS\") + os.Getenv(\"GOGC\"); f != \"'-toolexec=/usr/bin/env GOGC=400' -ldflags=-w -trimpath\" { t.Error(f) } }\n",
	"red/a_test.go":     "package a\nimport \"testing\"\nfunc TestRed(t *testing.T) { t.Run(\"sub\", func(t *testing.T) { t.Error(\"one is not two\") }) }\n",
	"panics/a_test.go":  "package a\nimport \"testing\"\nfunc TestPanic(t *testing.T) { panic(\"oh\") }\nfunc TestNext(t *testing.T) {}\n",
	"exits/a_test.go":   "package a\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { println(\"leaked\"); os.Exit(3) }\n",
	"ends/a_test.go":    "package a\nimport (\"syscall\"; \"testing\")\nfunc TestFirst(t *testing.T) {}\nfunc TestEnds(t *testing.T) { syscall.Exit(0) }\n",
	"killed/a_test.go":  "package a\nimport (\"syscall\"; \"testing\")\nfunc TestKilled(t *testing.T) { syscall.Kill(syscall.Getpid(), 9); select {} }\n",
	"unbuilt/a_test.go": "package a\nimport \"testing\"\nfunc TestUnbuilt(t *testing.T) { nothing() }\n",
	"unread/a_test.go":  "package a\nimport \"testing\"\nfunc TestUnread(\n",
	"hangs/a_test.go":   "package a\nimport \"testing\"\nfunc TestHangs(t *testing.T) { select {} }\n",
	"skips/a_test.go":   "package a\nimport \"testing\"\nfunc TestSkips(t *testing.T) { t.Skip(\"no\") }\n",
	"silent/a_test.go":  "package a\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { os.Exit(0) }\nfunc TestRed(t *testing.T) { t.Error() }\n",
	"prints/a_test.go": "package a\nimport (\"fmt\"; \"testing\")\nfunc TestPrints(t *testing.T) { fmt.Print(\"--- FAIL: TestOther (0.00s)\\nFAIL\\nno newline\") }\n" +
		"func TestAfter(t *testing.T) { fmt.Print(\"ok \") }\n",
	"untested/untest.go": "package a\n",
	"coloured/a_test.go": "package a\nimport (\"fmt\"; \"testing\")\nfunc TestRed(t *testing.T) { fmt.Print(\"it \\x1b[38;5;9mis\\x1b[0m red\\n\"); t.Fail() }\n",
	"suite/a_test.go": suiteToy(`{"package":"toy/suite","kind":"begin","planned":1}
{"package":"toy/suite","kind":"spec","name":"one","state":"passed"}
{"package":"toy/suite","kind":"end"}
`),
	"half/a_test.go": suiteToy(`{"package":"toy/half","kind":"begin","planned":2}
{"package":"toy/half","kind":"spec","name":"one","state":"passed"}
{"package":"toy/half","kind":"spec","na`),
	"waits/a_test.go": waitsToy,
}

// suiteToy returns a test that writes records.
func suiteToy(records string) string {
	return fmt.Sprintf("package a\nimport (\"fmt\"; _ \"github.com/onsi/ginkgo/v2\"; \"os\"; \"testing\")\n"+
		"func TestSuite(t *testing.T) { os.WriteFile(fmt.Sprint(os.Getenv(\"SCM_RECORDS\"), \"/\", os.Getpid(), \".json\"), []byte(%q), 0o600) }\n", records)
}

// waitsToy is a test that waits, ignores the first interrupt, and starts a process that ignores all in a session of
// its own.
const waitsToy = `package a

import ("fmt"; "os"; "os/exec"; "os/signal"; "syscall"; "testing")

func TestEnds(t *testing.T) {}

func TestWaits(t *testing.T) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	cmd := exec.Command("sh", "-c", "trap '' INT TERM; sleep 600; :")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(os.Getenv("TMPDIR") + "/file", nil, 0o600)
	os.WriteFile(os.Getenv("WAITS"), fmt.Append(nil, cmd.Process.Pid), 0o600)
	<-signals
	<-signals
	os.Exit(1)
}
`

// toyPlan is an environment variable. If it is set, this program runs a plan of these parts.
const toyPlan = "TOYS"

var toyParts = []part{
	{Name: "green", Packages: []string{"./good", "./skips", "./suite", "./prints"}},
	{Name: "red", Packages: []string{"./..."}, Not: []string{"./good", "./waits", "./ginkgo", "./coloured"}},
	{Name: "coloured", Packages: []string{"./coloured"}},
	{Name: "nothing", Packages: []string{"./untested"}},
	{Name: "waits", Packages: []string{"./waits"}},
	{Name: "late", Packages: []string{"./good"}, After: []string{"waits"}},
	{Name: "tap", Command: []string{"printf", `TAP version 14\nok 1 - a\n1..1\n`}, TAP: true},
	{Name: "tap-red", Command: []string{"sh", "-c", `printf 'TAP version 14\nok 1 - a\n1..1\n'; exit 2`}, TAP: true},
	{Name: "tap-none", Command: []string{"echo", "ok 1 - a"}, TAP: true},
	{Name: "linter", Command: []string{"true"}},
	{Name: "linter-red", Command: []string{"sh", "-c", "echo a.go:1: wrong; exit 1"}},
	{Name: "leaves", Command: []string{"sh", "-c", "sleep 600 & setsid sleep 600 & echo a.go:1: wrong; exit 1"}},
	{Name: "unstarted", Packages: []string{"./good"}, Flags: []string{"-covermode=none"}},
	{Name: "shows", Command: []string{"sh", "-c", "for i in $(seq 600); do echo $i; sleep 1; done"}, Show: true},
	{Name: "hides", Command: []string{"sh", "-c", "trap '' INT; env -i setsid sleep 600 & echo $! >\"$WAITS\"; wait"}},
	{Name: "c", Command: []string{"sh", "-c", "exit"}, NeedsC: true},
	{Name: "off", Command: []string{"sh", "-c", `[ "$CGO_ENABLED" = 0 ]`}},
	{Name: "installs", Command: []string{"sh", "-c", `mv "$BIN/not-installed" "$BIN/gcc"`}, Installs: true, Alone: true},
	{Name: "other", Dir: "other", Packages: []string{"./..."}},
}

func TestMain(m *testing.M) {
	if plan := os.Getenv(toyPlan); plan != "" {
		os.Unsetenv(toyPlan)
		for name, d := range map[string]*time.Duration{"TOYS_LIMIT": &timeLimit, "TOYS_PATIENCE": &patience} {
			if limit, err := time.ParseDuration(os.Getenv(name)); err == nil {
				*d = limit
			}
		}
		os.Exit(newRun("toys", strings.Fields(plan), toyParts).main())
	}
	os.Exit(m.Run())
}

// A toyRun is a run of toys in a process.
type toyRun struct {
	*exec.Cmd
	dir, results string
	file         *os.File
}

// printed returns what the run has printed so far.
func (r *toyRun) printed() string {
	text, _ := os.ReadFile(r.file.Name())
	return string(text)
}

// startToys starts a run of parts.
func startToys(t *testing.T, plan string, env ...string) *toyRun {
	t.Helper()
	r := &toyRun{dir: t.TempDir()}
	r.results = filepath.Join(r.dir, "results")
	for name, text := range toys {
		name = filepath.Join(r.dir, name)
		fdtest.Must(t, errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)))
	}
	fdtest.Must(t, os.Mkdir(filepath.Join(r.dir, "tmp"), 0o777))
	r.start(t, plan, env...)
	return r
}

// command makes the command of a run.
func (r *toyRun) command(t *testing.T, plan string, env ...string) {
	t.Helper()
	self, err := os.Executable()
	fdtest.Must(t, err)
	r.Cmd = exec.Command(self)
	r.Dir = r.dir
	r.Env = append(os.Environ(), "CI=", "AS_USER=", "SLOW=", "CC=", "CGO_ENABLED=", "GOFLAGS=-trimpath", "RESULTS="+r.results, "TMPDIR="+r.dir+"/tmp", "WAITS="+r.dir+"/waits.pid", toyPlan+"="+plan)
	r.Env = append(r.Env, env...)
}

func (r *toyRun) start(t *testing.T, plan string, env ...string) {
	t.Helper()
	r.command(t, plan, env...)
	var err error
	if r.file, err = os.Create(filepath.Join(t.TempDir(), "out")); err != nil {
		t.Fatal(err)
	}
	defer r.file.Close()
	r.Stdout, r.Stderr = r.file, r.file
	fdtest.Must(t, r.Start())
}

// end waits for the end of a run, and checks its status, its last line, and that it has left nothing.
func (r *toyRun) end(t *testing.T, status int, last string, wants ...string) {
	t.Helper()
	_ = r.Wait()
	out := r.printed()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if got := r.ProcessState.ExitCode(); got != status || lines[len(lines)-1] != last {
		t.Errorf("got status %d and the last line %q, want %d and %q", got, lines[len(lines)-1], status, last)
	}
	for _, want := range wants {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if left, err := os.ReadDir(r.dir + "/tmp"); err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
	if t.Failed() {
		t.Logf("it printed:\n%s", out)
	}
}

func TestGreen(t *testing.T) {
	r := startToys(t, "green tap linter")
	r.end(t, 0, "5 passed, 0 failed, 1 skipped", "\n  green            4 passed, 0 failed, 1 skipped ", "\n  tap              1 passed, 0 failed, 0 skipped ")
	for _, name := range []string{"toys.json", "toys.xml", "green.log", "tap.log"} {
		if _, err := os.Stat(filepath.Join(r.results, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestRed(t *testing.T) {
	var wants []string
	for _, name := range []string{"red TestRed/sub", "panics TestPanic", "exits", "ends TestEnds", "killed TestKilled", "unbuilt", "unread", "hangs TestHangs", "silent", "half TestSuite"} {
		wants = append(wants, "\nfailed: red: toy/"+name+"\n")
	}
	r := startToys(t, "red", "TOYS_LIMIT=3s")
	r.end(t, 1, "5 passed, 10 failed, 1 skipped", append(wants, "make toys SLOW=3")...)
	log, err := os.ReadFile(filepath.Join(r.results, "red.log"))
	for _, want := range []string{"one is not two", "panic: oh", "leaked\n", "undefined: nothing", "no newline"} {
		if err != nil || !bytes.Contains(log, []byte(want)) {
			t.Errorf("%q is not in the log: %v", want, err)
		}
	}
	if t.Failed() {
		t.Logf("the log:\n%s", log)
	}
}

func TestCommands(t *testing.T) {
	startToys(t, "linter linter-red tap-red tap-none nothing").end(t, 1, "1 passed, 4 failed, 0 skipped", "a.go:1: wrong", "\nfailed: linter-red: linter-red\n",
		"\nfailed: tap-red: tap-red\n", "\nfailed: tap-none: tap-none\n", "\nfailed: nothing: nothing\n", "no package")
}

// Neither the logs nor the results have colours, which Ginkgo prints to a pipe too.
func TestColours(t *testing.T) {
	r := startToys(t, "coloured")
	r.end(t, 1, "0 passed, 1 failed, 0 skipped", "    it is red\n")
	for _, name := range []string{"coloured.log", "toys.json", "toys.xml"} {
		text, err := os.ReadFile(filepath.Join(r.results, name))
		if err != nil || !bytes.Contains(text, []byte("it is red")) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// If the go command starts no test, the reason is printed.
func TestUnstarted(t *testing.T) {
	startToys(t, "unstarted").end(t, 1, "0 passed, 1 failed, 0 skipped", "\nfailed: unstarted: toy/good\n    it did not end\n    invalid value")
}

// TMPDIR may be relative, although tests run in other directories, and have a space in its name.
func TestTemporary(t *testing.T) {
	r := startToys(t, "green", "TMPDIR=tmp")
	r.end(t, 0, "4 passed, 0 failed, 1 skipped")
	mountinfo := "22 1 0:21 / /a\\040b rw - tmpfs none rw\n23 22 0:22 / /a\\040b/c rw - tmpfs none rw\n24 23 0:23 / /a\\040b/c/d rw - tmpfs none rw\n"
	if got := mountsBelow("/a b", mountinfo); !slices.Equal(got, []string{"/a b/c/d", "/a b/c"}) {
		t.Errorf("got %q", got)
	}
}

// binOf returns a directory for PATH that has only these programs.
func binOf(t *testing.T, programs ...string) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err = errors.Join(err, os.Symlink(path, filepath.Join(bin, name))); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// script writes a shell script.
func script(t *testing.T, name, text string) {
	t.Helper()
	fdtest.Must(t, os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o777))
}

// Without a compiler, what needs one is left out, and the reason is true.
func TestWithoutCompiler(t *testing.T) {
	bin := binOf(t, "go", "printf", "sh")
	path := "PATH=" + bin
	const parts, one, two = "tap off c", "1 passed, 0 failed, 1 skipped", "1 passed, 1 failed, 1 skipped"
	startToys(t, parts, path).end(t, 0, one, "skipped: c: no C compiler (gcc) in PATH\n", "missing: C compiler ")
	startToys(t, parts, path, "CI=true").end(t, 1, two, "skipped: c: no C compiler (gcc) in PATH\n")
	off := startToys(t, parts, "CGO_ENABLED=0")
	off.end(t, 0, one, "skipped: c: CGO_ENABLED=0\n")
	if strings.Contains(off.printed(), "missing:") {
		t.Error("it says that a compiler is missing")
	}
	script(t, bin+"/gcc", "exit 1")
	startToys(t, parts, path).end(t, 0, one, "skipped: c: the C compiler (gcc) does not work: ", "missing: C compiler ")
}

// A compiler that the user has chosen must work, and nothing runs before it does.
func TestChosenCompiler(t *testing.T) {
	for _, cc := range []string{"false", "nosuch"} {
		r := startToys(t, "tap c", "CC="+cc)
		r.end(t, 1, "0 passed, 1 failed, 0 skipped", "\nCC="+cc+" does not work: ")
	}
	startToys(t, "tap c", "GO=nosuch").end(t, 1, "0 passed, 1 failed, 0 skipped", "\nthe go command (nosuch) does not work\n")
	startToys(t, "tap c", "CC=nosuch", "CGO_ENABLED=0").end(t, 0, "1 passed, 0 failed, 1 skipped", "skipped: c: CGO_ENABLED=0\n")
}

// Parts that need a compiler run after the part that has installed one.
func TestInstalledCompiler(t *testing.T) {
	gcc := fdtest.Program(t, "gcc")
	bin := binOf(t, "go", "printf", "sh", "mv")
	script(t, bin+"/not-installed", "PATH="+os.Getenv("PATH")+` exec `+gcc+` "$@"`)
	environment := []string{"PATH=" + bin, "BIN=" + bin, "CC="}
	startToys(t, "installs c tap", append(environment, "SETUP=0")...).end(t, 0, "1 passed, 0 failed, 1 skipped", "skipped: c: no C compiler (gcc) in PATH\n")
	startToys(t, "installs c tap", append(environment, "SETUP=")...).end(t, 0, "1 passed, 0 failed, 0 skipped")
}

// A module that needs a newer Go is skipped.
func TestNewerGo(t *testing.T) {
	r := startToys(t, "tap")
	r.end(t, 0, "1 passed, 0 failed, 0 skipped")
	fdtest.Must(t, errors.Join(os.Mkdir(r.dir+"/other", 0o777), os.WriteFile(r.dir+"/other/go.mod", []byte("module other\n\ngo 9.99\n"), 0o666)))
	r.start(t, "tap other", "GOTOOLCHAIN=local")
	r.end(t, 0, "1 passed, 0 failed, 1 skipped", "skipped: other: go: go.mod requires go >= 9.99")
}

// wait waits until a condition holds.
func (r *toyRun) wait(t *testing.T, holds func() bool) {
	t.Helper()
	for range 2000 {
		if holds() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = r.Process.Kill()
	t.Fatalf("this is all that it printed:\n%s", r.printed())
}

// waits waits until the run knows that the test waits, and returns the process that the test has started.
func (r *toyRun) waits(t *testing.T) (pid int) {
	t.Helper()
	r.wait(t, func() bool {
		log, _ := os.ReadFile(r.results + "/waits.log")
		return bytes.Contains(log, []byte("=== RUN   TestWaits\n"))
	})
	return r.started(t)
}

// started waits until a process has started, and returns it.
func (r *toyRun) started(t *testing.T) (pid int) {
	t.Helper()
	r.wait(t, func() bool {
		text, _ := os.ReadFile(r.dir + "/waits.pid")
		_, err := fmt.Sscan(string(text), &pid)
		return err == nil
	})
	return pid
}

func TestSignals(t *testing.T) {
	for _, c := range []struct {
		name     string
		signals  []unix.Signal
		patience string
		status   int
	}{
		{"interrupted twice", []unix.Signal{unix.SIGINT, unix.SIGINT}, "10m", 130},
		{"terminated twice", []unix.Signal{unix.SIGTERM, unix.SIGTERM}, "10m", 143},
		{"killed after a while", []unix.Signal{unix.SIGINT}, "2s", 130},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := startToys(t, "tap waits late", "TOYS_PATIENCE="+c.patience)
			pid := r.waits(t)
			for _, s := range c.signals {
				if err := r.Process.Signal(s); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond) // signals that are the same can be one
			}
			r.end(t, c.status, "2 passed, 1 failed, 0 skipped", "\ninterrupted during waits before late\n")
			if !fdtest.Ended(pid) {
				t.Errorf("the process %d is left", pid)
			}
			if strings.Contains(r.printed(), "failed: waits") {
				t.Error("it accuses a test that was interrupted")
			}
		})
	}
}

// A process that a command left running, and that keeps its output open, does not keep the run from ending.
func TestLeavesProcesses(t *testing.T) {
	startToys(t, "leaves").end(t, 1, "0 passed, 1 failed, 0 skipped", "a.go:1: wrong", "killed a process that the tests left running: ", " sleep 600\n")
}

// After an interrupt, neither does such a process that the run cannot find.
func TestHiddenProcess(t *testing.T) {
	r := startToys(t, "hides", "TOYS_PATIENCE=1s")
	pid := r.started(t)
	defer func() { _ = unix.Kill(pid, unix.SIGKILL) }()
	_ = r.Process.Signal(unix.SIGINT)
	r.end(t, 130, "0 passed, 1 failed, 0 skipped", "\ninterrupted during hides\n")
}

// A run whose output is not read, as in make test | head, ends its tests, and leaves no files or processes.
func TestNothingReads(t *testing.T) {
	r := startToys(t, "tap")
	r.end(t, 0, "1 passed, 0 failed, 0 skipped")
	r.command(t, "shows waits", "TOYS_PATIENCE=1s")
	out, err := r.StdoutPipe()
	if err = errors.Join(err, r.Start()); err != nil {
		t.Fatal(err)
	}
	pid := r.waits(t)
	out.Close()
	_ = r.Wait()
	if status := r.ProcessState.ExitCode(); status != 128+int(unix.SIGPIPE) {
		t.Errorf("got status %d", status)
	}
	if left, err := os.ReadDir(r.dir + "/tmp"); err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
	if !fdtest.Ended(pid) {
		t.Errorf("the process %d is left", pid)
	}
}

// A second run in a directory waits for the first, and can be interrupted.
func TestLock(t *testing.T) {
	r := startToys(t, "waits")
	r.waits(t)
	second := &toyRun{dir: r.dir, results: r.results}
	second.start(t, "tap")
	const waits = "waiting for another run of the tests, which holds the lock build/tests.lock\n"
	second.wait(t, func() bool { return second.printed() == waits })
	_ = second.Process.Signal(unix.SIGINT)
	_ = second.Wait()
	if text := second.printed(); !strings.HasSuffix(text, "\n0 passed, 1 failed, 0 skipped\n") || second.ProcessState.ExitCode() != 130 {
		t.Errorf("the second run printed:\n%s", text)
	}
	for range 2 {
		_ = r.Process.Signal(unix.SIGINT)
		time.Sleep(100 * time.Millisecond)
	}
	r.end(t, 130, "1 passed, 1 failed, 0 skipped")
}

// A directory that cannot be written to is an error, and not a pass.
func TestResultsCannotBeWritten(t *testing.T) {
	full := t.TempDir()
	fdtest.Must(t, os.WriteFile(full+"/file", nil, 0o666))
	startToys(t, "tap", "RESULTS="+full+"/file").end(t, 1, "0 passed, 1 failed, 0 skipped", "cannot write to RESULTS: mkdir "+full+"/file: not a directory")
	for name, to := range map[string]string{"tap.log": ".", "green.log": "/dev/full"} {
		fdtest.Must(t, os.Symlink(to, filepath.Join(full, name)))
	}
	startToys(t, "tap", "RESULTS="+full).end(t, 1, "0 passed, 1 failed, 0 skipped", "cannot write to RESULTS: open "+full+"/tap.log: is a directory")
	startToys(t, "green", "RESULTS="+full).end(t, 1, "4 passed, 1 failed, 1 skipped",
		"cannot write to RESULTS: write "+full+"/green.log: no space left on device")
	// A file system that is always mounted, and cannot be written to, even by root.
	startToys(t, "tap", "RESULTS=/proc/self").end(t, 1, "0 passed, 1 failed, 0 skipped", "cannot write to RESULTS: access /proc/self: ")
}

// On a terminal, the progress line is rewritten. Elsewhere, each ends with a newline.
func TestProgress(t *testing.T) {
	p := &running{part: part{Name: "a", Packages: []string{"./..."}}, packages: map[string]*goPackage{"p": packageOf([]string{"start", "run A", "pass A", "pass"}), "q": newPackage("q")}}
	if got, want := p.progress(), "a: 1 test, 1 of 2 packages"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	read, write, err := os.Pipe()
	fdtest.Must(t, err)
	s := &screen{out: write, terminal: true}
	s.progress("one")
	s.progress("two")
	s.printf("three")
	write.Close()
	text, _ := io.ReadAll(bufio.NewReader(read))
	if want := "one\r\x1b[Ktwo\r\x1b[Kthree\n"; string(text) != want {
		t.Errorf("got %q, want %q", text, want)
	}
}

func TestPlansHaveParts(t *testing.T) {
	used := map[string]bool{}
	for plan, names := range plans {
		for _, name := range names {
			used[name] = true
			if !slices.ContainsFunc(parts, func(p part) bool { return p.Name == name }) {
				t.Errorf("%s: no part is named %s", plan, name)
			}
		}
	}
	for _, p := range parts {
		if !used[p.Name] {
			t.Errorf("%s is in no plan", p.Name)
		}
		for _, name := range p.After {
			if !used[name] {
				t.Errorf("%s waits for %s, which is in no plan", p.Name, name)
			}
		}
	}
}

// The part that builds the partners gets the user's list, and the tests get the list that it writes.
func TestPartners(t *testing.T) {
	t.Setenv("SCM_PARTNERS", "mine.json")
	partners := &running{part: part{Name: "partners", Command: []string{"true"}}}
	tests := &running{part: part{Packages: []string{"."}}}
	r := &run{parts: []*running{partners, tests}}
	for p, want := range map[*running]string{partners: "mine.json", tests: "build/peers/partners.json"} {
		got := ""
		for _, v := range r.environment(p, "tmp", "records") {
			if value, ok := strings.CutPrefix(v, "SCM_PARTNERS="); ok {
				got = value // the last one holds
			}
		}
		if !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAgain(t *testing.T) {
	goTests := map[string]*goPackage{module: packageOf([]string{"run A", "run A/b c"}), module + "/wire": packageOf([]string{"run A"}), module + "/proof/repotest": newPackage("")}
	for _, c := range []struct {
		part
		test
		want string
	}{
		{part{}, test{Package: module, Name: "A/b c"}, "go test . -v -run '^A$/^b c$'"},
		{part{Tags: "scm_purego"}, test{Package: module + "/wire", Name: ""}, "go test -tags scm_purego ./wire"},
		{part{}, test{Package: module + "/wire", Name: "a (spec)"}, `go test ./wire -ginkgo.v -ginkgo.focus='a \(spec\)'`},
		{part{Dir: "proof"}, test{Package: module + "/proof/repotest", Name: suiteTest}, "go test -C proof ./repotest"},
		{part{Dir: "proof"}, test{Package: module + "/wire", Name: "A"}, "go test -C proof " + module + "/wire -v -run '^A$'"},
		{part{Env: []string{"X=1"}}, test{Package: module, Name: ""}, "X=1 go test ."},
		{part{Dir: "proof"}, test{Name: "difftest"}, "go test -C proof ./..."},
		{part{Command: []string{"make", "lint-go"}}, test{}, "make lint-go"},
		{part{Command: makeC("test"), TAP: true}, test{}, "make -C csrc test"},
		{bsd("bsd-user", "1000"), test{Package: module, Name: "A"}, "make proof-bsd KERNEL=FILE"},
	} {
		if c.part.Packages = []string{"./..."}; c.part.Command != nil {
			c.part.Packages = nil
		}
		if got := (&running{part: c.part, packages: goTests}).again(c.test); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestIncludes(t *testing.T) {
	purego := &running{part: part{Not: []string{".", "./tools/..."}, Using: "pure", UserUsing: []string{"procfs"}, Same: []string{"./same"}, AsUser: true}}
	for _, c := range []struct {
		path, deps string
		want       [3]bool // with a compiler, as another user, without a compiler
	}{
		{".", "pure", [3]bool{false, false, false}},
		{"./tools/a", "pure", [3]bool{false, false, false}},
		{"./toolsmith", "pure", [3]bool{true, true, true}},
		{"./same", "pure", [3]bool{false, true, true}},
		{"./a", "procfs", [3]bool{false, true, true}},
		{"./a", "os", [3]bool{false, false, true}},
	} {
		for i, user := range []string{"", "as", ""} {
			t.Setenv("AS_USER", user)
			if got := (&run{noC: []string{"", "", "none"}[i]}).includes(purego, c.path, []string{c.deps}, false); got != c.want[i] {
				t.Errorf("%s using %s, %d: got %v", c.path, c.deps, i, got)
			}
		}
	}
}
