package judge

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// A Log contains what is needed to judge a case again.
type Log struct {
	Setup     Setup
	Exchanges []Exchange
	Found     Found // in the whole case
}

// An Exchange is a request and the fact that followed: one of fact.Sent, Answer, Missing, Observation and Acted.
type Exchange struct {
	Request Request
	Fact    any
}

// clone returns a copy without a log, which another judge can change.
func (s Setup) clone() Setup {
	held := map[scenario.Role]*Held{}
	for role, h := range s.Held {
		held[role] = &Held{maps.Clone(h.held), maps.Clone(h.spare), maps.Clone(h.standard)}
	}
	s.Held, s.Log = held, nil
	return s
}

// Judge judges the facts again, as if they had happened in another scenario, which expects different
// answers from the same steps or ends earlier. It returns what is found until there is a request which the
// log does not answer. A side that has to be asked out of turn cannot be asked.
func (l *Log) Judge(s *scenario.Scenario) Found {
	setup := l.Setup.clone()
	setup.Case.Scenario = s
	found, _ := Run(setup, &replay{l, s, l.Exchanges})
	return found
}

// A replay is a Runner that returns the facts of a log.
type replay struct {
	*Log
	scenario *scenario.Scenario
	left     []Exchange
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
	return nil, errors.New("the log does not answer this request")
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
