package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCauseOf(t *testing.T) {
	s := mustParse(t, strings.Replace(simple, "fds=1\n", "fds=1 flags=dontwait\n", 1))
	recv := s.Steps[len(s.Steps)-1].Line
	c := Case{Scenario: s, Type: "stream", A: &Peer{Name: "a"}, B: &Peer{Name: "b"}}
	for _, test := range []struct {
		check Check
		peer  string
		text  string
		kind  string // of the same cause in another case
		want  string
	}{
		{CheckCloexec, "b", "a received descriptor is not close-on-exec", "cloexec " + cloexecCause, cloexecCause},
		{CheckLeak, "b", "a, as 3, is open, and the peer did not report it", "leak leaves a received descriptor open", "leaves a received descriptor open"},
		{CheckLeak, "b", "the sender's pidfd, as 4, is open, and the peer did not report it", "leak leaves a received pidfd open", "leaves a received pidfd open"},
		{CheckLeak, "a", "a, as 3, is still open after the end of the case", "leak keeps a descriptor open that it did not report", "keeps a descriptor open that it did not report"},
		{CheckHang, "b", "no answer in time (10s)", "hang no answer to recv flags=dontwait", "no answer to recv flags=dontwait"},
		{CheckAnswer, "b", "answered \"ok n=1 payload=00 fds=-\"\nexpected ok n=1 payload=00 fds=a (0 descriptors, and not 1)\nexpected err (not err)",
			"answer 0 descriptors", `answered "ok n=1 payload=00 fds=-" instead of "ok n=1 payload=00 fds=a" or an alternative`},
		{CheckAnswer, "b", "answered \"ok n=2 payload=00 fds=3\"\nexpected ok n=1 payload=00 fds=a (n is 2)",
			"answer n", `answered "ok n=2 payload=00 fds=3" instead of "ok n=1 payload=00 fds=a"`},
		{CheckAnswer, "a", "its partner answered \"ok n=2 payload=00 fds=3\"\nexpected ok n=1 payload=00 fds=a (n is 2)",
			"answer n", `its partner answered "ok n=2 payload=00 fds=3" instead of "ok n=1 payload=00 fds=a"`},
		{CheckAnswer, "a", "answered \"err ENOTSOCK\"\nexpected ok n=1 (not ok)", `answer answers "err ENOTSOCK`, `answered "err ENOTSOCK" instead of "ok n=1"`},
		{CheckAnswer, "a", "answered \"ok n=1\"\nexpected err EBADF (not err)", "answer answers ", `answered "ok n=1" instead of "err EBADF"`},
		{CheckAnswer, "b", "answered \"ok n=1 payload=00 fds=" + strings.Repeat("3,", 12) + "4\"\nexpected err (not err)",
			`answer answers `, `answered "ok n=1 payload=00 fds=3,3,…,4 (13)" instead of "err"`},
		{CheckAnswer, "a", "answered \"err lib cannot encode " + strings.Repeat("descriptor ", 20) + "\"\nexpected ok n=1 (not ok)",
			`answer answers "err lib`, `answered "err lib cannot encode ` + strings.TrimSpace(strings.Repeat("descriptor ", 9)) + "…"},
		{CheckAnswer, "b", "answered \"ok n=1 payload=00 fds=-\"\nexpected ok n=1 payload=00 fds=- flags=ctrunc (it reports no flags)\nexpected ok n=1 payload=00 fds=closed (it does not report closed descriptors)\nexpected err (not err)",
			"answer a flag is missing", `answered "ok n=1 payload=00 fds=-" instead of "ok n=1 payload=00 fds=- flags=ctrunc" or 2 alternatives`},
		{CheckAnswer, "b", "answered \"ok n=1 payload=00 fds=- flags=-\"\nexpected ok n=1 payload=00 fds=- flags=ctrunc (no flag ctrunc)",
			"answer a flag is missing", `answered "ok n=1 payload=00 fds=- flags=-" instead of "ok n=1 payload=00 fds=- flags=ctrunc"`},
		{CheckAnswer, "a", "does not wait", "answer does not wait", "does not wait"},
		{CheckFile, "b", "12 is not the open file description of a", "file 0 is not the open file description of a", "12 is not the open file description of a"},
		{CheckContract, "a", `answered unsupported to "send payload=00 fds=3", which its can= offers`, "contract answered unsupported to ",
			`answered unsupported to "send payload=00 fds=3", which its can= offers`},
		{CheckCrash, "b", "the peer ended: signal: segmentation fault", "crash crashes: signal: segmentation fault", "crashes: signal: segmentation fault"},
		{CheckCrash, "b", "the peer ended: exit status 101; standard error: thread 'main' panicked at src/main.rs:1:2:\nindex out of range\nnote: run with `RUST_BACKTRACE=1`",
			"crash crashes: exit status 101", "crashes: exit status 101: index out of range"},
		{CheckCrash, "b", "the peer ended: exit status 1; standard error: Traceback (most recent call last):\n  File \"x.py\"\nValueError: no\n",
			"crash crashes: exit status 1", "crashes: exit status 1: ValueError: no"},
		{CheckCrash, "b", "the peer ended: exit status 2; standard error: panic: no\n\ngoroutine 1", "crash crashes: exit status 2", "crashes: exit status 2: panic: no"},
	} {
		got := causeOf(Finding{Check: test.check, Peer: test.peer, Line: recv, Text: test.text}, c)
		if want := (cause{test.kind, test.want}); got != want {
			t.Errorf("%s: got %q, want %q", test.text, got, want)
		}
	}
}

