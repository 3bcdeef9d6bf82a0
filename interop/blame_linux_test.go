package interop

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// adept sends and receives as it should, but for what its fields say.
type adept struct {
	sock     int
	err      error               // of each receive
	received func(fds []int)     // what it does with what it receives
	short    func(n int) (m int) // how much of n bytes it sends
	peeks    bool                // it leaves in the queue what it receives
	more     peer.Message        // what it sends beyond a message with descriptors
}

func (h adept) Send(m peer.Message) (int, error) {
	if h.short != nil {
		m.Buffers[0] = m.Buffers[0][:h.short(len(m.Buffers[0]))]
	}
	var more peer.Message
	if len(m.FDs) > 0 {
		more = h.more
	}
	n, err := raw.Send(h.sock, slices.Concat(m.Buffers, more.Buffers), slices.Concat(m.FDs, more.FDs), m.Flags)
	return n - len(slices.Concat(more.Buffers...)), err
}

func (h adept) Recv(r peer.Room) (got peer.Received, err error) {
	if h.err != nil {
		return got, h.err
	}
	if h.peeks {
		r.Flags |= unix.MSG_PEEK
	}
	n, fds, _, err := raw.Recv(h.sock, r.Buffers, r.FDs, r.Flags)
	if err == nil && h.received != nil {
		h.received(fds)
	}
	return peer.Received{N: n, Payload: r.Filled(n), FDs: fds}, err
}

