// Package judge runs a case and decides what is wrong in it. It knows from the scenario what should happen. The runner
// carries out one request after the other, and returns what did happen as a fact. The package does no input or output
// and does not wait: it requests both from the runner.
//
// The requests are in course.go, in their order. The check of an answer's text is in answer.go, that of the descriptors
// of a process in table.go, what a line of the runner's own (R>) must find in acts.go, and which of two peers is at
// fault in blame.go.
package judge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// Held is what a process should have open, from one case to the next.
type Held struct {
	held     map[int]bool // its descriptors, and whether the files that they refer to are known
	spare    map[int]bool // those of them that belong to a later case: no "use" has named them yet
	standard map[int]bool // which of 0, 1 and 2 it had open when it answered hello
}

// NewHeld returns what a process holds that was started with the descriptors of a pool, and with these of 0, 1 and 2.
func NewHeld(pool []int, standard ...int) *Held {
	p := &Held{map[int]bool{}, map[int]bool{}, map[int]bool{}}
	for _, fd := range pool {
		p.held[fd], p.spare[fd] = true, true
	}
	for _, fd := range standard {
		p.standard[fd] = true
	}
	return p
}

// A Setup is what a judge knows before a case begins.
type Setup struct {
	Case    scenario.Case
	Held    map[scenario.Role]*Held             // what each process should have open
	Given   map[scenario.Role][]fact.Descriptor // what each process was started with for this case, its socket first
	Prefix  string                              // of the names of the case's abstract sockets
	Folder  string                              // for the files that the processes of the runner name, or ""
	Timeout time.Duration                       // of an answer, which is also how long a garbage collector may take
	Log     *Log                                // to which the judge adds each fact, or nil
}

// A Runner carries out requests.
type Runner interface {
	// CarryOut carries out a request, and returns the fact that followed: each type of request lists the types of its
	// facts. It also receives everything that has been found so far. An error ends the case.
	CarryOut(found Found, do Request) (fact any, err error)
}

// ErrPairOver is the error of Run if one of the processes cannot run another case.
var ErrPairOver = errors.New("one of the processes cannot run another case")

// Run runs a case, and returns everything that it has found. The error is ErrPairOver or that of the runner.
func Run(s Setup, r Runner) (Found, error) {
	j := newJudge(s, r)
	return j.finish(j.transcript())
}

// A judge contains what is known in a case, and what was found.
type judge struct {
	Setup
	runner Runner
	sides  map[scenario.Role]*side
	names  map[string]bool // of the files of the case

	altered bool // a process of the runner was sent a call that changes the states of files
	overlap bool // both sides have had something to do since the states of the files were judged
	spent   bool // a process can run no more cases
	leaked  bool // a leak of a file of the case has been found

	states    []fact.State       // changes that have not been judged yet
	changedBy map[string]suspect // who changed a file without a command to do so, by its name
	found     Found
}

// Found is what was found in a case.
type Found struct {
	Findings       []scenario.Finding
	Made           []NewFile         // by a process of the runner
	CloexecChecked []string          // the peers whose close-on-exec flags were checked
	Verdict        scenario.Verdict  // NotRun or Unsupported, if the case says nothing about the peers, or ""
	Why            string            // the reason
	Obstacle       scenario.Obstacle // if a peer has answered unsupported
}

// A NewFile is a file that a process has made, and its descriptor.
type NewFile struct {
	Owner scenario.Role // of the process
	Name  string
	FD    int
}

// A side is one of the two processes, and its role in the case.
type side struct {
	*Held
	setup    *Setup
	role     scenario.Role
	peer     *scenario.Peer
	byRunner bool // the scenario gives the runner this role, so it may be sent any call
	other    *side
	socket   int
	received map[string]int          // the descriptors that it reported, by the names of their files and as numerals
	open     map[int]fact.Descriptor // what is open, when the runner last looked

	command contract.Line // the last command of the transcript that it was sent
	text    string        // the same, as it was sent
	asked   int           // the line of that command
	pending bool          // it has not answered yet

	mayHaveSent bool         // it was sent a command that can pass a file
	order       string       // the order in which it gives answers that can be swapped, once one of them shows it
	refused     bool         // its library has rejected an operation and may no longer use the connection
	failed      bool         // a call has failed, and its library may close the socket at any time
	killed      bool         // the runner has killed it
	ended       bool         // it has answered the runner's "end"
	leaks       map[int]bool // the descriptors that were already reported as leaks
}

var roles = []scenario.Role{scenario.RoleA, scenario.RoleB}

