package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// hexRow matches the row of a recorded call with the bytes of a control message for one descriptor.
var hexRow = regexp.MustCompile(`(?m)^ +(entry|exit) +1400000000000000  01000000    01000000   [0-9a-f]{8}`)

// With --trace, the report of a failed case contains the system calls of both peers.
func TestRunTrace(t *testing.T) {
	traceable(t)
	file := filepath.Join(t.TempDir(), "r.json")
	r := command(t, "interop", "run", "--builtin=false", "--trace", "--peer", "fake="+program(t, "faulty")+" --fault cloexec",
		"--run", "basics/pass-one-fd/stream", "--report", file)
	whole, err := report.Read(file)
	if r.code != 1 || err != nil || whole.Totals.Pass != 1 || whole.Totals.Fail != 2 {
		t.Fatalf("got %v, %v; want a pass and 2 failures", r, err)
	}
	for _, c := range whole.Cases {
		if c.Verdict == scenario.Pass {
			if c.Trace != nil {
				t.Errorf("%s passed: got the trace %+v, want none", c.Name, c.Trace)
			}
			continue
		}
		if c.Trace == nil || c.Trace.Why != "" || len(c.Trace.Transcript) != len(c.Transcript) {
			t.Fatalf("%s failed: got the trace %+v, want one of\n%q", c.Name, c.Trace, c.Transcript)
		}
		a, b := strings.Join(c.Trace.A, "\n"), strings.Join(c.Trace.B, "\n")
		if !strings.Contains(a, ` sendmsg(3<unix stream socket:`) || !strings.Contains(a, `"hello", SCM_RIGHTS [4<pipe:`) || !hexRow.MatchString(a) {
			t.Errorf("%s: A called\n%s", c.Name, a)
		}
		if !strings.Contains(b, ` recvmsg(3<unix stream socket:`) || !strings.Contains(b, `"hello", SCM_RIGHTS [`) || !hexRow.MatchString(b) {
			t.Errorf("%s: B called\n%s", c.Name, b)
		}
	}
	again := command(t, "interop", "replay", file+"#basics/pass-one-fd/stream/runner/fake", "--trace")
	rows, calls := len(hexRow.FindAllString(again.stdout, -1)), "\ncalls of A, runner:\n"
	if again.code != 1 || rows != 2 || !strings.Contains(again.stdout, calls) {
		t.Errorf("replay --trace: got %+v with %d rows, want status 1, 2 rows and %q", again, rows, calls)
	}
	// A case that fails, but not under the recorder, has still failed.
	runs(t, result{1, "…it does not fail under the recorder: pass…", "…"},
		"interop", "run", "--builtin=false", "--trace", "--peer", faultyAt(t, "-eq", 2),
		"--run", "basics/pass-one-fd/stream/runner/x")
}
