package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/cmd/scm/internal/cli"
	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/process"
	"github.com/spf13/cobra"
)

// binaries is the directory of the programs that the tests start.
var binaries string

func TestMain(m *testing.M) {
	recorder.Main()
	process.Main()
	reexec.Main()
	fdtest.UseShortTemp()
	// Under nohup, SIGHUP is ignored, and in the background of a script, SIGINT.
	// Processes that the tests start would inherit that. A signal that is handled
	// here has its default action in them.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	fdleak.Main(suite{m})
}

// suite removes the programs after the tests.
type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	if binaries != "" {
		_ = os.RemoveAll(binaries)
	}
	return code
}

// buildPrograms builds scm, the faulty peers and listenfds once, in a directory that is accessible to any user.
var buildPrograms = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "scm-command-")
	if err != nil {
		return err
	}
	binaries = dir
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binaries+"/", ".", "../../interop/peers/faulty", "./testdata/listenfds")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// program returns the path of one of them.
func program(t *testing.T, name string) string {
	t.Helper()
	fdtest.Must(t, buildPrograms())
	return filepath.Join(binaries, name)
}

// A result is the outcome of running a command.
type result struct {
	code           int // -1 after a signal
	stdout, stderr string
}

// String returns the result in lines, for messages of tests.
func (r result) String() string {
	return fmt.Sprintf("exit status %d\nstandard output:\n%sstandard error:\n%s", r.code, r.stdout, r.stderr)
}

// text returns the output on both streams.
func (r result) text() string { return r.stdout + r.stderr }

// command runs scm in an empty directory.
func command(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, exec.Command(program(t, "scm"), args...))
}

// finish runs a command until it ends, or until killLate kills it.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	cmd.WaitDelay = time.Minute // processes that it leaves behind may keep its output open
	fdtest.Must(t, cmd.Start())
	defer killLate(t, cmd)()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), progressLine.ReplaceAllString(stderr.String(), "")}
}

// killLate kills a command that reaches its time limit, unless stop is called before.
func killLate(t *testing.T, cmd *exec.Cmd) (stop func() bool) {
	limit := fdtest.Limit(10 * time.Minute)
	return time.AfterFunc(limit, func() {
		t.Errorf("%q reached the time limit of %v", cmd.Args, limit)
		_ = cmd.Process.Kill()
	}).Stop
}

// runs runs scm, and fails the test unless it has this result. "…" in what is wanted matches any text.
func runs(t *testing.T, want result, args ...string) {
	t.Helper()
	ends(t, want, exec.Command(program(t, "scm"), args...))
}

// ends is runs for another command.
func ends(t *testing.T, want result, cmd *exec.Cmd) {
	t.Helper()
	check(t, fmt.Sprintf("%q", cmd.Args), finish(t, cmd), want)
}

// check fails the test unless the result is the wanted one, in which "…" matches any text. It prints both as a diff.
func check(t *testing.T, what string, got, want result) {
	t.Helper()
	if got.code == want.code && like(got.stdout, want.stdout) && like(got.stderr, want.stderr) {
		return
	}
	t.Errorf("%s (- wanted, + got)\n%s", what, difference(want.String(), got.String()))
}

// difference returns the lines of two texts. Those between the first and the last difference begin with - or +.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	first, last := 0, 0
	for n := min(len(a), len(b)); first < n && like(b[first], a[first]); first++ {
	}
	for n := min(len(a), len(b)) - first; last < n && like(b[len(b)-1-last], a[len(a)-1-last]); last++ {
	}
	var lines []string
	add := func(sign string, part []string) {
		for _, line := range part {
			lines = append(lines, sign+line)
		}
	}
	add("  ", b[:first])
	add("- ", a[first:len(a)-last])
	add("+ ", b[first:len(b)-last])
	add("  ", b[len(b)-last:])
	return strings.Join(lines, "\n")
}

// progressLine matches a line that a run prints if it takes long, as it may on a busy machine.
var progressLine = regexp.MustCompile(`(?m)^scm: \d+ of \d+ cases, \d+ not as expected\n`)

// write creates a file with this text.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	fdtest.Must(t, os.WriteFile(file, []byte(text), 0o666))
	return file
}

// fifo creates a FIFO with this name.
func fifo(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	fdtest.Must(t, syscall.Mkfifo(file, 0o600))
	return file
}

