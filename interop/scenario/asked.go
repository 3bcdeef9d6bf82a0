package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Reason says why a case has no verdict about a peer.
type Reason string

const (
	ReasonHello   Reason = "hello"   // the peer's answer to hello excludes the case
	ReasonAnswer  Reason = "answer"  // the peer has answered unsupported
	ReasonPartner Reason = "partner" // its partner has done one of these
	ReasonRoot    Reason = "root"    // it needs root
	ReasonSystem  Reason = "system"  // the kernel or the system lacks something
	ReasonRunner  Reason = "runner"  // the runner fails it with itself
	ReasonHangs   Reason = "hangs"   // not run, because earlier cases hung
	ReasonCut     Reason = "cut"     // the run ended before it
	ReasonFilter  Reason = "filter"  // it was not selected
	ReasonNotRun  Reason = "not run" // the runner could not run it
)

// reasonTexts describes the reasons other than ReasonHello, whose detail needs no further words.
var reasonTexts = map[Reason]string{
	ReasonAnswer:  "unsupported",
	ReasonPartner: "not supported by its partner",
	ReasonRoot:    "they need root",
	ReasonSystem:  "not supported by this system",
	ReasonRunner:  "the runner itself fails them",
	ReasonHangs:   "not run after hangs",
	ReasonCut:     "the run was cut short",
	ReasonFilter:  "not selected",
	ReasonNotRun:  "could not be run",
}

// An Obstacle is the reason why a case has no verdict. It is zero if the case has one.
type Obstacle struct {
	Reason Reason
	Peer   string // for ReasonAnswer: whose answer it was
	Detail string // for ReasonHello: what it lacks; for ReasonAnswer: the words of can= that the call needs
}

// Asked counts the cases of a peer by what became of them. Cases is the sum of all other counts.
type Asked struct {
	Cases    int        `json:"cases"`               // of the peer, in a run that leaves out nothing
	Verdicts int        `json:"verdicts"`            // cases with a verdict
	NotAsked []NotAsked `json:"not_asked,omitempty"` // cases without one, the most frequent reason first
}

// NotAsked is the number of cases that have no verdict for one reason.
type NotAsked struct {
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"` // see Obstacle
	Cases  int    `json:"cases"`
}

// CountAsked counts the cases of the peer among these. obstacle returns why a case has no verdict, but need not know
// the peers' answers to hello.
func CountAsked(peer string, cases []Case, obstacle func(Case) Obstacle) (a Asked) {
	for _, c := range cases {
		role := RoleA
		if c.A.Name != peer {
			role = RoleB
		}
		if c.Peer(role).Name != peer {
			continue
		}
		o, own, partners := obstacle(c), c.UnsupportedBy(role), ""
		switch c.Peer(role.Other()).Name {
		case peer:
			own = c.Unsupported()
		case RunnerName: // supports everything
		default:
			partners = c.UnsupportedBy(role.Other())
		}
		switch {
		case slices.Contains([]Reason{ReasonFilter, ReasonCut}, o.Reason): // it has no result
		case own != "":
			o = Obstacle{Reason: ReasonHello, Detail: strings.TrimPrefix(own, peer+": ")}
		case partners != "", o.Peer != "" && o.Peer != peer:
			o = Obstacle{Reason: ReasonPartner}
		}
		a.Count(NotAsked{o.Reason, o.Detail, 1})
		a.Cases++
	}
	return a
}

// Count adds cases that have no verdict, or a verdict if there is no reason.
func (a *Asked) Count(n NotAsked) {
	i := slices.IndexFunc(a.NotAsked, func(is NotAsked) bool { return is.Reason == n.Reason && is.Detail == n.Detail })
	switch {
	case n.Reason == "":
		a.Verdicts += n.Cases
	case i < 0:
		a.NotAsked = append(a.NotAsked, n)
	default:
		a.NotAsked[i].Cases += n.Cases
	}
	slices.SortFunc(a.NotAsked, func(a, b NotAsked) int {
		return cmp.Or(cmp.Compare(b.Cases, a.Cases), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Detail, b.Detail))
	})
}

// String reports how many cases have no verdict, and why, or returns "" if all of them have one. These include cases in
// which the peer answered unsupported.
func (a Asked) String() string {
	if len(a.NotAsked) == 0 {
		return ""
	}
	return NoVerdictIn(fmt.Sprintf("%d of its %d cases", a.Cases-a.Verdicts, a.Cases)) + ": " + a.Reasons()
}

// NoVerdictIn returns the words for cases without a verdict, which are the same in all reports.
func NoVerdictIn(cases string) string { return "no verdict in " + cases }

// Reasons lists the reasons and how many cases each has.
func (a Asked) Reasons() string {
	var list []string
	for _, n := range a.NotAsked {
		text := cmp.Or(reasonTexts[n.Reason], string(n.Reason))
		switch {
		case n.Reason == ReasonHello:
			text = n.Detail
		case n.Detail != "":
			text += " although it claims " + n.Detail
		}
		list = append(list, fmt.Sprintf("%s (%d)", text, n.Cases))
	}
	return strings.Join(list, ", ")
}

// Obstacles returns a function for CountAsked, after a run of the selected cases. The Reason of cases without a
// result is missing.
func Obstacles(selected []Case, results []Result, missing Reason) func(Case) Obstacle {
	is := map[string]Obstacle{}
	for _, c := range selected {
		is[c.Name()] = Obstacle{Reason: missing}
	}
	for _, r := range results {
		o := r.Obstacle
		switch {
		case r.Verdict != Unsupported && r.Verdict != NotRun:
			o = Obstacle{}
		case o.Reason == "" && r.Verdict == Unsupported:
			o.Reason = ReasonSystem
		case o.Reason == "":
			o.Reason = ReasonNotRun
		}
		is[r.Name] = o
	}
	return func(c Case) Obstacle {
		if o, ok := is[c.Name()]; ok {
			return o
		}
		return Obstacle{Reason: ReasonFilter}
	}
}
