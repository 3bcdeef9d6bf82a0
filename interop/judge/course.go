package judge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/scenario"
)

// This file runs a case from its beginning to its end. Each request is answered by a fact, which leads to
// the next request.

// A Request is what the runner has to do next: one of the types that embed At.
type Request interface{ at() At }

// At is what a request is about.
type At struct {
	Role scenario.Role // of the process
	Step scenario.Step // the line of the transcript, or the zero Step
}

func (a At) at() At { return a }

type (
	// Send sends the process a command. The runner reports Sent, Missing or Acted.
	Send struct {
		At
		Text string // the names of processes are not filled in
	}
	// Ask sends the process a command that is not its turn in the transcript, and waits for the answer.
	// The runner reports Answered or Missing.
	Ask struct {
		At
		Text string
	}
	// Await waits for the answer that the step expects, or briefly for the zero Step, because the case is
	// over. The runner reports Answered or Missing. If Other is not the zero Step, the other process owes the
	// answer to that step. If Peeked says that it ends the case, the runner waits for the first process
	// only until it sleeps, and then takes the other answer.
	Await struct {
		At
		Other scenario.Step
	}
	// AwaitFailure waits until the process answers that its call has failed, or sleeps. The runner reports
	// Answered or, if the call has not failed, Missing.
	AwaitFailure struct{ At }
	// Look looks at the descriptors of the process. The runner reports Seen.
	Look struct {
		At
		First  bool  // the case begins: what changes is what the process was started with
		Again  bool  // in a moment
		All    bool  // at those for later cases too
		States bool  // at the states of the files too
		Named  []int // closer at these
		Fresh  []int // those of Named that are compared with what they are now from then on
	}
	// Act carries out a line of the runner's own. The runner reports Acted.
	Act struct {
		At
		FD int // the descriptor that pos and flags name
	}
	// Release undoes what the scenario has changed from outside: the case is over. The runner reports Acted.
	Release struct {
		At
		Sockets bool // also close the runner's copies, so that a side that waits sees the end of the connection
	}
	// Watch looks for files that are still open somewhere after the end of the case. The runner reports Acted.
	Watch struct {
		At
		Failed []scenario.Role // the sides that may have left their sockets open, because a call has failed
	}
	// End is the last request. The runner reports nothing.
	End struct {
		At
		Session bool // one of the processes cannot go on
	}

	over struct{}
)

func (over) at() At { return At{} }

var (
	caseOver    Request = over{} // the rest of the transcript is left out
	sessionOver Request = End{Session: true}
)

func (sd *side) at() At { return At{Role: sd.role} }

// then says which request follows which fact.
type then struct {
	answered func(fact.Answer) Request
	missing  func(fact.Missing) Request
	seen     func(fact.Observation) Request
}

// heard is an answer of a side to a step, and what has changed with it.
type heard struct {
	*side
	step scenario.Step
	fact.Answer
	fact.Observation
}

// Begin begins the case. It returns the first request.
func (j *Judge) Begin() (Found, Request) {
	for _, role := range roles {
		j.todo = append(j.todo, func() Request { return j.use(j.sides[role]) })
	}
	for _, role := range roles {
		if sd := j.sides[role]; sd.byRunner && j.Folder != "" {
			j.todo = append(j.todo, func() Request { return j.enter(sd) })
		}
	}
	for _, st := range j.Case.Scenario.Steps {
		j.todo = append(j.todo, func() Request { return j.line(st) })
	}
	j.todo = append(j.todo, j.end)
	return j.goOn(nil)
}

// goOn returns a request and what was found before it. Without a request, it goes on with the case.
func (j *Judge) goOn(next Request) (found Found, do Request) {
	for next == nil || next == caseOver {
		if next == caseOver {
			j.todo = j.todo[len(j.todo)-1:]
		}
		first := j.todo[0]
		j.todo = j.todo[1:]
		next = first()
	}
	found, j.found, j.request = j.found, Found{}, next
	if j.Record != nil {
		j.Record.Found.add(found)
	}
	return found, next
}

// use gives a peer the descriptors of the case.
func (j *Judge) use(sd *side) Request {
	var fds []string
	for _, d := range j.Given[sd.role] {
		fds = append(fds, strconv.Itoa(d.FD))
	}
	return j.ask(sd, fmt.Sprintf("use sock=%s fds=%s", fds[0], contract.List(fds[1:])), func() Request {
		return j.look(Look{At: sd.at(), First: true, States: true}, func(fact.Observation) Request {
			j.judgeStates(sd, 0)
			return nil
		})
	})
}

