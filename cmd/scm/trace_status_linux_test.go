package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

func TestTraceExitStatus(t *testing.T) {
	traceable(t)
	folder := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		want string // on standard error
	}{
		{[]string{"--", "true"}, 0, ""},
		{[]string{"sh", "-c", "exit 7"}, 7, ""},
		{[]string{"sh", "-c", "exit 255"}, 255, ""},
		{[]string{"--no-filter", "sh", "-c", "exit 4"}, 4, ""},
		{[]string{"sh", "-c", "kill -TERM $$"}, 128 + 15, ""},
		{[]string{"sh", "-c", "kill -KILL $$"}, 128 + 9, ""},
		{[]string{"no-such-command"}, 127, "not found"},
		{[]string{folder + "/none"}, 127, "no such file"},
		{[]string{folder}, 126, "permission denied"},
		{[]string{"/"}, 126, "is a directory"},
		{nil, 2, "needs either"},
		{[]string{"-p", "1", "true"}, 2, "needs either"},
		{[]string{"--fly", "true"}, 2, "unknown flag"},
		{[]string{"-o", folder, "true"}, 4, "is a directory"},
		{[]string{"-p", "1073741824"}, 4, "no such process"},
		{append([]string{"-o", "/dev/full", "--"}, tracee("pass")...), 4, "the trace is incomplete"},
		{[]string{"-o", "/dev/full", "--", "sh", "-c", strings.Join(tracee("pass"), " ") + "; exit 5"}, 5, "the trace is incomplete"},
	} {
		r := finish(t, scmCommand(append([]string{"trace"}, c.args...)...))
		if r.code != c.code || !strings.Contains(r.stderr, c.want) || c.want == "" && r.stderr != "" {
			t.Errorf("%q: got %+v, want %d and %q", c.args, r, c.code, c.want)
		}
	}
}

// Without ptrace or /proc, the message says why, and the status is not one that is about the command.
func TestCannotRecord(t *testing.T) {
	commands := [][]string{{"trace", "true"}, {"trace", "-p", strconv.Itoa(os.Getpid())}, {"diff", "true", "---", "true"}}
	check := func(t *testing.T, cmd *exec.Cmd, want string) {
		t.Helper()
		ends(t, result{code: 4, stderr: "…" + want + "…"}, cmd)
	}
	t.Run("a security module denies ptrace", func(t *testing.T) {
		blocked := tracee("without ptrace")
		for _, args := range commands {
			check(t, exec.Command(blocked[0], slices.Concat(blocked[1:], []string{program(t, "scm")}, args)...), "permission denied: a security module (SELinux, AppArmor, ")
		}
	})
	t.Run("no /proc", func(t *testing.T) {
		fdtest.NeedRoot(t, "call chroot(2)")
		root := fdtest.ShortDir(t) // where program builds, so that a link is possible
		fdtest.Must(t, os.Link(program(t, "scm"), filepath.Join(root, "scm")))
		for _, args := range append(commands, []string{"interop", "run"}, []string{"interop", "list"}, []string{"interop", "smoke"}) {
			cmd := exec.Command("/scm", args...)
			cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Chroot: root}, "/"
			check(t, cmd, "/proc is not mounted: mount -t proc proc /proc")
		}
	})
	t.Run("/proc of another namespace", func(t *testing.T) {
		fdtest.NeedRoot(t, "create a PID namespace without a user namespace")
		for _, args := range append(commands, []string{"interop", "run"}) {
			cmd := exec.Command(program(t, "scm"), args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
			check(t, cmd, "/proc belongs to another PID namespace")
		}
	})
}

// As in a shell, a command is found in the current directory if PATH contains it.
func TestRelativePath(t *testing.T) {
	traceable(t)
	dir := t.TempDir()
	fdtest.Must(t, os.WriteFile(filepath.Join(dir, "six"), []byte("#!/bin/sh\nexit 6\n"), 0o700))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"trace", "--", "six"}, 6, ""},
		{[]string{"diff", "--", "six", "---", "six"}, 4, "six: exit status 6"},
	} {
		cmd := scmCommand(c.args...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "PATH=.:"+os.Getenv("PATH"))
		ends(t, result{c.code, "…", "…" + c.want + "…"}, cmd)
	}
}

// The commands for a CI job in docs/testing-a-daemon.md fail if the client does, or if it leaks a descriptor. Only the
// stricter search finds a descriptor whose file was deleted. Neither finds the text in the name of a file.
func TestTraceInCI(t *testing.T) {
	traceable(t)
	page := contents(t, "../../docs/testing-a-daemon.md")
	lines := regexp.MustCompile(`    (scm trace -o .*\n)    (.*\n)`).FindStringSubmatch(page)
	searches := regexp.MustCompile(`grep '[^']*'`).FindAllString(page, -1)
	if lines == nil || len(searches) != 2 {
		t.Fatalf("the page has the lines %q and the searches %q", lines, searches)
	}
	quoted := func(words ...string) string { return "'" + strings.Join(words, "' '") + "'" }
	for _, c := range []struct {
		client       string
		code, strict int
	}{
		{quoted(tracee("pass")...), 0, 0},
		{quoted(tracee("leak one")...), 1, 1},
		{quoted(tracee("leak deleted")...), 0, 1},
		{quoted(append([]string{"sh", "-c", `: >"exit: still open"; exec "$@" <"exit: still open"`, "sh"}, tracee("pass")...)...), 0, 0},
		{quoted("sh", "-c", "exit 7"), 7, 7},
	} {
		script := "scm() { " + quoted(tracee(scmChild)...) + ` "$@"; }` + "\n" + strings.Replace(lines[1]+lines[2], "./myclient", c.client, 1)
		for search, code := range map[string]int{searches[0]: c.code, searches[1]: c.strict} {
			cmd := exec.Command("sh", "-c", strings.Replace(script, searches[0], search, 1))
			cmd.Dir = t.TempDir()
			if r := finish(t, cmd); r.code != code {
				t.Errorf("%s, %s: got %+v, want exit status %d", c.client, search, r, code)
			}
		}
	}
}
