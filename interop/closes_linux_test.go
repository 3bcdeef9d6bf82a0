package interop

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/process"
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

var socketNumber = regexp.MustCompile(`use sock=(\d+)`)

// A failed call of a peer with closes=yes ends the case. It does not matter whether the library has
// closed its socket, or closes it later, or which file the descriptor refers to afterwards.
func TestFailedCallEndsTheCase(t *testing.T) {
	const closed = "descriptor 3 was closed without a command to do so"
	for _, c := range []struct{ name, peer, undeclared, declared string }{
		{"it closes at once", "closes at once", "file@x: " + closed, ""},
		{"it closes later", "closes later", "", ""},
		{"it never closes", "never closes", "", ""},
		{"another file has the descriptor", "opens another file there",
			"file@x: descriptor 3 refers to another file now, without a command to do so", ""},
		{"a file of the case has the descriptor", "moves a received file there",
			"file@x: descriptor 3 refers to another file now, without a command to do so", "leak@x: a, as 3, is open, and the peer did not report it"},
		{"it keeps a received file", "keeps what it received", "file@x: " + closed, "leak@x: a, as N, is open, and the peer did not report it"},
		{"it keeps its socket", "duplicates its socket", "", "leak@x: bsock, as N, is still open after the end of the case"},
		{"it leaves a file in a queue", "parks what it received", "file@x: " + closed, "leak@x: a is still open somewhere after the end of the case"},
		{"it leaves a file in a queue and closes later", "parks what it received and closes later", "", "leak@x: a is still open somewhere after the end of the case"},
		{"it closes another socket", "closes the socket of a later case", "file@x: " + closed, "file@x: descriptor 4 was closed without a command to do so"},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeout := time.Hour
			if strings.HasPrefix(c.peer, "parks") {
				timeout = deadline // the runner waits for the end of the pipe
			}
			r := runClosing(t, failB, declared+c.peer, scenario.RoleB, timeout)
			got := regexp.MustCompile(`as ([4-9]|\d\d+),`).ReplaceAllString(findings(r), "as N,")
			if got != c.declared {
				t.Errorf("with closes=yes: got\n%s\nwant\n%s", got, c.declared)
			}
			asked := slices.DeleteFunc(r.Transcript, func(l string) bool { return !strings.HasPrefix(l, "B> recv") })
			if len(asked) != 1 {
				t.Errorf("the case goes on: %q", asked)
			}
			r = runClosing(t, failB, c.peer, scenario.RoleB, timeout)
			if got := findings(r); !strings.HasPrefix(got, c.undeclared) || r.Verdict != scenario.Fail {
				t.Errorf("without closes=yes: got\n%s\nwant\n%s", got, c.undeclared)
			}
		})
	}
}

// The answer to a failed call is judged like any other.
func TestFailedCallIsJudged(t *testing.T) {
	for role, text := range map[scenario.Role]string{
		scenario.RoleA: strings.Replace(failA, "err EIO", "ok n=1", 1),
		scenario.RoleB: strings.Replace(failB, "err EIO", "ok n=1 payload=ff fds=a", 1),
	} {
		got := findings(runClosing(t, text, declared+"closes at once", role, time.Hour))
		if !strings.HasPrefix(got, "answer@x: answered \"err EIO\"\nexpected ok n=1") || strings.Contains(got, "was closed") {
			t.Errorf("as %s: got %s", role, got)
		}
	}
}

// A peer with closes=yes may not close its socket without a failed call.
func TestSocketClosedWithoutAnError(t *testing.T) {
	const text = "A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"
	self, p := runner(t), testPeer(t, declared+"closes without an error")
	checkNothingLeft(t)
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\n"+text)
	r := Run(context.Background(), []scenario.Case{onStream(s, self, p)}, nil, Options{}).Results[0]
	if got := findings(r); got != "file@x: descriptor 3 was closed without a command to do so" {
		t.Errorf("got %s", got)
	}
}

// A library may also close its socket if its peer answers unsupported.
func TestUnsupportedCallMayCloseTheSocket(t *testing.T) {
	self, p := runner(t), testPeer(t, declared+"does not support it and closes")
	checkNothingLeft(t)
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nA> send payload=0001 fds=-\nA< ok n=2\nB> recv bytes=2 fds=0\nB< ok n=2 payload=0001 fds=-\n")
	for _, r := range Run(context.Background(), []scenario.Case{onStream(s, self, p), onStream(s, self, p)}, nil, Options{}).Results {
		if got := outcome(r); got != "unsupported: x: answered unsupported" {
			t.Errorf("got %s", got)
		}
	}
}

