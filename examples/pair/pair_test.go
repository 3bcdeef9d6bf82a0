//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) {
	ready()
	program.Main(m, main)
}

const (
	nine = `
Each parent passes an open file to each child, gets it back and reads it:
                        child in C   child in Go with cgo   child in pure Go
parent in C             passed       passed                 passed
parent in Go with cgo   passed       passed                 passed
parent in pure Go       passed       passed                 passed
`
	one = `
Each parent passes an open file to each child, gets it back and reads it:
                    child in pure Go
parent in pure Go   passed
left out, because no C compiler works: C, Go with cgo, and comparing cgo with pure Go
on Debian, root can install a compiler: apt-get install gcc libc6-dev
`
)

// prints runs pair, whose standard output must match a pattern. Only the limit of go test applies to it, because
// it builds programs.
func prints(t *testing.T, status int, want string) {
	t.Helper()
	pair := program.Command()
	var out, errs bytes.Buffer
	pair.Stdout, pair.Stderr = &out, &errs
	_ = pair.Run() // the exit status is checked
	if !regexp.MustCompile("^(?:"+want+")$").MatchString(out.String()) || pair.ProcessState.ExitCode() != status {
		t.Errorf("%v, and printed:\n%s\nwant %d and:\n%s\nstandard error:\n%s", pair.ProcessState, &out, status, want, &errs)
	}
}

func TestPair(t *testing.T) {
	needsCompiler(t)
	t.Setenv("CI", "") // with true, it needs a recorder
	prints(t, 0, nine+"cgo and pure Go: (the same 4 system calls, 0 bytes differ|not compared: .*)\n")
}

func needsCompiler(t *testing.T) {
	t.Helper()
	fdtest.Program(t, "cc")
}

func TestWithoutCompiler(t *testing.T) {
	t.Setenv("CC", "no-such-compiler")
	for ci, status := range map[string]int{"": 0, "true": 1} {
		t.Run("CI="+ci, func(t *testing.T) {
			t.Setenv("CI", ci)
			prints(t, status, one)
		})
	}
}

// After an interrupt while it builds, pair leaves no files.
func TestInterrupt(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("CC", "no-such-compiler")
	pair := program.Command()
	pair.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	steps := program.Must(pair.StderrPipe())
	fdtest.Must(t, pair.Start())
	lines := bufio.NewScanner(steps)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "building ") {
	}
	fdtest.Must(t, lines.Err())
	fdtest.Must(t, syscall.Kill(-pair.Process.Pid, syscall.SIGINT))
	rest := program.Must(io.ReadAll(steps))
	_ = pair.Wait() // its exit status is checked
	if left := program.Must(os.ReadDir(temporary)); pair.ProcessState.ExitCode() != 1 || len(left) > 0 {
		t.Errorf("%v, left %v, and printed %q", pair.ProcessState, left, rest)
	}
}

// A compiler may ignore the first signal. The second one ends pair.
func TestSecondSignal(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // pair leaves its files
	cc := fdtest.ShortDir(t) + "/cc"
	fdtest.Must(t, os.WriteFile(cc, []byte("#!/bin/sh\ntrap '' INT\necho trapped >&2\nexec sleep 600\n"), 0o755))
	t.Setenv("CC", cc)
	cmd := program.Command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w, err := os.Pipe()
	fdtest.Must(t, err)
	defer func() { _ = r.Close() }()
	cmd.Stderr = w
	pair := program.Start(t, cmd)
	t.Cleanup(func() { _ = syscall.Kill(-pair.PID, syscall.SIGKILL) })
	fdtest.Must(t, w.Close())
	_ = r.SetReadDeadline(time.Now().Add(fdtest.Limit(time.Minute)))
	lines := bufio.NewScanner(r)
	for lines.Scan() && lines.Text() != "trapped" {
	}
	fdtest.Must(t, lines.Err())
	pair.StopsAtOnce(t, "pair")
}

// If a compiler takes long, pair prints what it is building. It writes nothing to a compiler, which may have ended.
func TestStep(t *testing.T) {
	cc := fdtest.ShortDir(t) + "/cc"
	fdtest.Must(t, os.WriteFile(cc, []byte("#!/bin/sh\ncase $* in *empty*) [ -z \"$(cat)\" ] ;; *) exec sleep 600 ;; esac\n"), 0o755))
	t.Setenv("CC", cc)
	pair := program.Command()
	pair.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	steps := program.Must(pair.StderrPipe())
	fdtest.Must(t, pair.Start())
	const want = "still building a parent and a child in C after "
	lines, printed := bufio.NewScanner(steps), []string{}
	for len(printed) < 100 && lines.Scan() {
		printed = append(printed, lines.Text())
		if strings.HasPrefix(lines.Text(), want) {
			break
		}
	}
	fdtest.Must(t, lines.Err())
	if !strings.HasPrefix(lines.Text(), want) {
		t.Errorf("printed %q, want %q", printed, want)
	}
	fdtest.Must(t, syscall.Kill(-pair.Process.Pid, syscall.SIGINT))
	_ = program.Must(io.ReadAll(steps))
	_ = pair.Wait() // it fails
}

// docs/c.md shows the parent in C and the child in Go.
func TestPage(t *testing.T) {
	page := program.Must(os.ReadFile("../../docs/c.md"))
	for _, name := range []string{"c/parent.c", "child/main.go"} {
		source := program.Must(os.ReadFile(name))
		if lines := bytes.Count(source, []byte("\n")); lines > 20 || !bytes.Contains(page, source) {
			t.Errorf("docs/c.md does not contain %s, or it has more than 20 lines: %d", name, lines)
		}
	}
}
