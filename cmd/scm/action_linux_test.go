package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/report"
)

// The action of a CI server, as its step runs it: the inputs are lines in the
// environment, and what it leaves is in files.
func TestAction(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skipf("bash: %v", err)
	}
	fake := program(t, "faulty")
	script, err := filepath.Abs("../../interop/action.sh")
	if err != nil {
		t.Fatal(err)
	}
	again := "" // the folder of the last run, if it is to be used once more
	action := func(inputs ...string) (code int, dir string, out string) {
		if dir = again; dir == "" {
			dir = t.TempDir()
		}
		cmd := exec.Command(script)
		cmd.Env = append(os.Environ(), "RUNNER_TEMP="+dir, "GITHUB_STEP_SUMMARY="+dir+"/summary", "GITHUB_OUTPUT="+dir+"/output",
			"REPORTS="+dir+"/reports", "PEERS=", "RUN=", "SKIP=", "EXPECT=", "SHARD=", "BUILTIN=false")
		cmd.Env = append(cmd.Env, inputs...)
		r := finish(t, cmd)
		return r.code, dir, r.stdout + r.stderr
	}
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}

	code, dir, out := action("PEERS=good="+fake+"\nbad="+fake+" --fault cloexec\n", "RUN=basics/pass-one-fd\n\nbasics/echo-back/stream", "SKIP=**/dgram/**",
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
	if got := read(dir + "/output"); got != "status=0\n" {
		t.Errorf("the outputs are %q", got)
	}
	if got := read(dir + "/summary"); got != read(dir+"/reports/report.md") || !strings.HasPrefix(got, "## scm interop: as expected\n") {
		t.Errorf("the summary is %q", got)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("left: %v, %v", left, err)
	}

	if code, dir, out := action("REPORTS=", "RUN=basics/pass-one-fd"); code != 2 || out != "the input reports is empty\n" || read(dir+"/output") != "status=2\n" {
		t.Errorf("without a folder: exit status %d\n%s", code, out)
	}

	code, dir, _ = action("PEERS=bad="+fake+" --fault cloexec", "RUN=basics/pass-one-fd")
	if got := read(dir + "/output"); code != 1 || got != "status=1\n" || !strings.HasPrefix(read(dir+"/summary"), "## scm interop: **not as expected**\n") {
		t.Errorf("exit status %d, outputs %q", code, got)
	}
	// A run that does not begin leaves nothing of the one before.
	again = dir
	if err := errors.Join(os.Remove(dir+"/output"), os.Truncate(dir+"/summary", 0)); err != nil {
		t.Fatal(err)
	}
	code, dir, _ = action("SHARD=none")
	if got := read(dir + "/output"); code != 2 || got != "status=2\n" || read(dir+"/summary") != "" {
		t.Errorf("exit status %d, outputs %q, summary %q", code, got, read(dir+"/summary"))
	}
	if left, err := os.ReadDir(dir + "/reports"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	// Nor does one whose scm cannot be built, and nothing of that is left.
	if err := os.Remove(dir + "/output"); err != nil {
		t.Fatal(err)
	}
	code, dir, _ = action("GOFLAGS=-no-such-flag")
	if got := read(dir + "/output"); code != 4 || got != "status=4\n" || read(dir+"/summary") != "" {
		t.Errorf("exit status %d, outputs %q, summary %q", code, got, read(dir+"/summary"))
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

// The workspace of somebody who has this checkout inside their own module, and how they
// have Go find modules, are not those of scm.
func TestActionInAWorkspace(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skipf("bash: %v", err)
	}
	script, err := filepath.Abs("../../interop/action.sh")
	if err != nil {
		t.Fatal(err)
	}
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
		cmd := exec.Command(script)
		cmd.Env = append(os.Environ(), "RUNNER_TEMP="+dir, "GITHUB_STEP_SUMMARY="+dir+"/summary", "GITHUB_OUTPUT="+dir+"/output",
			"REPORTS="+dir+"/reports", "PEERS=", "RUN=basics/pass-one-fd/stream", "SKIP=", "EXPECT=", "SHARD=", "BUILTIN=true")
		cmd.Env = append(cmd.Env, set...)
		if r := finish(t, cmd); r.code != 0 {
			t.Errorf("%s: exit status %d\n%s%s", set, r.code, r.stdout, r.stderr)
		}
	}
}

// Each input of the action reaches the script, and the script reads no other.
func TestActionInputs(t *testing.T) {
	text := func(file string) string {
		b, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	find := func(in, form string) (names []string) {
		for _, m := range regexp.MustCompile(form).FindAllStringSubmatch(in, -1) {
			names = append(names, strings.ToLower(m[1]))
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	inputs, rest, _ := strings.Cut(text("action.yml"), "\noutputs:\n")
	declared := find(inputs, `(?m)^  ([a-z]+):$`)
	passed := find(rest, `(?m)^        ([A-Z]+): \$\{\{ inputs\.[a-z]+ \}\}$`)
	read := find(text("interop/action.sh"), `\$\{?([A-Z]+)\b`)
	if len(declared) == 0 || !slices.Equal(declared, passed) || !slices.Equal(declared, read) {
		t.Errorf("declared %v, passed %v, read %v", declared, passed, read)
	}
}
