package interop

import (
	"context"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

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
		{x, y, "hang@y: why", "hang@y: why answer@x: " + sent},
		// The runner is never wrong, so its partner is at fault.
		{runner, y, "answer@runner: why", "answer@y: its partner why"},
		{x, runner, "leak@runner: why", "leak@x: its partner: why"},
		{x, runner, "hang@x: why", "hang@x: why"},
		{runner, runner, "answer@runner: why", "answer@runner: why"},
		{x, runner, "hang@runner: why", "answer@x: " + sent},
		// From here on, x is known to be wrong as the sender, opposite the runner.
		{x, y, "file@y: why", "file@x: its partner: why"},
		{x, y, "answer@y: why", "answer@x: its partner why"},
		{x, y, "hang@y: why", "answer@x: " + sent},
		{y, y, "file@y: why", "file@y: why"},
		// A peer is at fault for its own descriptor table.
		{x, y, "leak@y: why", "leak@y: why"},
		{x, y, "cloexec@y: why", "cloexec@y: why"},
		{x, y, "contract@y: why", "contract@y: why"},
		// The finding is about the sender, which is right opposite the runner. The receiver y is not.
		{z, runner, "cloexec@z: why", "cloexec@z: why"}, // it has nothing to do with the findings below
		{z, y, "answer@z: why", "answer@y: its partner why"},
		{z, y, "hang@z: why", "answer@y: " + sent},
		{z, y, "leak@z: why", "leak@z: why"},
		{x, y, "answer@x: why", "answer@x: why"}, // x is wrong itself
		// A peer that makes the one opposite crash does so to the runner too.
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

// A failure in the first batch makes a peer suspect in other scenarios, unless the repository's own list has it, whatever the
// name of the file.
func TestListedFailuresOfTheFirstBatch(t *testing.T) {
	const line = "group/id answer@x it is known"
	own, err := scenario.ParseExpectations("built-in list", []byte(line))
	if err != nil {
		t.Fatal(err)
	}
	first, later := mustParse(t, passOne), mustParse(t, passOne)
	later.Name = "group/later"
	x, y, runner := &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}, &scenario.Peer{Name: scenario.RunnerName}
	const both = "answer@y: why answer@x: its partner why"
	for text, want := range map[string]string{
		"":                                  "answer@x: its partner why",
		line:                                both,
		"[linux]\n" + line:                  "answer@x: its partner why",
		"group/id answer@x a user's reason": "answer@x: its partner why",
	} {
		list, err := scenario.ParseExpectations("file", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		scenario.MarkBuiltin(list, own)
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
		if got := at.wouldNameBoth(&res); got != (want == both) {
			t.Errorf("%q: wouldNameBoth: got %t", text, got)
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
	self, other := runner(t), testPeer(t, "right", "other")
	s := mustParse(t, passOne)
	const leak = ": a is still open somewhere after the end of the case"
	for _, what := range []string{"parks what it sends", "parks what it receives"} {
		t.Run(what, func(t *testing.T) {
			liar := testPeer(t, what)
			checkNothingLeft(t)
			with := func(p *scenario.Peer) []scenario.Case {
				one := onStream(s, p, liar)
				if what == "parks what it sends" {
					one = onStream(s, liar, p)
				}
				return []scenario.Case{one, one}
			}
			first := append(with(self), onStream(s, other, self))
			o := Run(context.Background(), append(first, with(other)...), nil, Options{Runner: self, Timeout: deadline})
			if got := finding(t, o.Results[3]); got != "leak@x"+leak {
				t.Errorf("got %s", got)
			}
			// Alone opposite the runner, it has no socket of a later case: both are at fault.
			o = Run(context.Background(), with(other), nil, Options{Runner: self, Timeout: deadline})
			if got := finding(t, o.Results[0]); !strings.Contains(got, "leak@x"+leak) || !strings.Contains(got, "leak@other"+leak) {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A sender that is wrong only sometimes is right when it runs opposite the runner. Both peers are
// then at fault for what is found at the receiver.
func TestIntermittentSender(t *testing.T) {
	s := mustParse(t, passOne)
	self := runner(t)
	const answered = `answered "ok n=1 payload=09 fds=N"` + "\nexpected ok n=1 payload=00 fds=a (payload is 09)"
	const another = "N is not the open file description of a"
	for what, want := range map[string]string{
		"once other bytes":  "answer@other: " + answered + "\nanswer@x: its partner " + answered,
		"once another file": "file@other: " + another + "\nfile@x: its partner: " + another,
	} {
		sender, other := testPeer(t, what), testPeer(t, "right", "other")
		checkNothingLeft(t)
		r := Run(context.Background(), []scenario.Case{onStream(s, sender, other)}, nil, Options{Runner: self}).Results[0]
		got := regexp.MustCompile(`\b\d+ is not|fds=\d+`).ReplaceAllStringFunc(finding(t, r), func(s string) string {
			return regexp.MustCompile(`\d+`).ReplaceAllString(s, "N")
		})
		if got != want {
			t.Errorf("%s: got %s\nwant %s", what, got, want)
		}
	}
}

// If a sender reports that it sent too little, the finding is that answer, although it arrives
// while the runner waits for the receiver, which waits for the rest.
func TestShortCountIsReported(t *testing.T) {
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nA>& send payload=0001 fds=a\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"+
		"B> recv bytes=1 fds=0\nB< ok n=1 payload=01 fds=-\nA<& ok n=2\n")
	got := finding(t, runBoth(t, onStream(s, testPeer(t, "short"), runner(t)), time.Hour)) // a wait for the receiver would last that long
	if want := `answer@x: answered "ok n=1"` + "\nexpected ok n=2 (n is 1)"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A receiver that leaves messages in its queue makes the sender wait for room. The receiver is at
// fault, and the finding is about its answer, not about a hang.
func TestSenderWaitsForRoom(t *testing.T) {
	s := mustParse(t, rule+"on dgram seqpacket\nfiles a=pipe-r b=memfd\nR> setsockopt A sndbuf=2304\nA> send payload=@4400 fds=a\nA< ok n=4400\n"+
		"B> recv bytes=8192 fds=1\nB< ok n=4400 payload=@4400 fds=a\nA> send payload=@4400 fds=b\nA< ok n=4400\n")
	self, peeker := runner(t), testPeer(t, "peeks")
	for _, sender := range []*scenario.Peer{self, testPeer(t, "right", "other")} {
		checkNothingLeft(t)
		cases := []scenario.Case{{Scenario: s, Type: "seqpacket", A: sender, B: peeker}}
		o := Run(context.Background(), cases, nil, Options{Runner: self, Timeout: deadline})
		if got, want := finding(t, o.Results[0]), "answer@x: it did not receive what was sent: the sender waits for room in its queue"; got != want {
			t.Errorf("%s sends: got %s, want %s", sender.Name, got, want)
		}
	}
}

// A peer conforms if it does what its library may do. It may close a surplus descriptor, if it reports that.
func TestRightPeers(t *testing.T) {
	for _, c := range []struct{ scenario, peer string }{
		{"truncation/ctrunc-three-into-one", "thrifty"}, // in the padding
		{"credentials/scm-pidfd-live", "counting"},
		{"death/reset-after-unread", "recvmmsg"},
		{"blocking/send-blocked-stream", "helper"},
	} {
		if c.peer == "helper" && os.Geteuid() != 0 {
			t.Logf("skip: %s: only root can send with the PID of another process", c.scenario)
			continue
		}
		text, err := os.ReadFile("catalogue/peer/" + c.scenario + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		self := runner(t)
		right := testPeer(t, c.peer)
		checkNothingLeft(t)
		one := onStream(mustParse(t, string(text)), self, right)
		if one.Scenario.Play == scenario.PlaySender {
			one.A, one.B = right, self
		}
		o := Run(context.Background(), []scenario.Case{one}, nil, Options{})
		switch {
		case len(o.Results) == 1 && o.Results[0].Verdict == scenario.Unsupported && strings.HasPrefix(o.Results[0].Why, "this kernel has no socket option "):
			t.Logf("skip: %s: %s", c.scenario, o.Results[0].Why)
		case len(o.Results) != 1 || o.Results[0].Verdict != scenario.Pass:
			t.Errorf("%s: got %+v", c.scenario, o.Results)
		}
	}
}

// A library may swap a message and an error, but lose or repeat neither.
func TestSwappedAnswers(t *testing.T) {
	text, err := os.ReadFile("catalogue/peer/death/reset-after-unread.txt")
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, string(text))
	for peer, want := range map[string]string{
		"right":    "",
		"recvmmsg": "",
		"reset":    "answer@x: answered \"err ECONNRESET\"\nexpected err ECONNRESET (an earlier answer belongs to the other order)\n",
		"peeks":    "answer@x: answered \"ok n=1 payload=61 fds=N\"\nexpected err ECONNRESET (not err)\n",
	} {
		receiver := testPeer(t, peer)
		checkNothingLeft(t)
		o := Run(context.Background(), []scenario.Case{onStream(s, runner(t), receiver)}, nil, Options{})
		got := regexp.MustCompile(`fds=\d+`).ReplaceAllString(findings(o.Results[0]), "fds=N")
		if (got == "") != (want == "") || !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s\nwant %s", peer, got, want)
		}
	}
}

// If the kernel truncates a message that the runner receives with exactly the scenario's room, the
// sender has sent more than the scenario says. A receiver with more room is not at fault.
func TestMoreIsSentThanTheScenarioSays(t *testing.T) {
	const full = "R> setsockopt A sndbuf=2304\nA> send payload=@4400 fds=-\nA< ok n=4400\n" +
		"A> send payload=@4400 fds=a flags=dontwait\nA< err EAGAIN\nB> recv bytes=4400 fds=0\nB< ok n=4400 payload=@4400 fds=-\n"
	const one = "A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"
	const calls = "A> send payload=00 fds=a\nA< ok n=1\nB> recvmsg bytes=1 control=len(1)\nB< ok n=1 payload=00 fds=a\n"
	const (
		cutFDs   = `its partner answered "ok n=1 payload=00 fds=N flags=ctrunc"` + "\nexpected ok n=1 payload=00 fds=a (more was sent: the kernel reports ctrunc)"
		cutBytes = `its partner answered "ok n=1 payload=00 fds=N flags=trunc"` + "\nexpected ok n=1 payload=00 fds=a (more was sent: the kernel reports trunc)"
	)
	self := runner(t)
	checkNothingLeft(t)
	for _, c := range []struct {
		name, text, socketType string
		peer                   string
		alone                  string // what is found when the runner receives
	}{
		{"extra descriptor", one, "stream", "sends more", cutFDs},
		{"extra descriptor", one, "seqpacket", "sends more", cutFDs},
		{"extra descriptor", "play sender\n" + calls, "dgram", "sends more", ""},
		{"extra byte", one, "dgram", "sends a byte", cutBytes},
		{"extra byte", one, "seqpacket", "sends a byte", cutBytes},
		{"descriptors doubled after EAGAIN", full + one, "seqpacket", "doubles", cutFDs},
	} {
		t.Run(c.name+" "+c.socketType, func(t *testing.T) {
			s := mustParse(t, rule+"on stream dgram seqpacket\nfiles a=pipe-r\n"+c.text)
			sender, other := testPeer(t, c.peer), testPeer(t, "generous", "other")
			cases := []scenario.Case{{Scenario: s, Type: c.socketType, A: sender, B: self}, {Scenario: s, Type: c.socketType, A: sender, B: other}}
			if s.Play != scenario.PlayPair {
				cases = cases[:1]
			}
			o := Run(context.Background(), cases, nil, Options{Runner: self})
			if len(o.Results) != len(cases) {
				t.Fatalf("got %+v", o)
			}
			got := regexp.MustCompile(`fds=\d+`).ReplaceAllString(finding(t, o.Results[0]), "fds=N")
			if want := "answer@x: " + c.alone; !strings.HasPrefix(got, want) || c.alone != "" && !strings.HasPrefix(got+"\n", want+"\n") {
				t.Errorf("got %s\nwant %s", got, want)
			}
			for _, f := range o.Results[len(cases)-1].Findings {
				if f.Key() != "answer@x" {
					t.Errorf("with a receiver that has more room: %s", f)
				}
			}
			if r := o.Results[len(cases)-1]; r.Verdict != scenario.Fail {
				t.Errorf("with a receiver that has more room: %s %s", r.Verdict, r.Why)
			}
		})
	}
}

// If the scenario itself sends more than it has room for, it expects the truncation, and the sender
// is not at fault.
func TestExpectedTruncation(t *testing.T) {
	s := mustParse(t, rule+"on seqpacket\nfiles a=pipe-r b=pipe-r\nA> send payload=0001 fds=a,b\nA< ok n=2\n"+
		"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a flags=ctrunc,trunc\n | ok n=1 payload=00 fds=a  # it reports no flags\n")
	self := runner(t)
	right := testPeer(t, "right")
	checkNothingLeft(t)
	o := Run(context.Background(), []scenario.Case{{Scenario: s, Type: "seqpacket", A: right, B: self}}, nil, Options{})
	if len(o.Results) != 1 || o.Results[0].Verdict != scenario.Pass {
		t.Errorf("got %+v", o.Results)
	}
}

// A library may be done with the connection after it has refused something. Neither side is at
// fault if it then answers unsupported. Other errors are no refusal.
func TestUnsupportedAfterARefusal(t *testing.T) {
	const (
		refuse = "A> send payload=0001 fds=a\nA< ok n=2\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n | err  # refused\n"
		again  = "A> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=-\n"
		room   = "A>& send payload=@1000000 fds=a\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n | err  # refused\n" +
			"A<& ok n=1000000\nB> recv bytes=1 fds=1\nB< ok n=1 payload=01 fds=-\n"
		early = "B> recv bytes=1 fds=1 flags=dontwait\nB< err EAGAIN\n | err  # refused\n"
		reset = "B> recv bytes=1 fds=1 flags=dontwait\nB< err ECONNRESET\n"
	)
	const unsupported = "unsupported: x: answered unsupported"
	for _, c := range []struct{ name, text, peer, want string }{
		{"to receive again", refuse + again, "quits", unsupported},
		{"an errno", refuse + again, "quits with EIO", unsupported},
		{"to send", refuse + "B> send payload=00 fds=-\nB< ok n=1\nA> recv bytes=1 fds=0\nA< ok n=1 payload=00 fds=-\n", "quits", unsupported},
		{"the other side finds the end", refuse + again, "shuts down", unsupported},
		{"the other side waits for room", room, "quits", unsupported},
		{"the kernel has reset the connection", reset + again, "is reset", unsupported},
		{"the kernel reports EAGAIN", early + again, "quits at EAGAIN",
			`fail: contract@x: answered unsupported to "recv bytes=1 fds=1", which its can= offers`},
		{"it has no further command", refuse + "A> send payload=00 fds=-\nA< ok n=1\n", "shuts down",
			"fail: answer@x: its partner answered \"err EPIPE\"\nexpected ok n=1 (not ok)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustParse(t, rule+"on stream\nfiles a=pipe-r\n"+c.text)
			timeout := time.Duration(0)
			if c.text == room {
				timeout = deadline // the runner waits it out
			}
			r := runBoth(t, onStream(s, runner(t), testPeer(t, c.peer)), timeout)
			if got := outcome(r); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}
