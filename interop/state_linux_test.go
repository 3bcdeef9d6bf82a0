package interop

import (
	"context"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// The runner finds a leak at the descriptor of a later case even if the peer restores that
// descriptor when the case ends.
func TestLeakAtTheDescriptorOfALaterCase(t *testing.T) {
	self, liar := runner(t), testPeer(t, "hides")
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	o := Run(context.Background(), []scenario.Case{onStream(s, self, liar), onStream(s, self, liar)}, nil, Options{})
	if len(o.Results) != 2 {
		t.Fatalf("got %+v", o)
	}
	if got := finding(t, o.Results[0]); got != "leak@x: a, as 4, is open, and the peer did not report it" {
		t.Errorf("got %s", got)
	}
}

// The runner finds a change of state even if the other side has yet to answer, the runner's side
// answers last, or the runner does something else in between.
func TestChangeDuringOtherSteps(t *testing.T) {
	const (
		waits    = "on stream\nfiles a=file b=file\nB>& recv bytes=1 fds=1\nA> send payload=00 fds=a\nA< ok n=1\n"
		receives = "B<& ok n=1 payload=00 fds=a\n"
		flags    = "file@x: the status flags of a changed from none to O_NONBLOCK"
		offset   = "file@x: a is at offset 9, and was at 0 before"
	)
	self := runner(t)
	for _, c := range []struct{ name, peer, text, want string }{
		{"the other waits", "twists", waits + receives, flags},
		{"the runner looks", "twists", waits + "R> pending A\n" + receives, flags},
		{"the runner looks, at an offset", "seeks", waits + "R> pending A\n" + receives, offset},
		{"the runner sets another offset", "seeks", waits + "R> seek b=7\n" + receives, offset},
		{"the runner sets the offset of what has other flags", "twists", waits + "R> seek a=7\n" + receives, flags},
		{"the runner's side answers", "twists", "play sender\n" + waits + receives, flags},
		{"the runner's side does something else", "seeks", "play sender\n" + waits + receives + "B> sendmsg payload=00\nB< ok n=1\n", offset},
		{"nothing", "right", waits + "R> pending A\n" + receives + "R> seek a=7\nA> send payload=01 fds=-\nA< ok n=1\n", ""},
		{"the runner's side changes it", "right", "play sender\n" + waits + receives + "B> read fd=a bytes=2\nB< ok n=2 payload=0001\n" +
			"B> fcntl fd=a set=fl:nonblock\nB< ok\nA> send payload=01 fds=-\nA< ok n=1\nB> write fd=a payload=00\nB< ok n=1\n" +
			"B> recv bytes=1 fds=0\nB< ok n=1 payload=01 fds=-\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := testPeer(t, c.peer)
			checkNothingLeft(t)
			r := Run(context.Background(), []scenario.Case{onStream(mustParse(t, rule+c.text), p, self)}, nil, Options{}).Results[0]
			if got := outcome(r); got != c.want && got != "fail: "+c.want && !(c.want == "" && got == "pass: ") {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// A receiver is at fault if it changes the state of a received file, whatever else the sender gets
// wrong in the same scenario.
func TestReceiverIsAtFaultForAChangedFile(t *testing.T) {
	s := mustParse(t, passOne+"R> flags B a=-\nB> send payload=01 fds=-\nB< ok n=1\nA> recv bytes=1 fds=0\nA< ok n=1 payload=01 fds=-\n")
	self, other, changer := runner(t), testPeer(t, "fails", "other"), testPeer(t, "changes")
	checkNothingLeft(t)
	o := Run(context.Background(), []scenario.Case{onStream(s, other, changer)}, nil, Options{Runner: self})
	const want = "file@x: the status flags of a changed from none to O_NONBLOCK\nfile@x: a has the status flags O_NONBLOCK, not none\n" +
		`answer@other: answered "err EIO"` + "\nexpected ok n=1 payload=01 fds=- (not ok)"
	if got := finding(t, o.Results[0]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