// enter makes the folder of the case the working directory of a process of the runner. If the process
// cannot enter it, the kernel is not at fault.
func (j *Judge) enter(sd *side) Request {
	command := "chdir path=" + j.Folder
	do := j.ask(sd, command, func() Request { return nil })
	j.answered = func(f fact.Answer) Request {
		if f.Said != "ok" {
			return j.notRun("the runner's side cannot enter the folder of the case: it answered %s to %q",
				contract.Quote(f.Said), command)
		}
		return nil
	}
	return do
}

// ask sends a side a command of the contract to which every peer answers ok.
func (j *Judge) ask(sd *side, command string, next func() Request) Request {
	j.answered = func(f fact.Answer) Request {
		if f.Said != "ok" {
			j.find(scenario.CheckContract, sd, 0, "answered %s to %q", contract.Quote(f.Said), command)
			return sessionOver
		}
		return next()
	}
	j.missing = func(f fact.Missing) Request { return j.noAnswer(f, 0) }
	return Ask{sd.at(), command}
}

// line returns the request for a line of the transcript.
func (j *Judge) line(st scenario.Step) Request {
	sd := j.sides[st.Role]
	switch {
	case st.Role == scenario.RoleR:
		return j.act(st)
	case st.Kind == scenario.StepCommand:
		return j.send(sd, st)
	}
	do := Await{At: At{sd.role, st}}
	do.Other, _ = sd.other.expected(st.Line)
	return j.await(do, j.taken, func(f fact.Missing, line int) Request {
		lost := func() Request { return j.noAnswer(f, line) }
		if f.Kind != fact.Silent {
			return lost()
		}
		return j.probe(j.sides[f.Side].other, line, lost)
	})
}

// send sends a side a command of the transcript.
func (j *Judge) send(sd *side, st scenario.Step) Request {
	text, err := sd.fillIn(st)
	if err != nil {
		return j.notRun("line %d: %v", st.Line, err)
	}
	line, _ := contract.ParseLine(text) // the judge has made it
	switch line.Verb {
	case "setuid":
		j.spent = true
	case "end":
		sd.release()
	case "close":
		for _, item := range line.List("fds") {
			fd, _ := strconv.Atoi(item)
			delete(sd.held, fd)
		}
	}
	if line.Verb != "recv" && line.Verb != "close" {
		sd.mayHaveSent = true
	}
	sd.command, sd.text, sd.asked, sd.pending = line, text, st.Line, true
	j.overlap = j.overlap || sd.other.pending
	j.altered = j.altered || slices.Contains(altering, line.Verb)
	j.missing = func(f fact.Missing) Request { return j.noAnswer(f, st.Line) }
	return Send{At{sd.role, st}, text}
}

// fillIn returns the text of a step as it is sent to the side: each file name is replaced with the side's
// descriptor for the file. If the runner itself takes this role, the names of abstract sockets are the
// actual ones.
func (sd *side) fillIn(st scenario.Step) (string, error) {
	text, err := scenario.MapNames(st.Text, sd.descriptor)
	if sd.byRunner {
		text = strings.ReplaceAll(text, abstract, abstract+sd.setup.Prefix)
	}
	return text, err
}

// await waits for an answer, and then looks at the descriptors that it names.
func (j *Judge) await(do Request, next func(heard) Request, missing func(fact.Missing, int) Request) Request {
	step := func(role scenario.Role) scenario.Step {
		if wait, ok := do.(Await); ok && role != wait.Role {
			return wait.Other
		}
		return do.at().Step
	}
	j.missing = func(f fact.Missing) Request { return missing(f, step(f.Side).Line) }
	j.answered = func(f fact.Answer) Request {
		h := heard{side: j.sides[f.Side], step: step(f.Side), Answer: f}
		look := Look{At: At{f.Side, h.step}, States: !h.other.pending}
		_, look.Named, _ = contract.ParseAnswer(kernel.Vocabulary, h.command.Verb, f.Said)
		for _, fd := range look.Named {
			if _, held := h.held[fd]; !held {
				look.Fresh = append(look.Fresh, fd)
			}
		}
		return j.look(look, func(s fact.Observation) Request {
			h.Observation = s
			return next(h)
		})
	}
	return do
}

func (j *Judge) look(do Look, next func(fact.Observation) Request) Request {
	j.seen = next
	return do
}

