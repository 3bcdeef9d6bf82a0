// Package judge decides what is wrong in a case. It knows what should have happened, from the scenario, and is told what
// did happen, fact by fact. It does no input or output and does not wait: if it has to know more, it returns a request.
//
// A check of an answer's text is in answer.go, one of the descriptors of a process in table.go, what a line of the
// runner's own (R>) must find in acts.go, and a rule about which of two peers is at fault in blame.go.
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

// Do is what the runner has to do next.
type Do struct {
	What    What
	Role    scenario.Role    // of the process that Ask, Await, LookAgain and EndPeer are about
	Step    scenario.Step    // the command that Ask sends
	Verdict scenario.Verdict // NotRun or Unsupported, if the case says nothing about the peers, or ""
	Why     string           // the reason
}

// What is a request to the runner.
type What byte

const (
	GoOn       What = iota // with the next line
	Ask                    // send the process this command; the next fact is its answer, or Unasked
	Await                  // wait until the process answers that its call has failed, or sleeps; the next fact is its answer, or Unasked
	LookAgain              // look at the descriptors of the process again in a moment; the next fact is Looked
	EndPeer                // end the process that does not answer; the next fact says how it ended
	EndCase                // the case is over, and both processes may go on
	EndSession             // the case is over, and one of the processes cannot go on
)

// A Process is what a judge has to know about a process from one case to the next.
type Process struct {
	held         map[int]bool // the descriptors that it should have open, and whether the files that they refer to are known
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
	Timeout   time.Duration                       // how long a garbage collector may take
}

// A Judge judges one case.
type Judge struct {
	Setup
	sides map[scenario.Role]*side
	names map[string]fact.File // the files of the case

	altered bool // a process of the runner was sent a call that changes the states of files
	overlap bool // both sides have had something to do since the states of the files were judged
	decided bool // the transcript has ended
	spent   bool // a process can run no more cases
	leaked  bool // a leak of a file of the case has been found

	states    []fact.State       // changes that have not been judged yet
	changedBy map[string]suspect // who changed a file without a command to do so, by its name
	suspended *suspended
	found     []scenario.Finding // in the current fact
	checked   []string           // the peers whose close-on-exec flags were checked
}

// A suspended fact is judged once the next fact shows what the other side does.
type suspended struct {
	fact.Fact
	request What // Ask or Await
}

// A side is one of the two processes, and its role in the case.
type side struct {
	*Process
	role     scenario.Role
	peer     *scenario.Peer
	byRunner bool // the scenario gives the runner this role, so it may be sent any call
	other    *side
	socket   int
	given    []int
	received map[string]int          // the descriptors that it reported, by the names of their files and as numerals
	open     map[int]fact.Descriptor // what is open, when the runner last looked

	command contract.Line // the last command of the transcript that it was sent
	text    string        // the same, as it was sent
	own     string        // the last command of the runner's own
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
	j := &Judge{Setup: s, sides: map[scenario.Role]*side{}, names: map[string]fact.File{}, changedBy: map[string]suspect{}}
	for _, role := range roles {
		sd := &side{
			Process:  s.Processes[role],
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
			sd.given = append(sd.given, d.FD)
			sd.open[d.FD] = d
			j.names[d.Files[0].Name] = d.Files[0].File
			delete(sd.spare, d.FD)
		}
		j.sides[role] = sd
	}
	j.sides[scenario.RoleA].other, j.sides[scenario.RoleB].other = j.sides[scenario.RoleB], j.sides[scenario.RoleA]
	return j
}

// Next judges a fact. It returns what is wrong, and what the runner has to do next.
func (j *Judge) Next(f fact.Fact) ([]scenario.Finding, Do) {
	j.found = nil
	j.learn(f)
	do := j.judge(f)
	return j.found, do
}