func newJudge(s Setup, r Runner) *judge {
	if s.Log != nil {
		s.Log.Setup = s.clone()
	}
	j := &judge{Setup: s, runner: r, sides: map[scenario.Role]*side{}, names: map[string]bool{}, changedBy: map[string]suspect{}}
	for _, role := range roles {
		sd := &side{
			Held:     s.Held[role],
			setup:    &j.Setup,
			role:     role,
			peer:     s.Case.Peer(role),
			byRunner: s.Case.Scenario.RunByRunner(role),
			socket:   s.Given[role][0].FD,
			received: map[string]int{},
			open:     map[int]fact.Descriptor{},
			leaks:    map[int]bool{},
		}
		for fd := range sd.held {
			sd.open[fd] = fact.Descriptor{Side: role, FD: fd}
		}
		for _, d := range s.Given[role] {
			sd.open[d.FD] = d
			j.names[d.Files[0].Name] = true
			delete(sd.spare, d.FD)
		}
		j.sides[role] = sd
	}
	a, b := j.sides[scenario.RoleA], j.sides[scenario.RoleB]
	a.other, b.other = b, a
	return j
}

// do has the runner carry out a request, and returns the fact that followed.
func (j *judge) do(r Request) any {
	f, err := j.runner.CarryOut(j.found, r)
	if err != nil {
		endCase(err)
	}
	if j.Log != nil {
		j.Log.Exchanges = append(j.Log.Exchanges, Exchange{r, f})
	}
	return f
}

// errCaseOver ends a case, and ErrPairOver also the pair. Any other error is that of the runner.
var errCaseOver = errors.New("the case is over")

// endCase ends the transcript, or what follows it, with an error. It does not return: it panics, and catch recovers. So
// the functions in between read like the course of a case, without error handling.
func endCase(err error) { panic(stopped{err}) }

type stopped struct{ err error }

// catch sets the error of a function that was stopped.
func catch(err *error) {
	switch why := recover().(type) {
	case nil:
	case stopped:
		*err = why.err
	default:
		panic(why)
	}
}

// find adds a finding about the peer on a side.
func (j *judge) find(check scenario.Check, sd *side, line int, format string, args ...any) {
	j.add(sd, scenario.Finding{Check: check, Line: line, Text: fmt.Sprintf(format, args...)})
}

// add adds a finding about the peer on a side, whose name it fills in.
func (j *judge) add(sd *side, f scenario.Finding) {
	f.Peer = sd.peer.Name
	j.found.Findings = append(j.found.Findings, f)
}

// showsNothing notes that the case says nothing about the peers.
func (j *judge) showsNothing(verdict scenario.Verdict, format string, args ...any) {
	j.found.Verdict, j.found.Why = verdict, fmt.Sprintf(format, args...)
}

// endNotRun ends a case that says nothing about the peers. It does not return.
func (j *judge) endNotRun(format string, args ...any) {
	j.showsNothing(scenario.NotRun, format, args...)
	endCase(errCaseOver)
}

// endUnsupported ends a case in which a peer answers unsupported. It does not return.
func (j *judge) endUnsupported(sd *side) {
	j.showsNothing(scenario.Unsupported, "%s: answered unsupported", sd.peer.Name)
	j.found.Obstacle = scenario.Obstacle{Reason: scenario.ReasonAnswer, Peer: sd.peer.Name}
	if !sd.refused { // or its library may no longer use the connection, whatever the call needs
		j.found.Obstacle.Detail = strings.Join(scenario.WordsOf(sd.command), " and ")
	}
	endCase(errCaseOver)
}

// expected returns the step after this line that expects the answer to the side's pending command, or the zero Step.
func (sd *side) expected(line int) scenario.Step {
	for _, st := range sd.setup.Case.Scenario.Steps {
		if sd.pending && st.Role == sd.role && st.Kind == scenario.StepAnswer && st.Line > line {
			return st
		}
	}
	return scenario.Step{}
}

// descriptor returns the side's descriptor for the file with the given name.
func (sd *side) descriptor(name string) (int, error) {
	if fd, err := strconv.ParseInt(name, 0, 64); err == nil {
		return int(fd), nil
	}
	if fd, ok := sd.received[name]; ok {
		return fd, nil
	}
	for _, d := range sd.setup.Given[sd.role] {
		if d.Files[0].Name == name {
			return d.FD, nil
		}
	}
	return 0, fmt.Errorf("%s has no %q", sd.role, name)
}
