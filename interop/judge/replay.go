package judge

import (
	"maps"
	"slices"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// A Record contains what a judge needs to judge a case again.
type Record struct {
	Setup Setup
	Facts []fact.Fact
	Asked bool // the judge asked what another side does out of turn, so the case cannot be judged again
}

// NewRecord returns a record without facts. It must be called before the judge of the case is created.
func NewRecord(s Setup) *Record {
	processes := map[scenario.Role]*Process{}
	for role, p := range s.Processes {
		processes[role] = p.clone()
	}
	s.Processes = processes
	return &Record{Setup: s}
}

// Add adds a fact and notes what the judge asked for after it.
func (r *Record) Add(f fact.Fact, do Do) {
	r.Facts = append(r.Facts, f)
	r.Asked = r.Asked || do.What == Ask || do.What == Await
}

func (p *Process) clone() *Process {
	return &Process{maps.Clone(p.held), maps.Clone(p.spare), maps.Clone(p.standard), maps.Clone(p.leakedPidfds)}
}

// Judge judges the facts again, as if they had happened in another scenario, which expects different answers from the same
// steps or ends earlier. It returns the findings until the case has ended, and the request with which it ended. If the judge
// asked what a side does out of turn, the facts do not show what would have happened otherwise, and Judge finds nothing.
func (r *Record) Judge(s *scenario.Scenario) (findings []scenario.Finding, last Do) {
	if r.Asked {
		return nil, notRun("the judge asked a side out of turn")
	}
	j := New(NewRecord(r.Setup).Setup)
	j.Case.Scenario = s
	for _, f := range r.Facts {
		if f.Step.Line > 0 {
			i := slices.IndexFunc(r.Setup.Case.Scenario.Steps, func(st scenario.Step) bool { return st.Line == f.Step.Line })
			if i >= len(s.Steps) {
				continue
			}
			f.Step = s.Steps[i]
		}
		for {
			found, do := j.Next(f)
			findings = append(findings, found...)
			if do.Verdict != "" {
				last = do // the case may go on, to be ended at both peers
			}
			if do.What == EndCase || do.What == EndSession {
				return findings, do
			}
			if do.What != Ask && do.What != Await {
				break
			}
			f = fact.Fact{Kind: fact.Unasked, Side: do.Role} // what it would have answered is not known
		}
	}
	return findings, last
}
