package scenario

import (
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/expected"
)

func TestSetVerdict(t *testing.T) {
	const gone, noted = "expected to fail, but does not: file:", KernelPassesWhy + ": file:"
	for _, c := range []struct {
		name, expected, findings, checked string // checked: the peer whose descriptors were checked for close-on-exec
		want                              Verdict
		why, reasons                      string
	}{
		{"no findings", "", "", "", Pass, "", ""},
		{"unexpected", "", "leak@two", "", Fail, "", ""},
		{"expected", "** leak@two a", "leak@two", "", Expected, "", "a"},
		{"expected of another peer", "** leak@one a", "leak@two", "", Fail, "", ""},
		{"expected with another check", "** answer@two a", "leak@two", "", Fail, "", ""},
		{"one of two findings is expected", "** leak@two a", "leak@one leak@two", "", Fail, "", "a"},
		{"both findings are expected", "** leak@{one,two} a", "leak@one leak@two", "", Expected, "", "a a"},
		{"one of two expected findings is missing", "** leak@two a\n** answer@two b", "leak@two", "", UnexpectedPass, gone + "2: ** answer@two", "a"},
		{"a flaky failure occurs", "** leak@two flaky: a", "leak@two", "", Expected, "", "flaky: a"},
		{"a flaky failure does not occur", "** cloexec@two flaky: a", "", "two", Pass, "", ""},
		{"a flaky failure occurs, and an expected one does not", "** leak@two flaky: a\n** answer@two b", "leak@two", "", UnexpectedPass, gone + "2: ** answer@two", "flaky: a"},
		{"a flaky line is an exception to another line", "** leak@two a\ngroup leak@two flaky: b", "", "", Pass, "", ""},
		{"expected in another role", "** leak@two:sends a", "leak@two", "", Fail, "", ""},
		{"a finding expected in another role is missing", "** leak@two:sends a", "", "", Pass, "", ""},
		{"close-on-exec, checked", "** cloexec@two a", "", "two", UnexpectedPass, gone + "1: ** cloexec@two", ""},
		{"close-on-exec, not checked", "** cloexec@two a", "", "", Pass, "", ""},
		// The sender is wrong, so the case shows nothing about the receiver.
		{"the sender is at fault", "** answer@one a\n** leak@two b", "answer@one", "", Expected, "", "a"},
		{"the sender is at fault only for close-on-exec", "** leak@two b\n** cloexec@one:receives c", "cloexec@one", "", Fail, "", ""},
		{"the receiver is at fault", "** leak@two b\n** answer@one a", "leak@two", "", UnexpectedPass, gone + "2: ** answer@one", "b"},
		{"a line about some releases passes", "** leak@runner<6.7 a", "", "", Pass, noted + "1: ** leak@runner<6.7", ""},
		{"a line about some releases passes, in a strict run", "** leak@runner<6.7 a", "", "", UnexpectedPass, gone + "1: ** leak@runner<6.7", ""},
		{"a line about some releases fails", "** leak@runner<6.7 a", "leak@runner", "", Expected, "", "a"},
		{"a line about other releases fails", "** leak@runner<6.1 a", "leak@runner", "", Fail, "", ""},
		{"another line fails", "** leak@runner<6.7 a\n** file@two b", "file@two", "", Expected, noted + "1: ** leak@runner<6.7", "b"},
	} {
		x := &Expectations{List: mustExpect(t, c.expected), System: expected.System{Release: "6.1.0"}, StrictKernel: strings.Contains(c.name, "strict")}
		a := "one"
		if strings.Contains(c.expected, RunnerName) {
			a = RunnerName
		}
		r := &Result{Case: Case{mustParse(t, simple), "stream", &Peer{Name: a}, &Peer{Name: "two"}}, Verdict: Pass, CloexecChecked: []string{c.checked}}
		for _, key := range strings.Fields(c.findings) {
			check, peer, _ := strings.Cut(key, "@")
			r.Findings = append(r.Findings, Finding{Check: Check(check), Peer: peer})
			r.Verdict = Fail
		}
		if x.SetVerdict(r); r.Verdict != c.want || r.Why != c.why || strings.Join(r.Reasons, " ") != c.reasons {
			t.Errorf("%s: got %s, %q, %q; want %s, %q, %q", c.name, r.Verdict, r.Why, r.Reasons, c.want, c.why, c.reasons)
		}
		if all := slices.IndexFunc(r.Findings, func(f Finding) bool { return !f.Expected }) < 0; all != (r.Verdict != Fail) {
			t.Errorf("%s: all findings are expected: %v", c.name, all)
		}
	}
	r := &Result{Verdict: Unsupported}
	if (&Expectations{List: mustExpect(t, "** leak@two a")}).SetVerdict(r); r.Verdict != Unsupported {
		t.Errorf("the verdict of an unsupported case became %s", r.Verdict)
	}
}