// like reports whether text matches want, in which "…" matches anything.
func like(text, want string) bool {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*") + "$").MatchString(text)
}

// contents returns the contents of a file.
func contents(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	fdtest.Must(t, err)
	return string(text)
}

func TestVersion(t *testing.T) {
	want := regexp.MustCompile(`^scm \S+, backend purego, ` + regexp.QuoteMeta(fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)) + "\n$")
	if r := command(t, "version"); r.code != 0 || !want.MatchString(r.stdout) || r.stderr != "" {
		t.Errorf("version: got %+v, want %v", r, want)
	}
}

// Every command exits with 4 if its output cannot be written, even if that is a help text.
func TestUnwritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	fdtest.Must(t, err)
	defer full.Close()
	for _, args := range []string{"", "version", "help", "interop", "interop list", "recv --help", "completion bash"} {
		cmd := exec.Command(program(t, "scm"), strings.Fields(args)...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &stderr
		_ = cmd.Run() // the exit status is checked below
		if code := cmd.ProcessState.ExitCode(); code != 4 || stderr.String() != "scm: write /dev/stdout: no space left on device\n" {
			t.Errorf("%s: exit status %d, %q", args, code, &stderr)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		want string // on standard error, before the hint
		hint string // its first line
	}{
		{"fly", `unknown command "fly" for "scm"`, "scm COMMAND"},
		{"vesion", `unknown command "vesion" for "scm"; did you mean "scm version"?`, "scm COMMAND"},
		{"replay r.json#1", `unknown command "replay" for "scm"; did you mean "scm interop replay"?`, "scm COMMAND"},
		{"interop trace", `unknown command "trace" for "scm interop"; did you mean "scm trace"?`, "scm interop COMMAND"},
		{"version now", `unexpected argument "now"`, "scm version [flags]"},
		{"interop replay r.json basics/x", `join REPORT and ID with a #: "r.json#basics/x"`, "scm interop replay REPORT#ID [flags]"},
		{"interop replay r.json", `"r.json" is not REPORT#ID`, "scm interop replay REPORT#ID [flags]"},
		{"interop replay", "REPORT#ID is missing", "scm interop replay REPORT#ID [flags]"},
		{"interop summary a.json b.json", `unexpected argument "b.json"`, "scm interop summary REPORT [flags]"},
		{"interop show", "GROUP/ID is missing", "scm interop show GROUP/ID… [flags]"},
		{"interop new-peer", "LANGUAGE is missing", "scm interop new-peer LANGUAGE [flags]"},
		{"diff true true", "diff needs two commands, separated by ---", "scm diff [flags] -- COMMAND_A [ARG]... --- COMMAND_B [ARG]..."},
		{"interop smoke x", `smoke takes no arguments; to add a peer, use --peer mine="x"`, "scm interop smoke [flags]"},
	} {
		r := command(t, strings.Fields(c.args)...)
		if r.code != 2 || !strings.HasPrefix(r.stderr, "scm: "+c.want+"\nusage: "+c.hint+"\nhelp:  ") || r.stdout != "" {
			t.Errorf("%s: got %+v, want %s, %s", c.args, r, c.want, c.hint)
		}
	}
	for _, args := range []string{"", "help", "interop", "help interop run", "interop run --help"} {
		runs(t, result{stdout: "…Usage:…"}, strings.Fields(args)...)
	}
	runs(t, result{stdout: "…scmvet…"}, "help")
	// Only an error about the form of the command line has a hint.
	if r := command(t, "interop", "show", "no/such"); r.code != 2 || strings.Contains(r.stderr, "usage:") {
		t.Errorf("interop show no/such: got %+v, want exit status 2 and no hint", r)
	}
}

// Every command answers an unknown flag with the way to its help text.
func TestUnknownFlag(t *testing.T) {
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag() // as when the command runs
		path := cmd.CommandPath()
		args := append(strings.Fields(path)[1:], "--no-such-flag")
		r := command(t, args...)
		want := "scm: unknown flag: --no-such-flag\n" + cli.UsageHint(cmd)
		if r.code != 2 || r.stderr != want || !strings.HasSuffix(want, "help:  "+path+" --help\n") {
			t.Errorf("%s: got %+v, want %s", path, r, want)
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(rootCommand())
}