// A wrong answer is judged even if the other side never completes the answer that could excuse it.
func TestIncompleteAnswerExcusesNothing(t *testing.T) {
	const text = "A>& send payload=ff fds=-\nB> recv bytes=1 fds=1 flags=dontwait\nB< ok n=1 payload=ff fds=-\nA<& ok n=1\n"
	got := findings(runClosing(t, text, declared+"answers in part", scenario.RoleA, deadline))
	if !strings.HasPrefix(got, "answer@x: its partner answered \"err EAGAIN\"") {
		t.Errorf("got %s", got)
	}
}

// If the other side has a command to answer when the case ends, there is no finding about it: neither
// if it waits in vain, nor if it finds the connection closed before the failed call is answered.
func TestOtherSideIsNotJudged(t *testing.T) {
	const waits = "B>& recv bytes=2 fds=1\nR> blocked B\n"
	const async = "A>& send payload=ff fds=a\n"
	for _, c := range []struct {
		name, text string
		role       scenario.Role // of the peer whose call fails
	}{
		{"it waits to receive", waits + failA + "B<& ok n=2 payload=0001 fds=a\n", scenario.RoleA},
		{"it waits to send", "A>& send payload=@1000000 fds=a\nR> blocked A\nB> send payload=ff fds=-\nB< err EIO\n" +
			"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\nA<& ok n=1000000\n", scenario.RoleB},
		{"its answer is expected first", waits + async + "B<& ok n=2 payload=0001 fds=a\nA<& err EIO\n", scenario.RoleA},
		{"it is expected to wait", async + "B>& recv bytes=2 fds=1\nR> blocked B\nA<& err EIO\nB<& ok n=2 payload=0001 fds=a\n", scenario.RoleA},
	} {
		for _, what := range []string{"closes at once", "closes before it answers", "closes later", "never closes"} {
			t.Run(c.name+", "+what, func(t *testing.T) {
				r := runClosing(t, c.text, declared+what, c.role, time.Hour)
				if got := outcome(r); got != "pass: " {
					t.Errorf("got %s\n%s", got, strings.Join(r.Transcript, "\n"))
				}
			})
		}
	}
}

// If the failed call closes the connection, the other side answers, and the same processes run the
// next case.
func TestSessionSurvivesAFailedCall(t *testing.T) {
	self, p := runner(t), testPeer(t, declared+"closes at once")
	checkNothingLeft(t)
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nB>& recv bytes=2 fds=1\n"+failA+"B<& ok n=2 payload=0001 fds=a\nR> shutdown A wr\n")
	one := onStream(s, p, self)
	var last string
	for _, r := range Run(context.Background(), []scenario.Case{one, one, one}, nil, Options{}).Results {
		number := socketNumber.FindString(strings.Join(r.Transcript, "\n"))
		if r.Verdict != scenario.Pass || number == last {
			t.Errorf("%s, %s, after %s", outcome(r), number, last)
		}
		last = number
	}
}

// If the calls of both sides fail, the case passes.
func TestBothCallsFail(t *testing.T) {
	p := testPeer(t, declared+"closes at once")
	checkNothingLeft(t)
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nA>& send payload=ff fds=a\nB>& send payload=ff fds=-\nA<& err EIO\nB<& err EIO\n")
	for _, r := range Run(context.Background(), []scenario.Case{onStream(s, p, p), onStream(s, p, p)}, nil, Options{}).Results {
		if got := outcome(r); got != "pass: " {
			t.Errorf("got %s", got)
		}
	}
}

// The other side's faults are found even if it answers after the failed call.
func TestOtherSideIsAtFaultAfterAFailedCall(t *testing.T) {
	for verbs, want := range map[string]string{
		"recv) head -c 1 <&3; exit 7;;":                          "crash@x: the peer ended: exit status 7",
		"recv) head -c 1 <&3; echo yes;;":                        `contract@x: answered "yes" to "recv bytes=2 fds=1"`,
		"recv) head -c 1 <&3; echo ok n=1 payload=00 fds=3;;":    "file@x: reported that it received 3, which it had already",
		"recv) exec 9<&4; head -c 1 <&3; echo err ECONNRESET;;":  "leak@x: b, as 9, is open, and the peer did not report it",
		"recv) head -c 1 <&3; echo err ECONNRESET;; end) exit;;": "crash@x: the peer ended: exit status 0",
	} {
		p, closer := shellPeer(t, verbs), testPeer(t, declared+"closes at once", "closer")
		s := mustParse(t, rule+"on stream\nfiles a=pipe-r b@B=memfd\nB>& recv bytes=2 fds=1\n"+failA+"B<& ok n=2 payload=0001 fds=a\n")
		r := Run(context.Background(), []scenario.Case{onStream(s, closer, p)}, nil, Options{}).Results[0]
		if got := findings(r); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", verbs, got, want)
		}
	}
}