// A receiver that changes what it received has done so itself, whatever else the sender
// gets wrong in the same scenario.
func TestChangedFileIsTheReceivers(t *testing.T) {
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"+
		"R> flags B a=-\nB> send payload=01 fds=-\nB< ok n=1\nA> recv bytes=1 fds=0\nA< ok n=1 payload=01 fds=-\n")
	other := inside(t, func(sock int) peer.Socket { return adept{sock: sock, err: unix.EIO} })
	other.Name = "other"
	changer := inside(t, func(sock int) peer.Socket {
		return adept{sock: sock, received: func(fds []int) { _ = unix.SetNonblock(fds[0], true) }}
	})
	self := runner(t)
	settled(t)
	o := Run(context.Background(), []scenario.Case{onStream(s, other, changer)}, nil, Options{Runner: self})
	if len(o.Results) != 1 {
		t.Fatalf("got %+v", o)
	}
	const want = "file@x: a has got the status flags 04000 in place of 0\nfile@x: a has the status flags 04000, not -\n" +
		`answer@other: answered "err EIO"` + "\nnot ok n=1 payload=01 fds=- (not ok)"
	if got := finding(t, o.Results[0]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// shortPeer, in the environment, makes this program a peer that sends half of what it is
// told to, and says so.
const shortPeer = "SCM_SHORT_PEER"

func TestShortPeer(t *testing.T) {
	if os.Getenv(shortPeer) == "" {
		t.Skip("it is for TestShortCountIsHeard")
	}
	_ = peer.Serve(peer.Library{Name: "x", Version: "1", Can: "stream", Open: func(sock int) (peer.Socket, error) {
		return adept{sock: sock, short: func(n int) int { return n / 2 }}, nil
	}}, os.Stdin, os.Stdout)
	os.Exit(0)
}

// A sender that says how little it sent is heard, and not told that it lied: at once,
// although the receiver waits for the rest.
func TestShortCountIsHeard(t *testing.T) {
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nA>& send payload=0001 fds=a\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"+
		"B> recv bytes=1 fds=0\nB< ok n=1 payload=01 fds=-\nA<& ok n=2\n")
	short := scenario.Program("x", "/bin/sh", "-c", shortPeer+"=1 exec "+os.Args[0]+" -test.run='^TestShortPeer$'")
	if err := process.Probe(short, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	silent := inside(t, func(sock int) peer.Socket { return adept{sock: sock, short: func(n int) int { return n / 2 }} })
	for _, c := range []struct {
		peer    *scenario.Peer
		timeout time.Duration
	}{
		{short, time.Hour}, // it would be waited for
		{silent, deadline}, // nobody can tell that a peer inside sleeps
	} {
		got := finding(t, playBoth(t, scenario.Case{Scenario: s, Type: "stream", A: c.peer, B: runner(t)}, c.timeout))
		if want := `answer@x: answered "ok n=1"` + "\nnot ok n=2 (n is 1)"; got != want && !strings.HasPrefix(got, want) {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

// thrifty has room for two descriptors, hands one over, closes the other, and reports
// both that and MSG_CTRUNC.
type thrifty struct{ adept }

func (h thrifty) Recv(r peer.Room) (peer.Received, error) {
	n, fds, flags, err := raw.Recv(h.sock, r.Buffers, 2, r.Flags)
	got := peer.Received{N: n, Payload: r.Filled(n), FDs: fds, HasFlags: true, Flags: flags & unix.MSG_CTRUNC}
	if len(fds) == 2 {
		got.FDs, got.Closed = fds[:1], 1
		err = unix.Close(fds[1])
	}
	return got, err
}

// counting reports the pidfd that the kernel has added, and that raw.Recv has closed.
type counting struct{ adept }

func (h counting) Recv(r peer.Room) (peer.Received, error) {
	got, err := h.adept.Recv(r)
	got.Closed = 1
	return got, err
}

// Who closes a descriptor that nobody asked for, and reports it, conforms.
func TestClosedAndReported(t *testing.T) {
	for _, c := range []struct {
		scenario string
		open     func(h adept) peer.Socket
	}{
		{"truncation/ctrunc-three-into-one", func(h adept) peer.Socket { return thrifty{h} }}, // in the padding
		{"credentials/scm-pidfd-live", func(h adept) peer.Socket { return counting{h} }},
	} {
		text, err := os.ReadFile("catalogue/" + c.scenario + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		self := runner(t)
		right := inside(t, func(sock int) peer.Socket { return c.open(adept{sock: sock}) })
		settled(t)
		o := Run(context.Background(), []scenario.Case{{Scenario: mustParse(t, string(text)), Type: "stream", A: self, B: right}}, nil, Options{})
		switch {
		case len(o.Results) == 1 && o.Results[0].Verdict == scenario.Unsupported && strings.HasPrefix(o.Results[0].Why, "this kernel has no socket option "):
			t.Logf("skip: %s: %s", c.scenario, o.Results[0].Why)
		case len(o.Results) != 1 || o.Results[0].Verdict != scenario.Pass:
			t.Errorf("%s: got %+v", c.scenario, o.Results)
		}
	}
}

// A receiver that leaves what it receives in the queue makes the sender wait for room: the
// runner blames the receiver, for what a receiver can do.
func TestSenderWaitsForRoom(t *testing.T) {
	s := mustParse(t, rule+"on dgram seqpacket\nfiles a=pipe-r b=memfd\nR> setsockopt A sndbuf=2304\nA> send payload=@4400 fds=a\nA< ok n=4400\n"+
		"B> recv bytes=8192 fds=1\nB< ok n=4400 payload=@4400 fds=a\nA> send payload=@4400 fds=b\nA< ok n=4400\n")
	peeker := inside(t, func(sock int) peer.Socket { return adept{sock: sock, peeks: true} })
	self := runner(t)
	other := inside(t, func(sock int) peer.Socket { return adept{sock: sock} })
	other.Name = "other"
	settled(t)
	for _, sender := range []*scenario.Peer{self, other} {
		o := Run(context.Background(), []scenario.Case{{Scenario: s, Type: "seqpacket", A: sender, B: peeker}}, nil, Options{Runner: self, Timeout: deadline})
		if len(o.Results) != 1 {
			t.Fatalf("got %+v", o)
		}
		if got, want := finding(t, o.Results[0]), "answer@x: it did not receive what was sent: the sender waits for room"; got != want {
			t.Errorf("%s sends: got %s, want %s", sender.Name, got, want)
		}
	}
}

// generous receives with more room than it is asked for, and reports all that it received.
type generous struct{ adept }

func (h generous) Recv(r peer.Room) (peer.Received, error) {
	r.Buffers = append(r.Buffers, make([]byte, 64))
	r.FDs += 16
	return h.adept.Recv(r)
}

// doubler sends the descriptors of a message that the kernel did not take at once twice
// with the next one.
type doubler struct {
	adept
	kept []int
}

func (h *doubler) Send(m peer.Message) (int, error) {
	m.FDs = append(h.kept, m.FDs...)
	n, err := h.adept.Send(m)
	if h.kept = nil; errors.Is(err, unix.EAGAIN) {
		h.kept = m.FDs
	}
	return n, err
}

// What the kernel truncates at the runner's side, which has only the scenario's room, is
// what the sender sent beyond the scenario. A receiver with more room is not to blame.
func TestMoreIsSentThanTheScenarioSays(t *testing.T) {
	const full = "R> setsockopt A sndbuf=2304\nA> send payload=@4400 fds=-\nA< ok n=4400\n" +
		"A> send payload=@4400 fds=a flags=dontwait\nA< err EAGAIN\nB> recv bytes=4400 fds=0\nB< ok n=4400 payload=@4400 fds=-\n"
	const one = "A> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"
	const calls = "A> send payload=00 fds=a\nA< ok n=1\nB> recvmsg bytes=1 control=len(1)\nB< ok n=1 payload=00 fds=a\n"
	extra := func(sock int) peer.Socket { return adept{sock: sock, more: peer.Message{FDs: []int{0}}} }
	tail := func(sock int) peer.Socket {
		return adept{sock: sock, more: peer.Message{Buffers: [][]byte{{'!'}}}}
	}
	doubles := func(sock int) peer.Socket { return &doubler{adept: adept{sock: sock}} }
	const (
		cutFDs   = `answered "ok n=1 payload=00 fds=N flags=ctrunc"` + "\nnot ok n=1 payload=00 fds=a (more was sent: the kernel reports ctrunc)"
		cutBytes = `answered "ok n=1 payload=00 fds=N flags=trunc"` + "\nnot ok n=1 payload=00 fds=a (more was sent: the kernel reports trunc)"
	)
	self := runner(t)
	settled(t)
	for _, c := range []struct {
		name, text, socketType string
		open                   func(sock int) peer.Socket
		alone                  string // what is found when the runner receives
	}{
		{"extra descriptor", one, "stream", extra, cutFDs},
		{"extra descriptor", one, "seqpacket", extra, cutFDs},
		{"extra descriptor", "play sender\n" + calls, "dgram", extra, ""},
		{"extra byte", one, "dgram", tail, cutBytes},
		{"extra byte", one, "seqpacket", tail, cutBytes},
		{"descriptors doubled after EAGAIN", full + one, "seqpacket", doubles, cutFDs},
	} {
		t.Run(c.name+" "+c.socketType, func(t *testing.T) {
			s := mustParse(t, rule+"on stream dgram seqpacket\nfiles a=pipe-r\n"+c.text)
			sender := inside(t, c.open)
			other := inside(t, func(sock int) peer.Socket { return generous{adept{sock: sock}} })
			other.Name = "other"
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

// Where the scenario has less room than it sends, it expects the truncation: the runner does
// not blame the sender.
func TestTruncationThatTheScenarioHas(t *testing.T) {
	s := mustParse(t, rule+"on seqpacket\nfiles a=pipe-r b=pipe-r\nA> send payload=0001 fds=a,b\nA< ok n=2\n"+
		"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a flags=ctrunc,trunc\n | ok n=1 payload=00 fds=a  # it reports no flags\n")
	self := runner(t)
	right := inside(t, func(sock int) peer.Socket { return adept{sock: sock} })
	settled(t)
	o := Run(context.Background(), []scenario.Case{{Scenario: s, Type: "seqpacket", A: right, B: self}}, nil, Options{})
	if len(o.Results) != 1 || o.Results[0].Verdict != scenario.Pass {
		t.Errorf("got %+v", o.Results)
	}
}

// quitter gives the connection up when it receives: its library refuses that and all that
// follows.
type quitter struct {
	adept
	err   error // of the first receive
	shuts bool
	over  bool
}

func (h *quitter) Send(m peer.Message) (int, error) {
	if h.over {
		return 0, peer.ErrUnsupported
	}
	return h.adept.Send(m)
}

func (h *quitter) Recv(peer.Room) (got peer.Received, err error) {
	if h.over {
		return got, peer.ErrUnsupported
	}
	if h.over = true; h.shuts {
		_ = unix.Shutdown(h.sock, unix.SHUT_RDWR)
	}
	return got, h.err
}

// A library that has refused may be done with the connection: what it does not support from
// then on is no fault of either side. Other errors are no refusal.
func TestUnsupportedBehindARefusal(t *testing.T) {
	const (
		refuse = "A> send payload=0001 fds=a\nA< ok n=2\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n | err  # refused\n"
		again  = "A> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=-\n"
		room   = "A>& send payload=@1000000 fds=a\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n | err  # refused\n" +
			"A<& ok n=1000000\nB> recv bytes=1 fds=1\nB< ok n=1 payload=01 fds=-\n"
		early = "B> recv bytes=1 fds=1 flags=dontwait\nB< err EAGAIN\n | err  # refused\n"
		reset = "B> recv bytes=1 fds=1 flags=dontwait\nB< err ECONNRESET\n"
	)
	const unsupported = "unsupported: x: answered unsupported"
	own, broken := errors.New("no more"), unix.EIO
	for _, c := range []struct {
		name, text string
		err        error
		shuts      bool
		want       string
	}{
		{"to receive again", refuse + again, own, false, unsupported},
		{"an errno", refuse + again, broken, false, unsupported},
		{"to send", refuse + "B> send payload=00 fds=-\nB< ok n=1\nA> recv bytes=1 fds=0\nA< ok n=1 payload=00 fds=-\n", own, false, unsupported},
		{"the other side finds the end", refuse + again, own, true, unsupported},
		{"the other side waits for room", room, own, false, unsupported},
		{"the kernel has reset the connection", reset + again, unix.ECONNRESET, false, unsupported},
		{"the kernel has said so", early + again, unix.EAGAIN, false,
			`fail: contract@x: answered unsupported to "recv bytes=1 fds=1", which is what its can= says`},
		{"nothing is asked of it any more", refuse + "A> send payload=00 fds=-\nA< ok n=1\n", own, true,
			"fail: answer@x: answered \"err EPIPE\"\nnot ok n=1 (not ok)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := inside(t, func(sock int) peer.Socket {
				return &quitter{adept: adept{sock: sock}, err: c.err, shuts: c.shuts}
			})
			s := mustParse(t, rule+"on stream\nfiles a=pipe-r\n"+c.text)
			r := playBoth(t, onStream(s, runner(t), x), deadline)
			got := string(r.Verdict) + ": " + r.Why
			for _, f := range r.Findings {
				got += f.String()
			}
			if got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}
