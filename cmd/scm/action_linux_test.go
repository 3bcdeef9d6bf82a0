package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/report"
	"golang.org/x/sys/unix"
)

// actionCommand is the step of a CI server, which leaves its files in the folder. The peers
// inside do not play.
func actionCommand(t *testing.T, dir string, inputs ...string) *exec.Cmd {
	t.Helper()
	tool(t, "bash")
	script, err := filepath.Abs("../../interop/action.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script)
	cmd.Env = append(os.Environ(), "RUNNER_TEMP="+dir, "GITHUB_STEP_SUMMARY="+dir+"/summary", "GITHUB_OUTPUT="+dir+"/output",
		"REPORTS="+dir+"/reports", "PEERS=", "RUN=", "SKIP=", "EXPECT=", "SHARD=", "BUILTIN=false")
	cmd.Env = append(cmd.Env, inputs...)
	return cmd
}

// The action of a CI server, as its step runs it: the inputs are lines in the
// environment, and what it leaves is in files.
func TestAction(t *testing.T) {
	fake := program(t, "faulty")
	again := "" // the folder of the last run, if it is to be used once more
	action := func(inputs ...string) (code int, dir string, out string) {
		if dir = again; dir == "" {
			dir = t.TempDir()
		}
		r := finish(t, actionCommand(t, dir, inputs...))
		return r.code, dir, r.text()
	}

	code, dir, out := action("PEERS=good="+fake+"\nbad="+fake+" --fault cloexec\n", "RUN=basics/pass-one-fd\n\n basics/echo-back/stream \r\n", "SKIP=**/dgram/**",
		"EXPECT="+write(t, "** cloexec@bad it is a fake"))
	if code != 0 {
		t.Fatalf("exit status %d\n%s", code, out)
	}
	r, err := report.Read(dir + "/reports/report.json")
	if err != nil {
		t.Fatal(err)
	}
	if r.Totals.Expected == 0 || r.Totals.Pass == 0 || len(r.Cases) == 0 {
		t.Errorf("got %+v", r.Totals)
	}
	for _, c := range r.Cases {
		if strings.Contains(c.Name, "/dgram/") {
			t.Errorf("%s was to be left out", c.Name)
		}
	}
	if got := contents(t, dir+"/output"); got != "status=0\n" {
		t.Errorf("the outputs are %q", got)
	}
	if got := contents(t, dir+"/summary"); got != contents(t, dir+"/reports/report.md") || !strings.HasPrefix(got, "## scm interop: as expected\n") {
		t.Errorf("the summary is %q", got)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("left: %v, %v", left, err)
	}

	if code, dir, out := action("REPORTS=", "RUN=basics/pass-one-fd"); code != 2 || out != "the input reports is empty\n" || contents(t, dir+"/output") != "status=2\n" {
		t.Errorf("without a folder: exit status %d\n%s", code, out)
	}

	code, dir, _ = action("PEERS=bad="+fake+" --fault cloexec", "RUN=basics/pass-one-fd")
	if got := contents(t, dir+"/output"); code != 1 || got != "status=1\n" || !strings.HasPrefix(contents(t, dir+"/summary"), "## scm interop: **not as expected**\n") {
		t.Errorf("exit status %d, outputs %q", code, got)
	}
	// A run that does not begin leaves nothing of the one before.
	again = dir
	if err := errors.Join(os.Remove(dir+"/output"), os.Truncate(dir+"/summary", 0)); err != nil {
		t.Fatal(err)
	}
	code, dir, _ = action("SHARD=none")
	if got := contents(t, dir+"/output"); code != 2 || got != "status=2\n" || contents(t, dir+"/summary") != "" {
		t.Errorf("exit status %d, outputs %q, summary %q", code, got, contents(t, dir+"/summary"))
	}
	if left, err := os.ReadDir(dir + "/reports"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	// Nor does one whose scm cannot be built, and nothing of that is left.
	if err := os.Remove(dir + "/output"); err != nil {
		t.Fatal(err)
	}
	code, dir, _ = action("GOFLAGS=-no-such-flag")
	if got := contents(t, dir+"/output"); code != 4 || got != "status=4\n" || contents(t, dir+"/summary") != "" {
		t.Errorf("exit status %d, outputs %q, summary %q", code, got, contents(t, dir+"/summary"))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("left: %v, %v", left, err)
	}

	// No command of the workflow is read while it runs, nor on standard error.
	again = ""
	for _, peer := range []string{forging("recv"), forging("hello")} {
		code, _, out = action("PEERS=x=sh "+write(t, peer), "RUN=basics/pass-one-fd/stream/runner/x")
		m := regexp.MustCompile(`(?s)^::stop-commands::([0-9a-f]{32})\n(.*)\n::([0-9a-f]{32})::\n$`).FindStringSubmatch(out)
		if code == 0 || m == nil || m[1] != m[3] || strings.Contains(m[2], m[1]) || !strings.Contains(m[2], "::error::forged") {
			t.Errorf("exit status %d, %s", code, out)
		}
	}
}

// A CI server cancels a step by a signal to its process; a terminal sends one to all of the
// group. The run ends, and leaves its reports.
func TestActionCancelled(t *testing.T) {
	fake := program(t, "faulty")
	for _, c := range []struct {
		name   string
		signal unix.Signal
		group  int // -1: the group too
	}{
		{"interrupt", unix.SIGINT, 1},
		{"terminated, with its group", unix.SIGTERM, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, file := t.TempDir(), filepath.Join(t.TempDir(), "pid")
			cmd := actionCommand(t, dir, "PEERS="+slowPeer(file, fake))
			// Files, because who is left would keep a pipe open.
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(6*time.Minute, func() { _ = cmd.Process.Kill() })
			defer late.Stop()
			defer endThoseOf(t, dir)
			peer := waitFor(t, file)
			if err := unix.Kill(c.group*cmd.Process.Pid, c.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the status is looked at below
			for _, pid := range append(runningOf(t, dir), peer) {
				if running(pid) {
					t.Errorf("process %s of the run is left", pid)
				}
			}
			if code := cmd.ProcessState.ExitCode(); code != 143 {
				t.Errorf("%v\n%s", cmd.ProcessState, contents(t, out.Name()))
			}
			if got := contents(t, dir+"/output"); got != "status=143\n" {
				t.Errorf("the outputs are %q", got)
			}
			if r, err := report.Read(dir + "/reports/report.json"); err != nil || r.Cut != "terminated" {
				t.Errorf("got %+v, %v", r, err)
			}
			if got := contents(t, dir+"/summary"); !strings.Contains(got, "cut short: terminated") {
				t.Errorf("the summary is %q", got)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// runningOf lists the processes whose command line has the text.
func runningOf(t *testing.T, text string) (pids []string) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if line, err := os.ReadFile(name); err == nil && strings.Contains(string(line), text) {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}

// endThoseOf ends the processes whose command line has the text.
func endThoseOf(t *testing.T, text string) {
	t.Helper()
	for late := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		pids := runningOf(t, text)
		if len(pids) == 0 {
			return
		}
		signal := unix.SIGTERM // scm ends its peers
		if time.Now().After(late) {
			signal = unix.SIGKILL
		}
		for _, pid := range pids {
			number, err := strconv.Atoi(pid)
			if err == nil {
				_ = unix.Kill(number, signal)
			}
		}
		if signal == unix.SIGKILL {
			t.Errorf("%v end by KILL alone", pids)
			return
		}
	}
}

// The workspace of somebody who has this checkout inside their own module, and how they
// have Go find modules, are not those of scm.
func TestActionInAWorkspace(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module mine\n", "go.work": "go 1.25\n\nuse .\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, set := range [][]string{
		{"GOWORK=" + dir + "/go.work"}, {"GOFLAGS=-mod=vendor"},
		{"GOFLAGS=-buildvcs=auto", "GIT_TEST_ASSUME_DIFFERENT_OWNER=1"}, // git refuses the checkout of another owner
	} {
		if r := finish(t, actionCommand(t, dir, append(set, "RUN=basics/pass-one-fd/stream", "BUILTIN=true")...)); r.code != 0 {
			t.Errorf("%s: exit status %d\n%s", set, r.code, r.text())
		}
	}
}

// Each input of the action reaches the script, and the script reads no other.
func TestActionInputs(t *testing.T) {
	find := func(in, form string) (names []string) {
		for _, m := range regexp.MustCompile(form).FindAllStringSubmatch(in, -1) {
			names = append(names, strings.ToLower(m[1]))
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	inputs, rest, _ := strings.Cut(contents(t, "../../action.yml"), "\noutputs:\n")
	declared := find(inputs, `(?m)^  ([a-z]+):$`)
	passed := find(rest, `(?m)^        ([A-Z]+): \$\{\{ inputs\.[a-z]+ \}\}$`)
	read := find(contents(t, "../../interop/action.sh"), `\$\{?([A-Z]+)\b`)
	if len(declared) == 0 || !slices.Equal(declared, passed) || !slices.Equal(declared, read) {
		t.Errorf("declared %v, passed %v, read %v", declared, passed, read)
	}
}
