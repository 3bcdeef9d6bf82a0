package main

import (
	"encoding/xml"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/report"
)

// traced runs one case, and returns it as the JSON report has it.
func traced(t *testing.T, code int, args ...string) scenario.Result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "r.json")
	r := command(t, slices.Concat([]string{"interop", "run", "--builtin=false", "--trace", "--report", file}, args)...)
	if r.code != code {
		t.Fatalf("got %+v, want exit status %d", r, code)
	}
	whole, err := report.Read(file)
	if err != nil || len(whole.Cases) != 1 {
		t.Fatalf("got %+v, %v", whole, err)
	}
	return whole.Cases[0]
}

// hexRow is the row of a record with the bytes of a control message of one descriptor.
var hexRow = regexp.MustCompile(`(?m)^ +(entry|exit) +1400000000000000  01000000    01000000   [0-9a-f]{8}`)

// Beside a case that has failed is what both peers said to the kernel, in each form
// of the report.
func TestRunTrace(t *testing.T) {
	traceable(t)
	dir := t.TempDir()
	args := []string{"interop", "run", "--builtin=false", "--trace", "--peer", "fake=" + program(t, "faulty") + " --fault cloexec", "--run", "basics/pass-one-fd/stream"}
	for _, name := range []string{"r.json", "r.jsonl", "r.xml", "r.md", "r.html"} {
		args = append(args, "--report", filepath.Join(dir, name))
	}
	r := command(t, args...)
	if r.code != 1 || r.stderr != "" {
		t.Fatalf("got %+v", r)
	}
	whole, err1 := report.Read(filepath.Join(dir, "r.json"))
	streamed, err2 := report.Read(filepath.Join(dir, "r.jsonl"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if len(whole.Cases) != 4 || whole.Totals.Pass != 2 || whole.Totals.Fail != 2 {
		t.Fatalf("got %+v", whole.Totals)
	}
	for _, c := range slices.Concat(whole.Cases, streamed.Cases) {
		if c.Verdict == scenario.Pass {
			if c.Trace != nil {
				t.Errorf("%s: %+v", c.Name, c.Trace)
			}
			continue
		}
		if c.Trace == nil || c.Trace.Why != "" || len(c.Trace.Transcript) != len(c.Transcript) {
			t.Fatalf("%s: %+v", c.Name, c.Trace)
		}
		a, b := strings.Join(c.Trace.A, "\n"), strings.Join(c.Trace.B, "\n")
		if !strings.Contains(a, ` sendmsg(3<unix stream socket:`) || !strings.Contains(a, `"hello", SCM_RIGHTS [4<pipe:`) || !hexRow.MatchString(a) || strings.Contains(a, "recvmsg(") {
			t.Errorf("%s: A said\n%s", c.Name, a)
		}
		if !strings.Contains(b, ` recvmsg(3<unix stream socket:`) || !strings.Contains(b, `"hello", SCM_RIGHTS [`) || !hexRow.MatchString(b) || strings.Contains(b, "sendmsg(") {
			t.Errorf("%s: B said\n%s", c.Name, b)
		}
	}

	text := func(name string) string { return contents(t, filepath.Join(dir, name)) }
	var junit struct {
		Cases []struct {
			Failure *struct{} `xml:"failure"`
			Out     *string   `xml:"system-out"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal([]byte(text("r.xml")), &junit); err != nil || len(junit.Cases) != 4 {
		t.Fatalf("got %+v, %v", junit, err)
	}
	for _, c := range junit.Cases {
		if (c.Failure != nil) != (c.Out != nil) || c.Out != nil && len(hexRow.FindAllString(*c.Out, -1)) != 2 {
			t.Errorf("got %+v", c)
		}
	}
	for name, told := range map[string]string{"the console": r.stdout, "r.md": text("r.md")} {
		if n := len(hexRow.FindAllString(told, -1)); n != 4 || !strings.Contains(told, "calls of B, fake:\n") {
			t.Errorf("%s: %d control messages in\n%s", name, n, told)
		}
	}
	if page := text("r.html"); strings.Count(page, "calls of B, fake:") != 2 || strings.Count(page, "cmsg_len") != 4 {
		t.Errorf("the page:\n%s", page)
	}

	again := command(t, "interop", "replay", filepath.Join(dir, "r.json")+"#basics/pass-one-fd/stream/runner/fake", "--trace")
	if again.code != 1 || len(hexRow.FindAllString(again.stdout, -1)) != 2 || !strings.Contains(again.stdout, "\ncalls of A, runner:\n") {
		t.Errorf("got %+v", again)
	}
}

// A peer that is right is not started once more, and nothing is reported.
func TestTraceWithoutFailure(t *testing.T) {
	starts := filepath.Join(t.TempDir(), "starts")
	peer := "x=sh -c 'echo >> " + starts + "; exec " + program(t, "faulty") + "'"
	c := traced(t, 0, "--peer", peer, "--run", "basics/pass-one-fd/stream/runner/x")
	if text := contents(t, starts); len(text) != 2 || c.Trace != nil { // it is asked what it can, and plays
		t.Errorf("started %d times: %+v", len(text), c)
	}
}

// What does not fail under the recorder has failed all the same.
func TestTraceOfWhatDoesNotFailAgain(t *testing.T) {
	traceable(t)
	starts := filepath.Join(t.TempDir(), "starts")
	moody := "x=sh -c 'echo >> " + starts + "; if [ $(wc -l < " + starts + ") -eq 2 ]; then exec " + program(t, "faulty") + " --fault cloexec; else exec " + program(t, "faulty") + "; fi'"
	c := traced(t, 1, "--peer", moody, "--run", "basics/pass-one-fd/stream/runner/x")
	if c.Verdict != scenario.Fail || c.Trace == nil || c.Trace.Why != "it does not fail under the recorder: pass" || !hexRow.MatchString(strings.Join(c.Trace.B, "\n")) {
		t.Errorf("got %+v, %+v", c, c.Trace)
	}
}

// Who hangs hangs under the recorder too, and does not outlive the case.
func TestTraceOfHang(t *testing.T) {
	traceable(t)
	c := traced(t, 1, "--peer", "fake="+program(t, "faulty")+" --fault hang", "--timeout", "300ms", "--run", "basics/pass-one-fd/stream/runner/fake")
	if c.Trace == nil || c.Trace.Why != "" || c.Findings[0].Check != scenario.CheckHang || !hexRow.MatchString(strings.Join(c.Trace.B, "\n")) {
		t.Errorf("got %+v, %+v", c, c.Trace)
	}
}

// Where ptrace is forbidden, here because somebody traces the runner, the report says so,
// and what came of the cases is the same.
func TestTraceForbidden(t *testing.T) {
	traceable(t)
	file := filepath.Join(t.TempDir(), "r.json")
	r := finish(t, exec.Command(program(t, "scm"), "trace", "-o", "/dev/null", "--", program(t, "scm"),
		"interop", "run", "--builtin=false", "--trace", "--report", file, "--peer", "fake="+program(t, "faulty")+" --fault cloexec", "--run", "basics/pass-one-fd/stream"))
	const want = "played again under the recorder: runner cannot be recorded: ptrace: operation not permitted: process "
	if r.code != 1 || r.stderr != "" || !strings.Contains(r.stdout, want) || !strings.Contains(r.stdout, " traces this one, and with it its children (TracerPid in /proc/self/status)\n") {
		t.Errorf("got %+v", r)
	}
	whole, err := report.Read(file)
	if err != nil || whole.Totals.Pass != 2 || whole.Totals.Fail != 2 || whole.Totals.Verdicts() != 4 {
		t.Errorf("got %+v, %v", whole, err)
	}
	for _, c := range whole.Cases {
		if (c.Trace == nil) != (c.Verdict == scenario.Pass) || c.Trace != nil && len(c.Trace.A)+len(c.Trace.B) > 0 {
			t.Errorf("%s: %+v", c.Name, c.Trace)
		}
	}
}
