package interop

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// probed returns the faulty peer with a fault, or without one, and with further arguments, after hello.
func probed(t *testing.T, fault string, args ...string) *scenario.Peer {
	t.Helper()
	p := faulty(t, fault)
	p.Command = append(p.Command, args...)
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatalf("%q: %v", p.Command, err)
	}
	return p
}

// An unexpected failure has the lines of its transcript with what the kernel showed at each, and the findings at the
// lines where they were found. From these lines alone, a reader can see which descriptor was wrong, and how.
func TestFacts(t *testing.T) {
	const pass, both = "basics/pass-one-fd/stream/runner/faulty", "basics/bidirectional-simultaneous/stream/faulty/runner"
	for _, c := range []struct{ fault, name, want string }{
		{"cloexec", pass, `B< ok n=5 payload=\S+ fds=(\d+)\S*.*
    B: descriptor \d+ is the open file description of A's file a \(\S+\), not close-on-exec
    ✗ cloexec: a received descriptor is not close-on-exec`},
		{"reopen", "basics/pass-one-fd/stream/faulty/runner", `B< ok n=5 .*
    B: descriptor \d+ is another open file description of A's file a, close-on-exec
    ✗ file: \d+ is not the open file description of a`},
		{"nonblock", pass, `B< ok n=5 .*
    B: descriptor \d+ is the open file description of A's file a \(\S+\), close-on-exec, O_NONBLOCK
    the status flags of A's file a changed from none to O_NONBLOCK
    ✗ file: the status flags of a changed from none to O_NONBLOCK`},
		{"replace", both, `A< ok n=1
    A: descriptor \d+ is no file of the case: /dev/null, \S+
    ✗ file: descriptor \d+ refers to another file now, without a command to do so`},
		{"rob", pass, `B< ok n=5 .*
(    B: descriptor .*
)?    B: no longer has \d+ \(B's socket bsock\)
(    B: descriptor .*
)?    ✗ file: descriptor \d+ was closed without a command to do so`},
		{"park", pass, `B< ok
    B: no longer has .*
    no descriptor of A or B refers to A's file a, but it is still open somewhere: it was closed when the runner ended B
    ✗ leak: a is still open somewhere after the end of the case`},
		{"unshare", pass, `B: no longer has .*
    no descriptor of A or B refers to A's file a, but it is still open in the descriptor table of thread \d+ in process \d+ \(.*\): it was closed when the runner ended B
`},
		{"die", pass, `B> recv .*
B< \(no answer: the process ended\)
    ✗ crash: the peer ended in the middle of an answer, .*`},
	} {
		list := casesWith(t, probed(t, c.fault), c.name)
		r := runClean(t, list, 0)[0]
		text := strings.Join(r.Facts, "\n")
		if begin := "A> use sock="; r.Verdict != scenario.Fail || !strings.HasPrefix(text, begin) || !regexp.MustCompile(c.want).MatchString(text) {
			t.Errorf("%s: %s\n%s\nwant\n%s", c.fault, r.Verdict, text, c.want)
		}
		// Without their facts and findings, the lines are those of the transcript and of missing answers.
		var lines []string
		for _, l := range r.Facts {
			if !strings.HasPrefix(l, "    ") && !strings.Contains(l, "< (no answer") {
				lines = append(lines, l)
			}
		}
		if got, want := strings.Join(lines, "\n"), strings.Join(r.Transcript, "\n"); got != want {
			t.Errorf("%s: the lines are\n%s\nand the transcript is\n%s", c.fault, got, want)
		}
	}
}

// A case finds the pidfd that it leaks, and its facts do not mention those that earlier cases of the pair have leaked.
func TestPidfdsOfEarlierCases(t *testing.T) {
	list := casesWith(t, probed(t, "pidfd"), "credentials/ctrunc-pidfd-no-room/*/runner/faulty")
	for _, r := range runClean(t, list, 0) {
		if r.Verdict == scenario.Unsupported {
			t.Skip(r.Why)
		}
		if n := strings.Count(strings.Join(r.Facts, "\n"), " is the open file description of the sender's pidfd"); n != 1 || len(r.Findings) != 1 {
			t.Errorf("%s: %d pidfds, want 1, and %v in\n%s", r.Name, n, r.Findings, strings.Join(r.Facts, "\n"))
		}
	}
}

// A case that ends as expected has no facts.
func TestNoFactsAsExpected(t *testing.T) {
	for fault, want := range map[string]scenario.Verdict{"": scenario.Pass, "cloexec": scenario.Expected} {
		list := casesWith(t, probed(t, fault), "basics/pass-one-fd/stream/runner/faulty")
		x := &scenario.Expectations{}
		if fault != "" {
			x = expecting(t, "** cloexec@faulty a known fault")
		}
		r := Run(context.Background(), list, x, Options{}).Results[0]
		if r.Verdict != want || r.Facts != nil {
			t.Errorf("fault %q: got %s with the facts %q, want %s and none", fault, r.Verdict, r.Facts, want)
		}
	}
}
