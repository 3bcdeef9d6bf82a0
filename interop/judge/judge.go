// Package judge decides what is wrong in a case, and what the runner has to do. It knows what should have happened,
// from the scenario. The runner reports what did happen, fact by fact. The package does no input or output and does not
// wait: it requests both from the runner.
//
// The order of requests is in course.go, a check of an answer's text in answer.go, one of the descriptors of a process
// in table.go, what a line of the runner's own (R>) must find in acts.go, and a rule about which of two peers is at
// fault in blame.go.
package judge

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// A Process is what a judge has to know about a process from one case to the next.
type Process struct {
	// the descriptors that it should have open, and whether the files that they refer to are known
	held         map[int]bool
	spare        map[int]bool // those of them that belong to a later case: no "use" has named them yet
	standard     map[int]bool // which of 0, 1 and 2 it had open when it answered hello
	leakedPidfds map[int]bool // the sender's pidfds that it has leaked
}

// NewProcess returns a Process that was started with the descriptors of a pool, and has these of 0, 1 and 2 open.
func NewProcess(pool []int, standard ...int) *Process {
	p := &Process{map[int]bool{}, map[int]bool{}, map[int]bool{}, map[int]bool{}}
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
	Case      scenario.Case
	Processes map[scenario.Role]*Process
	Given     map[scenario.Role][]fact.Descriptor // what each process was started with for this case, its socket first
	Prefix    string                              // of the names of the case's abstract sockets
	Folder    string                              // for the files that the processes of the runner name, or ""
	Timeout   time.Duration                       // how long a garbage collector may take
	Record    *Record                             // to which the judge adds each fact, or nil
}

// A Judge judges one case.
type Judge struct {
	*ledger
	todo    []func() Request // what is left of the case; one that returns nil has nothing to request
	request Request          // that the runner carries out
	then                     // what follows
}

// A ledger contains what is known in a case, and what was found.
type ledger struct {
	Setup
	sides map[scenario.Role]*side
	names map[string]fact.File // the files of the case

	altered bool // a process of the runner was sent a call that changes the states of files
	overlap bool // both sides have had something to do since the states of the files were judged
	spent   bool // a process can run no more cases
	leaked  bool // a leak of a file of the case has been found

	states    []fact.State       // changes that have not been judged yet
	changedBy map[string]suspect // who changed a file without a command to do so, by its name
	found     Found              // since the last request
}

// Found is what a judge has found since its last request.
type Found struct {
	Findings       []scenario.Finding
	Made           []NewFile        // by a process of the runner
	CloexecChecked []string         // the peers whose close-on-exec flags were checked
	Verdict        scenario.Verdict // NotRun or Unsupported, if the case says nothing about the peers, or ""
	Why            string           // the reason
}

// add adds what was found later.
func (f *Found) add(later Found) {
	f.Findings = append(f.Findings, later.Findings...)
	f.Made = append(f.Made, later.Made...)
	f.CloexecChecked = append(f.CloexecChecked, later.CloexecChecked...)
	if later.Verdict != "" {
		f.Verdict, f.Why = later.Verdict, later.Why
	}
}

// A NewFile is a file that a process has made, and its descriptor.
type NewFile struct {
	Owner scenario.Role // of the process
	Name  string
	FD    int
}

// A side is one of the two processes, and its role in the case.
type side struct {
	*Process
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

	mayHaveSent bool          // it was sent a command that can pass a file
	order       string        // the order in which it gives answers that can be swapped, once one of them shows it
	refused     bool          // its library has rejected an operation and may no longer use the connection
	failed      bool          // a call has failed, and its library may close the socket at any time
	killed      bool          // the runner has killed it
	ended       bool          // it has answered the runner's "end"
	leaks       map[int]bool  // the descriptors that were already reported as leaks
	patience    time.Duration // until when a garbage collector may close what is leaked, or 0
}

var roles = []scenario.Role{scenario.RoleA, scenario.RoleB}

// New returns the judge of a case.
func New(s Setup) *Judge {
	if s.Record != nil {
		s.Record.Setup = s.clone()
	}
	l := &ledger{Setup: s, sides: map[scenario.Role]*side{}, names: map[string]fact.File{}, changedBy: map[string]suspect{}}
	for _, role := range roles {
		sd := &side{
			Process:  s.Processes[role],
			setup:    &l.Setup,
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
			l.names[d.Files[0].Name] = d.Files[0].File
			delete(sd.spare, d.FD)
		}
		l.sides[role] = sd
	}
	l.sides[scenario.RoleA].other, l.sides[scenario.RoleB].other = l.sides[scenario.RoleB], l.sides[scenario.RoleA]
	return &Judge{ledger: l}
}

// Sent takes note that a process was sent a command.
func (j *Judge) Sent(f fact.Sent) (Found, Request) {
	j.Record.add(j.request, f)
	return j.goOn(nil)
}

// Answered judges an answer.
func (j *Judge) Answered(f fact.Answer) (Found, Request) {
	j.Record.add(j.request, f)
	return j.goOn(j.answered(f))
}

// Missing judges a process that gave no answer.
func (j *Judge) Missing(f fact.Missing) (Found, Request) {
	j.Record.add(j.request, f)
	return j.goOn(j.missing(f))
}

// Seen judges what has changed, and with it the answer that the process gave before.
func (j *Judge) Seen(f fact.Observation) (Found, Request) {
	j.Record.add(j.request, f)
	j.learn(f)
	return j.goOn(j.seen(f))
}

// Acted judges what the runner has found.
func (j *Judge) Acted(f fact.Acted) (Found, Request) {
	j.Record.add(j.request, f)
	return j.goOn(j.acted(f))
}

// Peeked reports whether the answer that the other process of an Await request owes ends the case, because it is not
// correct or because the library may close its socket. The runner has not taken the answer yet.
func (j *Judge) Peeked(f fact.Answer) bool {
	return heard{side: j.sides[f.Side], step: j.request.(Await).Other, Answer: f}.endsCase()
}

// find adds a finding about the peer on a side.
func (l *ledger) find(check scenario.Check, sd *side, line int, format string, args ...any) *scenario.Finding {
	f := scenario.Finding{Check: check, Peer: sd.peer.Name, Line: line, Text: fmt.Sprintf(format, args...)}
	l.found.Findings = append(l.found.Findings, f)
	return &l.found.Findings[len(l.found.Findings)-1]
}

// showsNothing ends the case, which says nothing about the peers.
func (l *ledger) showsNothing(verdict scenario.Verdict, format string, args ...any) Request {
	l.found.Verdict, l.found.Why = verdict, fmt.Sprintf(format, args...)
	return caseOver
}

func (l *ledger) notRun(format string, args ...any) Request {
	return l.showsNothing(scenario.NotRun, format, args...)
}

func (l *ledger) unsupported(sd *side) Request {
	return l.showsNothing(scenario.Unsupported, "%s: answered unsupported", sd.peer.Name)
}

// expected returns the step after this line that expects the answer to the side's pending command. ok is false if no
// step does.
func (sd *side) expected(line int) (st scenario.Step, ok bool) {
	steps := sd.setup.Case.Scenario.Steps
	i := slices.IndexFunc(steps, func(st scenario.Step) bool {
		return st.Role == sd.role && st.Kind == scenario.StepAnswer && st.Line > line
	})
	if !sd.pending || i < 0 {
		return st, false
	}
	return steps[i], true
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