func (j *Judge) judge(f fact.Fact) Do {
	sd := j.sides[f.Side]
	switch f.Kind {
	case fact.Sent:
		return j.sent(sd, f)
	case fact.Acted:
		return j.acted(f)
	case fact.Looked:
		j.decided = true
		return j.inspect(sd, f, false)
	case fact.Aside:
		return j.aside(sd, f)
	}
	if before := j.suspended; before != nil {
		j.suspended = nil
		if before.request == Ask {
			return j.probed(before.Fact, f)
		}
		return j.awaited(before.Fact, f)
	}
	switch {
	case f.Kind == fact.Answered && f.Step.Line == 0:
		return j.answeredOwn(sd, f)
	case f.Kind == fact.Answered:
		if do, wait := j.mayBeExcused(sd, f); wait {
			return do
		}
		return j.answered(sd, f)
	case f.Kind == fact.Silent && f.Why == "":
		return j.silent(sd, f)
	}
	return j.noAnswer(sd, f)
}

// find adds a finding about the peer on a side.
func (j *Judge) find(check scenario.Check, sd *side, line int, format string, args ...any) {
	j.found = append(j.found, scenario.Finding{Check: check, Peer: sd.peer.Name, Line: line, Text: fmt.Sprintf(format, args...)})
}

func notRun(format string, args ...any) Do {
	return Do{What: EndCase, Verdict: scenario.NotRun, Why: fmt.Sprintf(format, args...)}
}

func unsupported(sd *side) Do {
	return Do{What: EndCase, Verdict: scenario.Unsupported, Why: sd.peer.Name + ": answered unsupported"}
}

// cannotLook ends a case in which the runner may not see which descriptors a peer has open.
func cannotLook(sd *side, why string) Do {
	return notRun("cannot see which descriptors %s has open: %s", sd.peer.Name, why)
}

// sent takes note of a command.
func (j *Judge) sent(sd *side, f fact.Fact) Do {
	line, _ := contract.ParseLine(f.Said) // the runner has made it
	switch line.Verb {
	case "setuid":
		j.spent = true
	case "end":
		for _, fd := range sd.given {
			delete(sd.held, fd)
		}
		for _, fd := range sd.received {
			delete(sd.held, fd)
		}
	case "close":
		for _, item := range line.List("fds") {
			fd, _ := strconv.Atoi(item)
			delete(sd.held, fd)
		}
	}
	if f.Step.Line == 0 {
		sd.own = f.Said
		return Do{}
	}
	if line.Verb != "recv" && line.Verb != "close" {
		sd.mayHaveSent = true
	}
	sd.command, sd.text, sd.asked, sd.pending = line, f.Said, f.Step.Line, true
	j.overlap = j.overlap || sd.other.pending
	j.altered = j.altered || slices.Contains(altering, line.Verb)
	return Do{}
}

// answeredOwn judges the answer to a command of the contract to which every peer answers ok.
func (j *Judge) answeredOwn(sd *side, f fact.Fact) Do {
	switch {
	case f.Said != "ok":
		j.find(scenario.CheckContract, sd, 0, "answered %s to %q", contract.Quote(f.Said), sd.own)
		return Do{What: EndSession}
	case sd.own == "end":
		sd.ended = true
		return j.inspect(sd, f, true)
	}
	j.judgeStates(sd, 0)
	return Do{}
}

// silent decides what to do about a process that does not answer.
func (j *Judge) silent(sd *side, f fact.Fact) Do {
	if do, ask := j.probe(sd.other, f.Step.Line); ask {
		j.suspended = &suspended{f, Ask}
		return do
	}
	return Do{What: EndPeer, Role: sd.role}
}

