package interop

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
)

// Each case knows the findings of the ones before it.
func TestBlame(t *testing.T) {
	s := mustParse(t, strings.Replace(passOne, "on stream", "on stream dgram", 1))
	x, y, z, runner := &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}, &scenario.Peer{Name: "z"}, &scenario.Peer{Name: scenario.RunnerName}
	attribution := newAttribution(&environment{holders: &sync.Map{}}, runner)
	const sent = "the message that it reported as sent did not arrive"
	for _, c := range []struct {
		a, b        *scenario.Peer
		found, want string
	}{
		// No peer is known to be wrong yet.
		{x, y, "file@y: why", "file@y: why file@x: its partner: why"},
		{runner, runner, "answer@runner: why", "answer@runner: why"},
		{x, runner, "hang@runner: why", "answer@x: " + sent},
		// From here on, x is known to be wrong as the sender, opposite the runner.
		{x, y, "file@y: why", "file@x: its partner: why"},
		// Its faults as the receiver are judged separately.
		{y, x, "answer@y: why", "answer@y: why answer@x: its partner why"},
		{z, runner, "cloexec@z: why", "cloexec@z: why"}, // it has nothing to do with the findings below
		{z, y, "crash@z: why", "crash@z: why crash@y: its partner did not survive: why"},
		{runner, y, "crash@runner: why", "crash@y: its partner did not survive: why"},
		{z, y, "crash@z: why", "crash@y: its partner did not survive: why"},
	} {
		res := scenario.Result{Case: onStream(s, c.a, c.b), Verdict: scenario.Fail}
		check, rest, _ := strings.Cut(c.found, "@")
		name, text, _ := strings.Cut(rest, ": ")
		res.Findings = []scenario.Finding{{Check: scenario.Check(check), Peer: name, Text: text}}
		attribution.assignBlame(&res)
		if got := strings.ReplaceAll(findings(res), "\n", " "); got != c.want {
			t.Errorf("%s %s: got %s, want %s", res.Case.Name(), c.found, got, c.want)
		}
	}
}

