package scenario

import (
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

func TestNotAsked(t *testing.T) {
	pair := mustParse(t, simple)
	flags := mustParse(t, rule+"on stream\nplay receiver\nA> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=0 flags=peek\nB< ok n=1 payload=00 fds=-\n")
	kernel := mustParse(t, rule+"on stream\nplay kernel\nA> end\nA< ok\n")
	all := []*Scenario{pair, flags, kernel}
	for _, c := range []struct {
		can  []string
		room string
		want string
	}{
		{[]string{"stream", "dgram", "flags"}, "", ""},
		{[]string{"stream", "dgram"}, "", "1 of 5 cases with the runner are not asked: no flags"},
		{[]string{"stream", "dgram", "flags"}, "*,253", "3 of 5 cases with the runner are not asked: its room is *,253"},
		{[]string{"stream", "dgram"}, "*,253", "3 of 5 cases with the runner are not asked: its room is *,253 (2), no flags (1)"},
	} {
		p := &Peer{Name: "x", Hello: contract.Hello{Can: c.can, Room: c.room}}
		if got := NotAsked(Plan(all, []*Peer{p, {Name: "y"}}, RunnerPeer()), p); got != c.want {
			t.Errorf("can %v, room %q: got %q, want %q", c.can, c.room, got, c.want)
		}
	}
}