// noAnswer judges a process that gave no answer. The session ends, and there is a finding unless the runner itself is the
// reason.
func (j *Judge) noAnswer(sd *side, f fact.Fact) Do {
	do := Do{What: EndSession}
	switch {
	case f.Kind == fact.Unsent:
		do.Verdict = scenario.NotRun
		do.Why = fmt.Sprintf("line %d: the command to %s is %s with its descriptors filled in", f.Step.Line, sd.peer.Name, f.Why)
	case f.Kind == fact.Broken && sd.byRunner:
		do.Verdict, do.Why = scenario.NotRun, fmt.Sprintf("line %d: the answer of %s is %.80s", f.Step.Line, sd.peer.Name, f.Why)
	case f.Kind == fact.Broken:
		j.find(scenario.CheckContract, sd, f.Step.Line, "%s", f.Why)
	case f.Signal != "":
		do.Verdict, do.Why = scenario.NotRun, fmt.Sprintf("%s: %s", sd.peer.Name, f.Signal)
	case f.Kind == fact.Silent:
		j.find(scenario.CheckHang, sd, f.Step.Line, "%s", f.Why)
	default:
		j.find(scenario.CheckCrash, sd, f.Step.Line, "%s", f.Why)
	}
	return do
}

// probe returns a request that shows whether the library of a side no longer uses the connection because it has rejected
// an operation: the next send or recv of the side after this line of the transcript. If the peer answers unsupported, the
// library no longer uses the connection, and the other side is not at fault if it finds the connection closed or does not
// answer.
func (j *Judge) probe(sd *side, line int) (do Do, ask bool) {
	i := slices.IndexFunc(j.Case.Scenario.Steps, func(st scenario.Step) bool {
		return st.Role == sd.role && st.Line > line && (st.Command.Verb == "send" || st.Command.Verb == "recv")
	})
	if i < 0 || sd.pending || !sd.refused {
		return do, false
	}
	return Do{What: Ask, Role: sd.role, Step: j.Case.Scenario.Steps[i]}, true
}

// probed judges the fact that was suspended for a probe.
func (j *Judge) probed(before, f fact.Fact) Do {
	sd := j.sides[before.Side]
	switch {
	case f.Kind == fact.Answered && f.Said == "unsupported":
		return unsupported(sd.other)
	case f.Kind != fact.Unasked:
		sd.other.pending = true // which ends the session: the descriptors that it may have received are not tracked
	}
	if before.Kind == fact.Silent {
		return Do{What: EndPeer, Role: sd.role}
	}
	return j.conclude(sd, before, j.read(sd, before))
}

// Expected returns the step after this line that expects the answer to the side's pending command. ok is false if no step does.
func (j *Judge) Expected(role scenario.Role, line int) (st scenario.Step, ok bool) {
	i := slices.IndexFunc(j.Case.Scenario.Steps, func(st scenario.Step) bool {
		return st.Role == role && st.Kind == scenario.StepAnswer && st.Line > line
	})
	if !j.sides[role].pending || i < 0 {
		return st, false
	}
	return j.Case.Scenario.Steps[i], true
}

// FD returns the side's descriptor for the file with the given name.
func (j *Judge) FD(role scenario.Role, name string) (int, error) {
	sd := j.sides[role]
	if fd, err := strconv.ParseInt(name, 0, 64); err == nil {
		return int(fd), nil
	}
	if fd, ok := sd.received[name]; ok {
		return fd, nil
	}
	for _, d := range j.Given[role] {
		if d.Files[0].Name == name {
			return d.FD, nil
		}
	}
	return 0, fmt.Errorf("%s has no %q", role, name)
}

// Pending reports whether the side has not yet answered its command.
func (j *Judge) Pending(role scenario.Role) bool { return j.sides[role].pending }

// Failed reports whether a call of the side has failed and its library may therefore close its socket.
func (j *Judge) Failed(role scenario.Role) bool { return j.sides[role].failed }

// Killed reports whether the runner has killed the process of the side.
func (j *Judge) Killed(role scenario.Role) bool { return j.sides[role].killed }

// Spent reports whether a process can run no more cases.
func (j *Judge) Spent() bool { return j.spent }

// Leaked reports whether a leak of a file of the case has been found. It can keep other files open.
func (j *Judge) Leaked() bool { return j.leaked }

// CloexecChecked returns the names of the peers whose close-on-exec flags were checked.
func (j *Judge) CloexecChecked() []string { return j.checked }

// isAwaited reports whether any side has not yet answered its command.
func (j *Judge) isAwaited() bool {
	return j.Pending(scenario.RoleA) || j.Pending(scenario.RoleB)
}