// The text of a finding can contain anything. The proposed line still has one reason, in one line.
func TestProposedReasonsAreText(t *testing.T) {
	for _, stderr := range []string{
		"\x1b[31mred", "two\r\nlines", "##[add-mask]x", "\u2028", "a\u00a0b  c\td", "flaky: x", "? x", "# x", "[linux]", "{a,b}@x", "\xff\xfe",
		strings.Repeat("é##[", 200), "",
	} {
		scenarios, results := wholeRun(t, KernelLinux, "** crash@x:receives why", "")
		for i := range results {
			for j := range results[i].Findings {
				results[i].Findings[j].Text = "the peer ended: exit status 1; standard error: " + stderr
			}
		}
		u, err := UpdateExpectations(nil, "file", nil, scenarios, Run{kernelOf(KernelLinux), false, versions, results})
		if err != nil || len(u.Added) != 1 {
			t.Fatalf("%q: got %q, %v", stderr, u.Added, err)
		}
		list, err := ParseExpectations("file", u.Text)
		if err != nil || len(list) != 1 || !list[0].Unfinished() || list[0].line() != u.Added[0] {
			t.Errorf("%q: got %q, then %v, %v", stderr, u.Added, list, err)
		}
		if n := len([]rune(u.Added[0])); n > maxReason+60 {
			t.Errorf("%q: a line has %d characters", stderr, n)
		}
	}
}

// Each line has an example among its own cases: the one that is the easiest to read. The reason is that
// of the example, with a note if it differs in another case.
func TestProposedReasonsAreOfTheLine(t *testing.T) {
	const form = "answered %q\nexpected ok n=1 payload=00 fds=- flags=ctrunc (%s)\nexpected err (not err)"
	without := fmt.Sprintf(form, "ok n=1 payload=00 fds=-", "it reports no flags")
	with := fmt.Sprintf(form, "ok n=1 payload=00 fds=- flags=-", "no flag ctrunc")
	scenarios, results := wholeRun(t, KernelLinux, "group/one answer@y:receives/{x,y} why\ngroup/two answer@x:receives/{x,y} why\n** crash@x:receives/runner why", "")
	for i := range results {
		r := &results[i]
		first := strings.HasPrefix(r.Name, "group/one/")
		r.Transcript = []string{strings.Repeat("A< ok", i+1)}
		for j := range r.Findings {
			f := &r.Findings[j]
			switch {
			case f.Check == CheckCrash:
				f.Text = fmt.Sprintf("the peer ended: exit status 1; standard error: failure %d", i%2)
			case f.Check == CheckAnswer && first:
				f.Text = without
			case f.Check == CheckAnswer && strings.HasSuffix(r.Name, "/y/x"):
				f.Text = with
				r.Transcript = nil
			case f.Check == CheckAnswer:
				f.Text = without
			}
		}
	}
	u, err := UpdateExpectations(nil, "file", nil, scenarios, Run{kernelOf(KernelLinux), false, versions, results})
	if err != nil {
		t.Fatal(err)
	}
	const answered = `answered "ok n=1 payload=00 fds=-`
	const instead = `" instead of "ok n=1 payload=00 fds=- flags=ctrunc" or an alternative`
	want := map[string]string{
		"group/one answer@y:receives/{x,y} ? " + answered + instead:                           "group/one/stream/x/y",
		"group/two answer@x:receives/{x,y} ? for example: " + answered + " flags=-" + instead: "group/two/stream/y/x",
	}
	for line, example := range want {
		if u.Examples[line] != example {
			t.Errorf("got %q for %s, in\n%s", u.Examples[line], line, strings.Join(u.Added, "\n"))
		}
	}
	for _, line := range u.Added {
		if strings.Contains(line, "crash@x") && !strings.Contains(line, "? for example: crashes: exit status 1: failure ") {
			t.Errorf("got %s", line)
		}
		if !slices.ContainsFunc(results, func(r Result) bool { return r.Name == u.Examples[line] }) {
			t.Errorf("the example %q of %s is no case", u.Examples[line], line)
		}
	}
}