// noAnswer ends the session. There is a finding unless the runner itself is the reason.
func (j *Judge) noAnswer(f fact.Missing, line int) Request {
	sd := j.sides[f.Side]
	switch {
	case f.Kind == fact.Unsent:
		j.notRun("line %d: the command to %s is %s with its descriptors filled in", line, sd.peer.Name, f.Why)
	case f.Kind == fact.Broken && sd.byRunner:
		j.notRun("line %d: the answer of %s is %.80s", line, sd.peer.Name, f.Why)
	case f.Kind == fact.Broken:
		j.find(scenario.CheckContract, sd, line, "%s", f.Why)
	case f.Signal != "":
		j.notRun("%s: %s", sd.peer.Name, f.Signal)
	case f.Kind == fact.Silent:
		j.find(scenario.CheckHang, sd, line, "%s", f.Why)
	default:
		j.find(scenario.CheckCrash, sd, line, "%s", f.Why)
	}
	return sessionOver
}

// probe finds out whether the library of a side no longer uses the connection because it has rejected an
// operation: it asks for the next send or recv of the side after this line of the transcript. If the peer
// answers unsupported, the library no longer uses the connection, and the other side is not at fault if it
// finds the connection closed or does not answer.
func (j *Judge) probe(sd *side, line int, next func() Request) Request {
	steps := j.Case.Scenario.Steps
	i := slices.IndexFunc(steps, func(st scenario.Step) bool {
		return st.Role == sd.role && st.Line > line && (st.Command.Verb == "send" || st.Command.Verb == "recv")
	})
	if i < 0 || sd.pending || !sd.refused {
		return next()
	}
	text, err := sd.fillIn(steps[i])
	if err != nil {
		return next() // it names a file that the peer has not received
	}
	j.answered = func(f fact.Answer) Request {
		if f.Said == "unsupported" {
			return j.unsupported(sd)
		}
		sd.pending = true // which ends the session: the descriptors that it may have received are not tracked
		return next()
	}
	j.missing = func(fact.Missing) Request {
		sd.pending = true
		return next()
	}
	return Ask{At{sd.role, steps[i]}, text}
}

// end ends the case at both peers. A side whose command is still pending comes last.
func (j *Judge) end() Request {
	a, b := j.sides[scenario.RoleA], j.sides[scenario.RoleB]
	pending := a.pending || b.pending
	if pending && !a.failed && !b.failed {
		return sessionOver // the answer would be taken for the one to "end"
	}
	order := []*side{a, b}
	if a.pending {
		slices.Reverse(order)
	}
	for _, sd := range order {
		if sd.pending {
			j.todo = append(j.todo, func() Request { return j.settle(sd) })
		}
		if !sd.killed {
			j.todo = append(j.todo, func() Request { return j.lookLast(sd) }, func() Request { return j.endSide(sd) })
		}
	}
	j.todo = append(j.todo, j.watch, func() Request { return End{Session: j.spent} })
	return Release{Sockets: pending}
}

// settle waits briefly for the answer of a side whose command was pending when a failure at the other side
// ended the case. The answer is not judged. A side that does not answer waits for a message that will not
// arrive.
func (j *Judge) settle(sd *side) Request {
	return j.await(Await{At: sd.at()}, j.aside, func(f fact.Missing, line int) Request {
		if f.Kind == fact.Silent {
			return sessionOver
		}
		return j.noAnswer(f, line)
	})
}

// lookLast looks at all descriptors of a side before its end and, if it has a garbage collector, until that
// has closed them.
func (j *Judge) lookLast(sd *side) Request {
	return j.look(Look{At: sd.at(), All: true}, func(f fact.Observation) Request { return j.last(sd, f, false) })
}

// last judges what a side has open when the transcript has ended.
func (j *Judge) last(sd *side, f fact.Observation, states bool) Request {
	j.seen = func(f fact.Observation) Request { return j.last(sd, f, false) }
	return j.inspect(sd, f, 0, states)
}

// release takes note of a command to close all descriptors of the case.
func (sd *side) release() {
	for _, d := range sd.setup.Given[sd.role] {
		delete(sd.held, d.FD)
	}
	for _, fd := range sd.received {
		delete(sd.held, fd)
	}
}

// endSide makes a peer close all descriptors of the case.
func (j *Judge) endSide(sd *side) Request {
	sd.release()
	return j.ask(sd, "end", func() Request {
		sd.ended = true
		look := Look{At: sd.at(), All: true, States: !sd.other.pending}
		return j.look(look, func(f fact.Observation) Request { return j.last(sd, f, true) })
	})
}

// watch looks for files that are still open somewhere, unless a leaked socket may keep them open.
func (j *Judge) watch() Request {
	if j.leaked {
		return nil
	}
	do := Watch{}
	for _, role := range roles {
		if j.sides[role].failed {
			do.Failed = append(do.Failed, role)
		}
	}
	return do
}
