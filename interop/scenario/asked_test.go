package scenario

import (
	"slices"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

// askedPlan returns the cases of three scenarios with the peers x and y.
func askedPlan(t *testing.T, x contract.Hello, y contract.Hello) []Case {
	t.Helper()
	pair := mustParse(t, simple)
	flags := mustParse(t, rule+"on stream\nplay receiver\nA> send payload=00 fds=-\nA< ok n=1\nB> recv bytes=1 fds=0 flags=peek\nB< ok n=1 payload=00 fds=-\n")
	kernel := mustParse(t, rule+"on stream\nplay kernel\nA> end\nA< ok\n")
	pair.Name, flags.Name, kernel.Name = "g/pair", "g/flags", "g/kernel"
	return Plan([]*Scenario{pair, flags, kernel}, []*Peer{{Name: "x", Hello: x}, {Name: "y", Hello: y}}, RunnerPeer())
}

// Cases that an answer to hello excludes are counted by what it lacks, and those that the partner excludes together.
func TestAskedByHello(t *testing.T) {
	all := []string{"stream", "dgram", "flags"}
	for _, c := range []struct {
		can, others []string
		room        string
		want        string
	}{
		{all, all, "", ""},
		{all[:2], all, "", "no verdict in 1 of its 11 cases: no flags (1)"},
		{all, all, "*,253", "no verdict in 7 of its 11 cases: its room is *,253 (7)"},
		{all[:2], all[:1], "", "no verdict in 3 of its 11 cases: not supported by its partner (2), no flags (1)"},
	} {
		plan := askedPlan(t, contract.Hello{Can: c.can, Room: c.room}, contract.Hello{Can: c.others})
		got := CountAsked("x", plan, func(Case) (none Obstacle) { return none })
		if got.String() != c.want {
			t.Errorf("can %v, room %q: got %q, want %q", c.can, c.room, got, c.want)
		}
	}
}

// Each case counts once, for what became of it in the run, and all numbers add up to the number of cases.
func TestAskedAddsUp(t *testing.T) {
	can := contract.Hello{Can: []string{"stream", "dgram"}}
	plan := askedPlan(t, can, can)
	selected := slices.DeleteFunc(slices.Clone(plan), func(c Case) bool { return c.A.Name == "x" && c.B.Name == "y" })
	var results []Result
	for _, r := range []Result{
		{Verdict: Flaky, Obstacle: Obstacle{Reason: ReasonAnswer, Peer: "x"}}, // at another attempt
		{Verdict: Unsupported, Obstacle: Obstacle{Reason: ReasonAnswer, Peer: "x", Detail: "flags and iov"}},
		{Verdict: Unsupported, Obstacle: Obstacle{Reason: ReasonAnswer, Peer: "x"}},
		{Verdict: Unsupported, Obstacle: Obstacle{Reason: ReasonAnswer, Peer: "other"}},
		{Verdict: Unsupported},
		{Verdict: NotRun},
	} {
		i := slices.IndexFunc(selected, func(c Case) bool {
			known := slices.ContainsFunc(results, func(r Result) bool { return r.Name == c.Name() })
			return !known && (c.A.Name == "x" || c.B.Name == "x" && c.Scenario.Play == PlayPair)
		})
		r.Name = selected[i].Name()
		results = append(results, r)
	}
	whole := CountAsked("x", plan, Obstacles(selected, results, ReasonCut))
	const want = "no verdict in 10 of its 11 cases: the run was cut short (3), not selected (2), unsupported (1), " +
		"unsupported although it claims flags and iov (1), could not be run (1), " +
		"not supported by its partner (1), not supported by this system (1)"
	if whole.String() != want {
		t.Errorf("got  %s\nwant %s", whole, want)
	}
	added := whole.Verdicts
	for _, n := range whole.NotAsked {
		added += n.Cases
	}
	if added != whole.Cases {
		t.Errorf("the numbers of %+v add up to %d", whole, added)
	}
}

// Wherever a run is cut, the cases that are counted as unsupported are those with that verdict, and the rest were cut.
func TestAskedOfCutRun(t *testing.T) {
	plan := askedPlan(t, contract.Hello{Can: []string{"stream"}}, contract.Hello{Can: []string{"dgram", "flags"}})
	for end := range len(plan) + 1 {
		var results []Result
		unsupported, cut := 0, 0
		for i, c := range plan {
			mine := c.A.Name == "x" || c.B.Name == "x"
			r := Result{Name: c.Name(), Verdict: Pass}
			for _, role := range []Role{RoleA, RoleB} {
				if c.Peer(role).Name != RunnerName && c.UnsupportedBy(role) != "" {
					r.Verdict = Unsupported
				}
			}
			switch {
			case i >= end:
				if mine {
					cut++
				}
				continue
			case mine && r.Verdict == Unsupported:
				unsupported++
			}
			results = append(results, r)
		}
		asked := CountAsked("x", plan, Obstacles(plan, results, ReasonCut))
		for _, n := range asked.NotAsked {
			if n.Reason == ReasonCut {
				cut -= n.Cases
			} else {
				unsupported -= n.Cases
			}
		}
		if cut != 0 || unsupported != 0 {
			t.Errorf("cut after %d cases: %s: %d too few are unsupported, and %d cut", end, asked, unsupported, cut)
		}
	}
}
