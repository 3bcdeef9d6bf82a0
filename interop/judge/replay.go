package judge

import (
	"maps"
	"reflect"
	"slices"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// A Record contains what a judge needs to judge a case again.
type Record struct {
	Setup Setup
	Told  []Told
	Found Found // in the whole case
}

// Told is a request and the fact that followed: one of fact.Sent, Answer, Missing, Observation and Acted.
type Told struct {
	Request Request
	Fact    any
}

func (r *Record) add(do Request, f any) {
	if r != nil {
		r.Told = append(r.Told, Told{do, f})
	}
}

// clone returns a copy without a record, which another judge can change.
func (s Setup) clone() Setup {
	processes := map[scenario.Role]*Process{}
	for role, p := range s.Processes {
		processes[role] = &Process{maps.Clone(p.held), maps.Clone(p.spare), maps.Clone(p.standard), maps.Clone(p.leakedPidfds)}
	}
	s.Processes, s.Record = processes, nil
	return s
}

// Judge judges the facts again, as if they had happened in another scenario, which expects different
// answers from the same steps or ends earlier. It returns what is found until there is a request which the
// record does not answer. A side that has to be asked out of turn cannot be asked.
func (r *Record) Judge(s *scenario.Scenario) (all Found) {
	setup := r.Setup.clone()
	setup.Case.Scenario = s
	j := New(setup)
	told := r.Told
	for found, do := j.Begin(); ; {
		all.add(found)
		switch {
		case len(told) > 0 && r.answers(told[0], do, s):
			found, do = told[0].tell(j)
			told = told[1:]
		case isOutOfTurn(do):
			found, do = j.Missing(fact.Missing{Side: do.at().Role})
		default:
			return all
		}
	}
}

// answers reports whether a request in a scenario is the one that was recorded.
func (r *Record) answers(t Told, do Request, s *scenario.Scenario) bool {
	index := func(s *scenario.Scenario, at At) int {
		return slices.IndexFunc(s.Steps, func(st scenario.Step) bool { return st.Line == at.Step.Line })
	}
	was, is := t.Request.at(), do.at()
	same := reflect.TypeOf(t.Request) == reflect.TypeOf(do) && was.Role == is.Role
	return same && index(r.Setup.Case.Scenario, was) == index(s, is)
}

func isOutOfTurn(do Request) bool {
	_, waits := do.(AwaitFailure)
	_, asks := do.(Ask)
	return waits || asks && do.at().Step.Line > 0
}

// tell tells a judge the fact.
func (t Told) tell(j *Judge) (Found, Request) {
	switch f := t.Fact.(type) {
	case fact.Sent:
		return j.Sent(f)
	case fact.Answer:
		return j.Answered(f)
	case fact.Missing:
		return j.Missing(f)
	case fact.Observation:
		return j.Seen(f)
	}
	return j.Acted(t.Fact.(fact.Acted))
}
