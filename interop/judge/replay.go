package judge

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// A Record contains what is needed to judge a case again.
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
func (r *Record) Judge(s *scenario.Scenario) Found {
	setup := r.Setup.clone()
	setup.Case.Scenario = s
	found, _ := Run(setup, &replay{r, s, r.Told})
	return found
}

// A replay is a Runner that returns the facts of a record.
type replay struct {
	*Record
	scenario *scenario.Scenario
	left     []Told
}

func (r *replay) CarryOut(_ Found, do Request) (any, error) {
	switch {
	case len(r.left) > 0 && r.answers(r.left[0].Request, do):
		f := r.left[0].Fact
		r.left = r.left[1:]
		return f, nil
	case isOutOfTurn(do):
		return fact.Missing{Side: do.at().Role}, nil
	}
	return nil, errors.New("the record does not answer this request")
}

// answers reports whether the request that was recorded is this one, in the scenario of the replay.
func (r *replay) answers(recorded, do Request) bool {
	index := func(s *scenario.Scenario, at At) int {
		return slices.IndexFunc(s.Steps, func(st scenario.Step) bool { return st.Line == at.Step.Line })
	}
	was, is := recorded.at(), do.at()
	same := reflect.TypeOf(recorded) == reflect.TypeOf(do) && was.Role == is.Role
	return same && index(r.Setup.Case.Scenario, was) == index(r.scenario, is)
}

func isOutOfTurn(do Request) bool {
	_, waits := do.(AwaitFailure)
	_, asks := do.(Ask)
	return waits || asks && do.at().Step.Line > 0
}
