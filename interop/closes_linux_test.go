package interop

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/scenario"
)

// Transcripts in which a call of x fails, as A or as B. A peer that closes its socket cannot answer
// the last command as expected.
const (
	failB = "A> send payload=ff fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< err EIO\nB> recv bytes=1 fds=1 flags=dontwait\nB< ok n=0 payload=- fds=a\n"
	failA = "A> send payload=ff fds=a\nA< err EIO\nA> send payload=00 fds=a\nA< ok n=2\n"
)

// runClosing runs a case with a test peer and then, with the same processes, a case that must pass. It
// returns the result of the first. A timeout of an hour shows that the runner does not wait.
func runClosing(t *testing.T, text, what string, role scenario.Role, timeout time.Duration) scenario.Result {
	t.Helper()
	self, p := runner(t), testPeer(t, what)
	checkNothingLeft(t)
	as := func(text string) scenario.Case {
		s := mustParse(t, rule+"on stream\nfiles a=pipe-r\n"+text)
		if role == scenario.RoleA {
			return onStream(s, p, self)
		}
		return onStream(s, self, p)
	}
	good := as("A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n")
	o := Run(context.Background(), []scenario.Case{as(text), good}, nil, Options{Timeout: timeout})
	if len(o.Results) != 2 || o.Results[1].Verdict != scenario.Pass {
		t.Fatalf("the run does not go on: %+v", o.Results)
	}
	return o.Results[0]
}

// A file that a library has left in a queue is a leak only once its socket is closed, which it may be later.
func TestFileInTheQueueOfAClosedSocket(t *testing.T) {
	const parked = "parks what it received and closes later"
	// the runner waits for the end of the pipe
	got := findings(runClosing(t, failB, declared+parked, scenario.RoleB, deadline))
	if want := "leak@x: a is still open somewhere after the end of the case"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	const queued = "A> send payload=00 fds=a\nA< ok n=1\nB> send payload=ff fds=-\nB< err EIO\n"
	if got := outcome(runClosing(t, queued, declared+"never closes", scenario.RoleB, time.Hour)); got != "pass" {
		t.Errorf("in the queue of an open socket: %s", got)
	}
}

// The runner waits for a call whose failure may excuse a wrong answer of the other side, but not for one that sleeps.
func TestFailureThatMayExcuse(t *testing.T) {
	for text, want := range map[string]string{
		"A>& send payload=ff fds=a\nB> recv bytes=2 fds=1\nB< ok n=2 payload=0001 fds=a\nA<& err EIO\n": "pass",
		"A>& recv bytes=1 fds=0\nB> recv bytes=1 fds=1 flags=dontwait\nB< ok n=0 payload=- fds=-\n" +
			"A<& ok n=0 payload=- fds=-\n": "fail: answer@x: its partner answered \"err EAGAIN\"\n",
	} {
		r := runClosing(t, text, declared+"closes before it answers", scenario.RoleA, time.Hour)
		if got := outcome(r); !strings.HasPrefix(got, want) {
			t.Errorf("got %s\nwant %s\n%s", got, want, strings.Join(r.Transcript, "\n"))
		}
	}
}

// socketNumber matches the descriptor of the socket of a case.
var socketNumber = regexp.MustCompile(`use sock=(\d+)`)

// If the failed call closes the connection, the other side answers, and the same processes run the
// next case.
func TestPairSurvivesAFailedCall(t *testing.T) {
	self, p := runner(t), testPeer(t, declared+"closes before it answers")
	checkNothingLeft(t)
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nB>& recv bytes=2 fds=1\n"+failA+"B<& ok n=2 payload=0001 fds=a\nR> shutdown A wr\n")
	one := onStream(s, p, self)
	var last string
	for i, r := range Run(context.Background(), []scenario.Case{one, one, one}, nil, Options{}).Results {
		number := socketNumber.FindString(strings.Join(r.Transcript, "\n"))
		if r.Verdict != scenario.Pass || number == last {
			t.Errorf("case %d: got %s with %q after %q, want pass with another", i, outcome(r), number, last)
		}
		last = number
	}
}
