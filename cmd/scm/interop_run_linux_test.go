package main

import (
	"encoding/xml"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/report"
)

// Each form of a report has the same cases.
func TestReports(t *testing.T) {
	dir := t.TempDir()
	args := []string{"interop", "run", "--peer", "fake=" + program(t, "faulty") + " --fault cloexec"}
	for _, name := range []string{"r.json", "r.jsonl", "r.xml", "r.md", "r.html", "r.txt"} {
		args = append(args, "--report", filepath.Join(dir, name))
	}
	r := command(t, append(args, one...)...)
	if r.code != 1 {
		t.Fatalf("got %+v", r)
	}
	whole, err1 := report.Read(filepath.Join(dir, "r.json"))
	streamed, err2 := report.Read(filepath.Join(dir, "r.jsonl"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if whole.Totals != streamed.Totals || whole.Totals.Fail != 6 || len(whole.Cases) != len(streamed.Cases) {
		t.Errorf("got %+v, %+v", whole.Totals, streamed.Totals)
	}
	text := func(name string) string { return contents(t, filepath.Join(dir, name)) }
	var junit struct {
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal([]byte(text("r.xml")), &junit); err != nil || junit.Failures != 6 {
		t.Errorf("got %+v, %v", junit, err)
	}
	if text("r.txt") != r.stdout || !strings.Contains(text("r.md"), "**not as expected**") || !strings.Contains(text("r.html"), "<!DOCTYPE html>") {
		t.Error("a report is another")
	}
}

// It goes on until something is not as expected.
func TestRepeat(t *testing.T) {
	dir := t.TempDir()
	// The third time it is started, it is another.
	peer := "x=sh -c 'echo >> " + dir + "/starts; if [ $(wc -l < " + dir + "/starts) -gt 6 ]; then exec " + program(t, "faulty") + " --fault cloexec; else exec " + program(t, "faulty") + "; fi'"
	r := command(t, "interop", "run", "--builtin=false", "--peer", peer, "--run", "basics/pass-one-fd/stream/runner/x", "--repeat-until-unexpected")
	if r.code != 1 || !like(r.stderr, "scm: as expected, … s: round 2\nscm: as expected, … s: round 3\n…") || strings.Count(r.stdout, "\nverdicts: ") != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestFailFastAndRetry(t *testing.T) {
	bad := "fake=" + program(t, "faulty") + " --fault cloexec"
	r := command(t, append([]string{"interop", "run", "--peer", bad, "--fail-fast", "--jobs", "1"}, one...)...)
	if r.code != 1 || !strings.Contains(r.stdout, " 1 unexpected failures,") || !strings.Contains(r.stdout, "\ncut short: the first case that is not as expected\n") {
		t.Errorf("got %+v", r)
	}
	once := filepath.Join(t.TempDir(), "starts")
	moody := "x=sh -c 'echo >> " + once + "; if [ $(wc -l < " + once + ") -eq 2 ]; then exec " + program(t, "faulty") + " --fault cloexec; else exec " + program(t, "faulty") + "; fi'"
	r = command(t, "interop", "run", "--builtin=false", "--peer", moody, "--run", "basics/pass-one-fd/stream/runner/x", "--retry", "1")
	if r.code != 1 || !strings.Contains(r.stdout, "flaky: basics/pass-one-fd/stream/runner/x\n") || !strings.Contains(r.stdout, " 1 flaky\n") {
		t.Errorf("got %+v", r)
	}
}

// A report that cannot be written costs neither the others nor the matrix.
func TestReportsBesideOneThatFails(t *testing.T) {
	dir := t.TempDir()
	first, second := write(t, ""), write(t, "") // files, in the place of the folders of two reports
	good := filepath.Join(dir, "good.json")
	r := command(t, append([]string{"interop", "run", "--report", filepath.Join(first, "a.json"), "--report", good, "--report", filepath.Join(second, "b.json")}, one...)...)
	if r.code != 4 || !like(r.stderr, "scm: the report cannot be written: …"+first+"…\nscm: the report cannot be written: …"+second+"…\n") || !strings.Contains(r.stdout, "stream") {
		t.Errorf("got %+v", r)
	}
	if _, err := report.Read(good); err != nil {
		t.Error(err)
	}
}