// A failure in the first batch makes a peer suspect in other scenarios, unless the repository's own list has it,
// whatever the name of the file.
func TestListedFailuresOfTheFirstBatch(t *testing.T) {
	const line = "group/id answer@x it is known"
	own, err := scenario.ParseExpectations("built-in list", []byte(line))
	fdtest.Must(t, err)
	first, later := mustParse(t, passOne), mustParse(t, passOne)
	later.Name = "group/later"
	x, y, runner := &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}, &scenario.Peer{Name: scenario.RunnerName}
	const both = "answer@y: why answer@x: its partner why"
	for text, want := range map[string]string{
		"":                                    "answer@x: its partner why",
		line:                                  both,
		"group/id answer@x:sends it is known": "answer@x: its partner why",
		"group/id answer@x a user's reason":   "answer@x: its partner why",
	} {
		list, err := scenario.ParseExpectations("file", []byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		expected.MarkBuiltin(list, own)
		at := newAttribution(&environment{holders: &sync.Map{}}, runner)
		for _, c := range []scenario.Case{onStream(first, x, runner), onStream(first, runner, y)} {
			res := scenario.Result{Case: c, Verdict: scenario.Pass}
			if c.A == x {
				res.Verdict, res.Findings = scenario.Fail, []scenario.Finding{{Check: scenario.CheckAnswer, Peer: "x"}}
			}
			at.addToBatch(&res, &scenario.Expectations{List: list})
		}
		res := scenario.Result{Case: onStream(later, x, y), Verdict: scenario.Fail}
		res.Findings = []scenario.Finding{{Check: scenario.CheckAnswer, Peer: "y", Text: "why"}}
		if got := at.blame(&res); (len(got) > 1) != (want == both) {
			t.Errorf("%q: blames %v, want %s", text, got, want)
		}
		at.assignBlame(&res)
		if got := strings.ReplaceAll(findings(res), "\n", " "); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// A peer that sends a file to a socket of a later case is at fault, not the peer that has that
// socket and has not received the file yet.
func TestHolderIsTheSenderOfAQueuedFile(t *testing.T) {
	self, other, liar := runner(t), testPeer(t, "right", "other"), testPeer(t, "parks what it sends")
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	const leak = ": a is still open somewhere after the end of the case"
	with := func(p *scenario.Peer) []scenario.Case {
		return []scenario.Case{onStream(s, liar, p), onStream(s, liar, p)}
	}
	first := append(with(self), onStream(s, other, self))
	o := Run(context.Background(), append(first, with(other)...), nil, Options{Runner: self, Timeout: deadline})
	if got := finding(t, o.Results[3]); got != "leak@x"+leak {
		t.Errorf("got %s, want leak@x", got)
	}
	// Alone opposite the runner, it has no socket of a later case: both are at fault.
	o = Run(context.Background(), with(other), nil, Options{Runner: self, Timeout: deadline})
	got := finding(t, o.Results[0])
	if !strings.Contains(got, "leak@x"+leak) || !strings.Contains(got, "leak@other"+leak) {
		t.Errorf("got %s, want leak@x and leak@other", got)
	}
}

// If a sender reports that it sent too little, the finding is that answer, although it arrives
// while the runner waits for the receiver, which waits for the rest.
func TestShortCountIsReported(t *testing.T) {
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nA>& send payload=0001 fds=a\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"+
		"B> recv bytes=1 fds=0\nB< ok n=1 payload=01 fds=-\nA<& ok n=2\n")
	// a wait for the receiver would last that long
	got := finding(t, runBoth(t, onStream(s, testPeer(t, "short"), runner(t)), time.Hour))
	if want := `answer@x: answered "ok n=1"` + "\nexpected ok n=2 (n is 1)"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// If a finding would name both peers, and the run did not begin with their cases with the runner, they run then. The
// report does not contain them.
func TestPartnersRunWithTheRunnerIfAFindingNamesBoth(t *testing.T) {
	failed := filepath.Join(t.TempDir(), "failed")
	self, right := runner(t), testPeer(t, "right", "right")
	bad := shellPeer(t, `use) s=${rest#sock=}; s=${s%% *}; echo ok;; end) eval "exec $s<&-"; echo ok;;
		recv) case $rest in *bytes=2*) echo err EIO;; *) if [ -e `+failed+` ]; then echo ok n=1 payload=00 fds=-; else : >`+failed+`; echo err EIO; fi;; esac;;`)
	checkNothingLeft(t)
	once := mustParse(t, rule+"on stream\nA> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\n")
	always := mustParse(t, rule+"on stream\nA> send payload=01 fds=-\nA< ok n=1\nB> recv bytes=2 fds=0\nB< ok n=1 payload=01 fds=-\n")
	always.Name = "group/always"
	o := Run(context.Background(), []scenario.Case{onStream(once, right, bad), onStream(always, right, bad)}, nil, Options{Runner: self})
	if len(o.Results) != 2 {
		t.Fatalf("got %d results, want those of the plan", len(o.Results))
	}
	if got := finding(t, o.Results[0]); len(o.Results[0].Findings) != 1 || !strings.HasPrefix(got, "answer@x: ") {
		t.Errorf("got %s, want answer@x alone", got)
	}
}

// The hangs of those cases do not count: the report must show why a peer is given up.
func TestHangsThatTheReportDoesNotContain(t *testing.T) {
	self, right, other, failed := runner(t), testPeer(t, "right", "right"), testPeer(t, "right", "other"), filepath.Join(t.TempDir(), "failed")
	bad := shellPeer(t, `use) s=${rest#sock=}; s=${s%% *}; echo ok;; end) eval "exec $s<&-"; echo ok;;
		recv) case $rest in *bytes=2*) ;; *) if [ -e `+failed+` ]; then echo ok n=1 payload=00 fds=-; else : >`+failed+`; echo err EIO; fi;; esac;;`)
	checkNothingLeft(t)
	once := mustParse(t, rule+"on stream\nA> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=0\nB< ok n=1 payload=00 fds=-\n")
	hangs := mustParse(t, rule+"on stream\nA> send payload=01 fds=-\nA< ok n=1\nB> recv bytes=2 fds=0\nB< ok n=1 payload=01 fds=-\n")
	hangs.Name = "group/hangs"
	cases := []scenario.Case{onStream(once, right, bad), onStream(hangs, other, bad)}
	var got []string
	for _, r := range Run(context.Background(), cases, nil, Options{Runner: self, Timeout: deadline, MaxHangs: 1}).Results {
		got = append(got, r.Name+" "+string(r.Verdict))
	}
	want := []string{"group/id/stream/right/x fail", "group/hangs/stream/other/x fail"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
