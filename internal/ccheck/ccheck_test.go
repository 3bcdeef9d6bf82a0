//go:build linux

// Package ccheck runs the tests of csrc, whose folder cannot have a Go test of them: in a package that uses cgo, go vet
// would compile the C files of the tests too.
package ccheck

import (
	"bufio"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// TestCheck runs make check, and with -short only make test. Each line of TAP is a subtest.
func TestCheck(t *testing.T) {
	cc := exec.Command("go", "env", "CGO_ENABLED", "CC")
	out, err := cc.Output()
	fdtest.Must(t, err)
	enabled, compiler, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if enabled != "1" {
		fdtest.Missing(t, fdtest.Compiler, "cgo is disabled")
	}
	// go test takes a result from its cache unless a file has changed that the test has looked at.
	fdtest.Must(t, filepath.WalkDir("../../csrc", func(_ string, _ fs.DirEntry, err error) error { return err }))
	target := "check"
	if testing.Short() {
		target = "test"
	}
	// -Oline keeps the results of each program together.
	run(t, fdtest.Program(t, "make"), "-C", "../../csrc", "-k", "-j2", "-Oline", "--no-print-directory",
		"CC="+compiler, target)
}

// run runs a command that prints streams of TAP.
func run(t *testing.T, command ...string) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = fdtest.WithoutMake()
	out, err := cmd.StdoutPipe()
	fdtest.Must(t, err)
	cmd.Stderr = cmd.Stdout
	fdtest.Must(t, cmd.Start())
	other := read(t, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(command, " "), err, other)
	}
}

// A result is a line about a program or, indented, about one of its cases.
type result struct {
	name, why, output string
	failed            bool
}

func (r result) end(t *testing.T) {
	if r.failed {
		t.Error(r.why + "\n" + r.output)
	} else if skip, ok := strings.CutPrefix(r.why, "SKIP "); ok {
		t.Skip(skip)
	}
}

var resultLine = regexp.MustCompile(`^(    )?(not )?ok(?: \d+)?(?: - )?(.*?)(?: # (.*))?$`)

// read makes a subtest of each program, with a subtest of each case. It returns what no stream contains.
func read(t *testing.T, r io.Reader) (other string) {
	var cases []result
	output, open, programs := "", false, 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		line := lines.Text()
		m := resultLine.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "1.."):
			open = false
		case line == "TAP version 14" && !open:
			open = true
		case strings.HasPrefix(line, "# Subtest: "):
			output, cases = "", nil
		case !open:
			other += line + "\n"
		case m == nil:
			output += line + "\n"
		case m[1] != "":
			cases = append(cases, result{m[3], m[4], output, m[2] != ""})
			output = ""
		default:
			programs++
			program := result{m[3], m[4], output, m[2] != ""}
			t.Run(program.name, func(t *testing.T) {
				for _, c := range cases {
					t.Run(c.name, c.end)
				}
				if !t.Failed() {
					program.end(t)
				}
			})
			cases = nil
		}
	}
	if open {
		t.Errorf("the output ends before the end of the tests, after %d cases of a program\n%s", len(cases), output)
	}
	fdtest.Must(t, lines.Err())
	if programs == 0 {
		t.Error("no program has reported a test")
	}
	return other
}

// tapVariable is set in a process that reads this text instead.
const tapVariable = "SCM_TEST_TAP"

func TestToys(t *testing.T) {
	if text, toys := os.LookupEnv(tapVariable); toys {
		run(t, "printf", "TAP version 14\n# Subtest: p\n"+text)
		return
	}
	const one = "    ok 1 - one\n    ok 2 - two # SKIP missing: tea\n"
	for text, want := range map[string]string{
		one + "ok 1 - p\n1..1\n": "--- PASS: TestToys/p/one",
		one + "ok 1 - p\n":       "the output ends before the end of the tests, after 0 cases",
		"1..0\n":                 "no program has reported a test",
		one:                      "the output ends before the end of the tests, after 2 cases",
		one + "not ok 1 - p # exit status 3\n1..1\n":                    "exit status 3\n",
		"    # why\n    not ok 1 - one\nnot ok 1 - p\n1..1\nmake: oh\n": "    # why\n",
	} {
		cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^TestToys$")
		cmd.Env = append(os.Environ(), tapVariable+"="+text)
		out, err := cmd.CombinedOutput()
		if (err == nil) != strings.Contains(want, "PASS") || !strings.Contains(string(out), want) {
			t.Errorf("%q: got %v, and no %q in:\n%s", text, err, want, out)
		}
	}
}
