package interop

import (
	"context"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// The runner looks at the descriptors of later cases, and a reader sees what a peer has done to them.
func TestDescriptorOfALaterCase(t *testing.T) {
	self, one := runner(t), mustParse(t, passOne)
	checkNothingLeft(t)
	for redirect, want := range map[string]string{
		"4>&-":        "B: no longer has 4 (given for a later case)",
		"4>/dev/null": "B: descriptor 4 is no file of the case: /dev/null",
	} {
		c := onStream(one, self, shellPeer(t, "recv) exec "+redirect+"; echo ok n=1 payload=00 fds=-;;"))
		r := Run(context.Background(), []scenario.Case{c, c}, nil, Options{}).Results[0]
		if facts := strings.Join(r.Facts, "\n"); !strings.Contains(facts, want) {
			t.Errorf("no %q in\n%s", want, facts)
		}
	}
}

// The runner finds a change of state even if it does something else in between, and changes itself what it sets.
func TestChangeDuringOtherSteps(t *testing.T) {
	const (
		waits    = "on stream\nfiles a=file b=file\nB>& recv bytes=1 fds=1\nA> send payload=00 fds=a\nA< ok n=1\n"
		receives = "B<& ok n=1 payload=00 fds=a\n"
		flags    = "fail: file@x: the status flags of a changed from none to O_NONBLOCK"
		offset   = "fail: file@x: a is at offset 9, and was at 0 before"
	)
	self := runner(t)
	for _, c := range []struct{ name, peer, text, want string }{
		{"the runner sets another offset", "seeks", waits + "R> seek b=7\n" + receives, offset},
		{"the runner sets the offset of what has other flags", "twists", waits + "R> seek a=7\n" + receives, flags},
		{"nothing", "right", waits + "R> pending A\n" + receives + "R> seek a=7\nA> send payload=01 fds=-\nA< ok n=1\n", "pass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := testPeer(t, c.peer)
			checkNothingLeft(t)
			r := Run(context.Background(), []scenario.Case{onStream(mustParse(t, rule+c.text), p, self)}, nil, Options{}).Results[0]
			if got := outcome(r); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}
