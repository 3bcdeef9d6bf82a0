//go:build linux

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm/proof/must"
)

// The page has the version and the fault of each program that has one, and no others.
func TestPage(t *testing.T) {
	text := string(must.Get(os.ReadFile("../../docs/testing-a-daemon.md")))
	_, text, _ = strings.Cut(text, "\n## Programs that were tried\n")
	faults := 0
	for _, p := range must.Get(parse(programs)) {
		if p.Fault == "" {
			continue
		}
		faults++
		if line := "\n- " + p.Name + " " + p.Version + ": " + p.Fault + "\n"; !strings.Contains(text, line) {
			t.Errorf("the page does not have this line: %s", line)
		}
	}
	if n := strings.Count(text, "\n- "); n != faults {
		t.Errorf("the page has %d lines, want %d", n, faults)
	}
}

func TestParse(t *testing.T) {
	const good = "program: a\nneeds: a a\nversion: 1\npoke: --socket x -- a\n"
	for text, want := range map[string]string{
		good: "", good + "\nprogram: b\nneeds: b b\nversion: 1\npoke: x\naccept: x\nfault: y": "",
		good + "accept: x unread@a y": "",
		"version: 1":                  "line 1: a record begins with program, and each key has a value",
		good + "mood: good":           `line 5: unknown "mood: good"`,
		good + "needs: a":             `line 5: unknown "needs: a"`,
		good + "fault: y":             "a: a fault needs lines to accept it, and an accepted finding a fault",
		"program: b\n" + good:         "b: needs, version or poke is missing",
		strings.Replace(good, "program: a", "program: b", 1) + good: "the programs are not in alphabetical order",
	} {
		got := ""
		if _, err := parse(text); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestRunTriesNothing(t *testing.T) {
	t.Chdir("../..")
	// CI does not run virtlogd.
	if err := must.Try(func() { run("scm", true, []string{"virtlogd"}) }); err == nil {
		t.Error("no error")
	}
}

// A program that is not as the list says makes the run fail, with its output.
func TestTry(t *testing.T) {
	dir := t.TempDir()
	must.OK(os.WriteFile(dir+"/scm", []byte("#!/bin/sh\ncat $DIR/file\necho \"$@\"\nexit $STATUS\n"), 0o700))
	p := program{Name: "a", Needs: [][2]string{{"sh", "dash"}}, Setup: "echo made >$DIR/file; sleep 1000 &", Poke: "--socket x -- a"}
	t.Setenv("STATUS", "0")
	text, err := p.try(dir + "/scm")
	if err != nil || !strings.HasPrefix(text, "a: poke --accept ") || !strings.HasSuffix(text, " --socket x -- a\n") {
		t.Errorf("got %q, %v", text, err)
	}
	t.Setenv("STATUS", "1")
	if _, err := p.try(dir + "/scm"); err == nil || !strings.HasPrefix(err.Error(), "exit status 1\nmade\npoke") {
		t.Error(err)
	}
	p.Needs = append(p.Needs, [2]string{"/nonexistent", "none"})
	t.Setenv("CI", "")
	if text, err := p.try(dir + "/scm"); err != nil || !strings.HasPrefix(text, "a: skipped") {
		t.Errorf("got %q, %v", text, err)
	}
	t.Setenv("CI", "true")
	if _, err := p.try(dir + "/scm"); err == nil {
		t.Error("no error")
	}
}
