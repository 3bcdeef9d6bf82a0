package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/report"
)

// inGVisor runs scm under runsc. It skips the test if runsc is not in PATH. No
// distribution contains runsc, and CI does not install it.
func inGVisor(t *testing.T, args ...string) result {
	t.Helper()
	runsc, err := exec.LookPath("runsc")
	if err != nil {
		t.Skip(err)
	}
	fdtest.NeedRoot(t, "run runsc")
	// Without --net-raw, scm has no CAP_NET_RAW, and every scenario that needs root is unsupported.
	scm := []string{"--network=none", "--ignore-cgroups", "--net-raw", "do", program(t, "scm")}
	return finish(t, exec.Command(runsc, append(scm, args...)...))
}

// readJSON parses the JSON report of a run, and returns its cases by name.
func readJSON(t *testing.T, r result) (*report.Report, map[string]scenario.Result) {
	t.Helper()
	all := &report.Report{}
	if err := json.Unmarshal([]byte(r.stdout), all); err != nil {
		t.Fatalf("the JSON report: %v: %+v", err, r)
	}
	cases := map[string]scenario.Result{}
	for _, c := range all.Cases {
		cases[c.Name] = c
	}
	return all, cases
}

// On gVisor, the expected failures for gVisor apply. Where its kernel differs from Linux, peers get
// no verdict.
func TestGVisor(t *testing.T) {
	r := inGVisor(t, "interop", "run", "--json", "--run", "{basics/fd-lowest-free-number,credentials/creds-forged-uid,credentials/creds-short-cmsg,flags/cmsg-cloexec-on-pidfd}/stream",
		"--run", "blocking/recv-restarted/stream", "--run", "death/reset-before-message/seqpacket")
	check(t, "run", r, result{stdout: "…"})
	all, cases := readJSON(t, r)
	if all.System.Kind != expected.GVisor || len(all.Peers) < 2 {
		t.Errorf("got %+v, %d peers; want gVisor and several peers", all.System, len(all.Peers))
	}
	for name, want := range map[string]struct {
		verdict scenario.Verdict
		why     string
	}{
		"basics/fd-lowest-free-number/stream/kernel/kernel":  {scenario.Pass, ""},
		"credentials/creds-forged-uid/stream/kernel/kernel":  {scenario.Pass, ""}, // it needs root
		"credentials/creds-short-cmsg/stream/kernel/kernel":  {scenario.Expected, ""},
		"flags/cmsg-cloexec-on-pidfd/stream/kernel/kernel":   {scenario.Unsupported, "this kernel has no socket option passpidfd: setsockopt accepts it, but it has no value"},
		"death/reset-before-message/seqpacket/runner/runner": {scenario.Expected, ""},
		"death/reset-before-message/seqpacket/runner/xsys":   {scenario.Unsupported, "the runner fails it with itself: …"},
	} {
		if c := cases[name]; c.Verdict != want.verdict || !like(c.Why, want.why) {
			t.Errorf("%s: got %s, %s; want %s, %s", name, c.Verdict, c.Why, want.verdict, want.why)
		}
	}
	for _, aside := range all.Aside {
		if strings.Contains(aside, " for gVisor:") {
			t.Errorf("ignored: %s", aside)
		}
	}
}

// The list for gVisor is not read on Linux. There, a line about a release of Linux is ignored.
func TestListsForGVisor(t *testing.T) {
	file := write(t, "basics/fd-lowest-free-number answer@kernel>=0.0 it was so once\n")
	args := []string{"interop", "run", "--json", "--builtin=false", "--run", "basics/fd-lowest-free-number/stream", "--expect", file}
	const name = "basics/fd-lowest-free-number/stream/kernel/kernel"
	ignored := func(all *report.Report, text string) bool {
		return slices.ContainsFunc(all.Aside, func(line string) bool { return strings.Contains(line, text) })
	}
	here := command(t, args...)
	if all, cases := readJSON(t, here); here.code != 0 || len(cases[name].KernelPasses) != 1 || ignored(all, " for gVisor:") || ignored(all, file) {
		t.Errorf("got %v, want exit status 0, a failure that this kernel does not have, and neither list ignored", here)
	}
	there := inGVisor(t, args...)
	if all, cases := readJSON(t, there); there.code != 0 || len(cases[name].KernelPasses) != 0 || !ignored(all, file) {
		t.Errorf("got %v, want exit status 0 and the line for Linux ignored", there)
	}
}