// A leak is found even if the other side never answers.
func TestLeakWhileTheOtherSideWaits(t *testing.T) {
	const text = "A> send payload=ff fds=a\nA< ok n=1\nA>& recv bytes=1 fds=0\nR> blocked A\nB> recv bytes=1 fds=1\nB< err EIO\nA<& ok n=0 payload=- fds=-\n"
	r := runClosing(t, text, declared+"keeps everything", scenario.RoleB, time.Hour)
	if got := findings(r); !strings.HasPrefix(got, "leak@x: a, as ") {
		t.Errorf("got %s", outcome(r))
	}
}

// A peer whose partner was killed may close its socket.
func TestFailedCallAfterAKill(t *testing.T) {
	r := runClosing(t, "A> send payload=ff fds=a\nA< ok n=1\nR> kill A SIGKILL\nB> recv bytes=1 fds=1\nB< err EIO\n", declared+"closes at once", scenario.RoleB, time.Hour)
	if got := outcome(r); got != "pass: " {
		t.Errorf("got %s", got)
	}
}

// A file that was sent to a socket that the library has not closed is not a leak. It is one if the
// socket is closed.
func TestFileInTheQueueOfAnOpenSocket(t *testing.T) {
	const text = "A> send payload=00 fds=a\nA< ok n=1\nB> send payload=ff fds=-\nB< err EIO\n"
	for _, what := range []string{"closes at once", "closes later", "never closes"} {
		if got := outcome(runClosing(t, text, declared+what, scenario.RoleB, time.Hour)); got != "pass: " {
			t.Errorf("%s: got %s", what, got)
		}
	}
}

// With two peers, the one that closes its socket is not at fault, and neither is the other.
func TestNoBlameForAClosedSocket(t *testing.T) {
	self, p, other := runner(t), testPeer(t, declared+"closes before it answers"), testPeer(t, "right", "other")
	checkNothingLeft(t)
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nB>& recv bytes=2 fds=1\nA>& send payload=ff fds=a\nB<& ok n=2 payload=0001 fds=a\nA<& err EIO\n")
	o := Run(context.Background(), []scenario.Case{onStream(s, p, other), onStream(s, p, p)}, nil, Options{Runner: self, Timeout: process.DefaultTimeout})
	for _, r := range o.Results {
		if got := outcome(r); got != "pass: " {
			t.Errorf("%s: got %s", r.Name, got)
		}
	}
}

// The answer of the other side that is known first may be a later one, and does not excuse the first failure.
func TestLaterAnswerExcusesNothing(t *testing.T) {
	a := shellPeer(t, "send) echo err EIO;; end) exec 3<&- 4<&-; echo ok;;")
	b := shellPeer(t, "recv) echo err ECONNRESET;; end) exec 3<&-; echo ok;;")
	a.Name, b.Name = "x", "y"
	for _, p := range []*scenario.Peer{a, b} {
		p.Hello.Closes = true
		for i := range p.Command {
			p.Command[i] = strings.Replace(p.Command[i], `name=x can=stream,dgram,seqpacket,multi"`, `name=`+p.Name+` can=stream,dgram,seqpacket,multi closes=yes"`, 1)
		}
	}
	s := mustParse(t, rule+`on stream
files a=file
A>& send payload=00 fds=a
B>& recv bytes=1 fds=1
R> blocked B
B<& ok n=1 payload=00 fds=a
A<& ok n=1
B> recv bytes=1 fds=0
B< err ECONNRESET
`)
	r := Run(context.Background(), []scenario.Case{onStream(s, a, b)}, nil, Options{}).Results[0]
	if got := outcome(r); !strings.Contains(got, `answer@x: answered "err EIO"`) {
		t.Errorf("%s\n%s", got, strings.Join(r.Transcript, "\n"))
	}
}
