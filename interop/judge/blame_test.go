package judge

import (
	"cmp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// Who is at fault, for what is known about the two peers.
func TestBlame(t *testing.T) {
	s := mustParse(t, passOne+"A> recv bytes=1 fds=0\nA< ok n=1 payload=00 fds=-\n")
	x, y, runner := &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}, &scenario.Peer{Name: scenario.RunnerName}
	const sent = "the message that it reported as sent did not arrive"
	const room = "it did not receive what was sent: the sender waits for room in its queue"
	for _, c := range []struct {
		a, b        *scenario.Peer
		found       string // "?": ambiguous; "!": its own
		known       string // what A and B failed when paired with the runner; "+": in the first batch, a leak unless it says otherwise; "none+": no case there
		want        string
		withoutPair bool // no peer is paired with the runner
	}{
		{x, y, "file@y", "", "file@y: why file@x: its partner: why", false},
		{x, y, "file@y", "", "file@y: why", true},
		{x, y, "hang@y", "", "hang@y: why answer@x: " + sent, false},
		{x, y, "hang@x", "", "hang@x: why answer@y: " + room, false},
		{x, y, "file@y", "answer ", "file@x: its partner: why", false},
		{x, y, "answer@y", "answer file", "answer@x: its partner why", false},
		{x, y, "answer@x", "answer ", "answer@x: why", false},
		{x, y, "answer@x", " answer", "answer@y: its partner why", false},
		{x, y, "answer@x", "cloexec answer", "answer@y: its partner why", false}, // cloexec has nothing to do with it
		{x, y, "file@y!", "answer ", "file@y: why", false},
		{x, y, "leak@y", "answer ", "leak@y: why", false},
		{x, y, "cloexec@y", "answer ", "cloexec@y: why", false},
		{x, y, "contract@y", "answer ", "contract@y: why", false},
		{x, y, "crash@x", "", "crash@x: why crash@y: its partner did not survive: why", false},
		{x, y, "crash@x", " crash", "crash@y: its partner did not survive: why", false},
		{x, y, "leak@y?", "", "leak@y: why leak@x: why", false},
		{x, y, "leak@y?", "leak ", "leak@x: why", false},
		{x, y, "leak@y?", "+ ", "leak@x: why", false},
		{x, y, "leak@y?", " +", "leak@y: why", false},
		{x, y, "file@y?", "file leak", "file@x: why", false}, // a leak has nothing to do with it
		{x, y, "leak@y?", "leak leak", "leak@y: why", false},
		{x, y, "crash@y", "crash crash", "crash@y: why", false},
		{runner, y, "answer@runner", "", "answer@y: its partner why", false},
		{x, runner, "leak@runner", "", "leak@x: its partner: why", false},
		{x, runner, "hang@x", "", "hang@x: why", false},
		{x, runner, "hang@runner", "", "answer@x: " + sent, false},
		{x, runner, "cloexec@runner", "", "cloexec@runner: why", false},
		{runner, y, "crash@runner", "", "crash@y: its partner did not survive: why", false},
		{runner, runner, "answer@runner", "", "answer@runner: why", false},
		{y, y, "file@y", "answer answer", "file@y: why", false},
		// If neither fails this scenario with the runner, the first batch decides.
		{x, y, "file@y", "answer+ ", "file@x: its partner: why", false},
		{x, y, "answer@y", " answer+", "answer@y: why", false},
		{x, y, "hang@y", "file+ ", "answer@x: " + sent, false},
		{x, y, "answer@x", " file+", "answer@y: its partner why", false},
		{x, y, "crash@x", " crash+", "crash@y: its partner did not survive: why", false},
		{x, y, "crash@y", " answer+", "crash@y: why", false},
		// cloexec has nothing to do with it
		{x, y, "file@y", "cloexec+ ", "file@y: why file@x: its partner: why", false},
		{x, y, "file@y", "leak+ ", "file@y: why file@x: its partner: why", false},
		{x, y, "leak@y?", "file+ ", "leak@y: why leak@x: why", false},
		{x, y, "file@y", "answer+ answer+", "file@y: why file@x: its partner: why", false},
		{x, y, "leak@y?", "+ +", "leak@y: why leak@x: why", false},
		{x, y, "answer@x", "answer+ none+", "answer@x: why answer@y: its partner why", false},
		{x, y, "answer@x", "answer answer", "answer@x: why", false},
		{x, y, "file@y", "answer+ none+", "file@y: why file@x: its partner: why", false},
		{x, y, "file@y", "answer+ file", "file@y: why", false}, // this scenario decides
	} {
		check, rest, _ := strings.Cut(c.found, "@")
		name := strings.TrimRight(rest, "?!")
		f := scenario.Finding{Check: scenario.Check(check), Peer: name, Text: "why", Line: 8,
			Own: strings.HasSuffix(rest, "!"), Ambiguous: strings.HasSuffix(rest, "?")}
		known := Known{Alone: map[scenario.Role][]scenario.Check{}, Batch: map[scenario.Role][]scenario.Check{}, Runner: !c.withoutPair}
		failed, other, _ := strings.Cut(c.known, " ")
		for role, text := range map[scenario.Role]string{roleA: failed, roleB: other} {
			check, batch := strings.CutSuffix(text, "+")
			switch {
			case batch && check != "none":
				known.Batch[role] = []scenario.Check{scenario.Check(cmp.Or(check, "leak"))}
			case text != "" && !batch:
				known.Alone[role] = []scenario.Check{scenario.Check(text)}
			}
			if !strings.Contains(c.known, "none+") && known.Batch[role] == nil {
				known.Batch[role] = nil // it has a case, and failed nothing
			}
		}
		var got []string
		for _, f := range Blame(scenario.Case{Scenario: s, Type: "stream", A: c.a, B: c.b}, []scenario.Finding{f}, known) {
			got = append(got, f.String())
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s %s: %s with %q: got %s, want %s", c.a.Name, c.b.Name, c.found, c.known, got, c.want)
		}
	}
}

// If the partner is at fault for an answer, the short text of the finding also says that.
func TestBlameInShort(t *testing.T) {
	c := scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: &scenario.Peer{Name: scenario.RunnerName}, B: &scenario.Peer{Name: "y"}}
	f := scenario.Finding{Check: scenario.CheckAnswer, Peer: scenario.RunnerName, Text: "answered", Short: "n is 3"}
	if got := Blame(c, []scenario.Finding{f}, Known{Runner: true}); len(got) != 1 || got[0].Short != "its partner: n is 3" {
		t.Errorf("got %+v", got)
	}
}

// A process of the runner can also wait for room in a write.
func TestCauseOfHang(t *testing.T) {
	s := mustParse(t, rule+"on stream\nplay kernel\nA> write fd=asock payload=00\nA< ok n=1\n")
	if got := causeOfHang(s, roleA, 6); !strings.Contains(got, "waits for room") {
		t.Error(got)
	}
}
