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

// This file runs a case from its beginning to its end.

// A Request is what the runner has to do next: one of the types that embed At.
type Request interface{ at() At }

// At is what a request is about.
type At struct {
	Role scenario.Role // of the process
	Step scenario.Step // the line of the transcript, or the zero Step
}

func (a At) at() At { return a }

type (
	// Send sends the process a command. The fact is Sent or Missing, or Acted if the runner cannot fill in a name.
	Send struct {
		At
		Text string // the names of processes are not filled in
	}
	// Ask sends the process a command out of turn, and waits for the answer. The fact is Answer or
	// Missing.
	Ask struct {
		At
		Text string
	}
	// Await waits for the answer that the step expects, or briefly for the zero Step, because the case is over. If
	// EndsCase is not nil, the other process owes the answer to the step Other. Once EndsCase reports that this answer
	// ends the case, because it is not correct or because the library may close its socket, the runner waits for the
	// first process only until it sleeps, and then takes the other answer. The fact is Answer or Missing.
	Await struct {
		At
		Other    scenario.Step
		EndsCase func(fact.Answer) bool
	}
	// AwaitFailure waits until the process answers that its call has failed, or sleeps. The fact is Answer or, if the
	// call has not failed, Missing.
	AwaitFailure struct{ At }
	// Look looks at the descriptors of the process. The fact is Observation.
	Look struct {
		At
		First  bool  // the case begins: what changes is what the process was started with
		Again  bool  // in a moment
		All    bool  // at those for later cases too
		States bool  // at the states of the files too
		Named  []int // closer at these
		Fresh  []int // those of Named that are compared with what they are now from then on
	}
	// Act carries out one of the runner's own lines. The fact is Acted.
	Act struct {
		At
		FD int // the descriptor that pos and flags name
	}
	// Release undoes what the scenario has changed from outside: the case is over. The fact is Acted.
	Release struct {
		At
		Sockets bool // also close the runner's copies, so that a side that waits sees the end of the connection
	}
	// Watch looks for files that are still open somewhere after the end of the case. The fact is Acted.
	Watch struct {
		At
		Failed []scenario.Role // the sides that may have left their sockets open, because a call has failed
	}
)

func (sd *side) at() At { return At{Role: sd.role} }

// transcript gives the peers the descriptors of the case, and runs its transcript. The error is what has ended it
// early.
func (j *judge) transcript() (err error) {
	defer catch(&err)
	for _, role := range roles {
		j.use(j.sides[role])
	}
	for _, role := range roles {
		j.enter(j.sides[role])
	}
	for _, st := range j.Case.Scenario.Steps {
		sd := j.sides[st.Role]
		switch {
		case st.Role == scenario.RoleR:
			j.act(st)
		case st.Kind == scenario.StepCommand:
			j.send(sd, st)
		default:
			j.expect(sd, st)
		}
	}
	return nil
}

// finish ends a case whose transcript has ended with this error.
func (j *judge) finish(err error) (Found, error) {
	if err == nil || err == errCaseOver {
		err = j.end()
	}
	if err == errCaseOver {
		err = nil
	}
	if err == nil && j.spent {
		err = ErrPairOver
	}
	if j.Log != nil {
		j.Log.Found = j.found
	}
	return j.found, err
}

// use gives a peer the descriptors of the case.
func (j *judge) use(sd *side) {
	var fds []string
	for _, d := range j.Given[sd.role] {
		fds = append(fds, strconv.Itoa(d.FD))
	}
	j.tell(sd, fmt.Sprintf("use sock=%s fds=%s", fds[0], contract.List(fds[1:])))
	j.look(Look{At: sd.at(), First: true, States: true})
	j.judgeStates(sd, 0)
}

// enter makes the folder of the case the working directory of a process of the runner. If the process
// cannot enter it, the kernel is not at fault.
func (j *judge) enter(sd *side) {
	if !sd.byRunner || j.Folder == "" {
		return
	}
	command := "chdir path=" + j.Folder
	if said := j.ask(sd, command); said != "ok" {
		j.endNotRun("the runner's side cannot enter the folder of the case: it answered %s to %q", contract.Quote(said), command)
	}
}

// tell sends a side a command of the contract to which every peer answers ok.
func (j *judge) tell(sd *side, command string) {
	if said := j.ask(sd, command); said != "ok" {
		j.find(scenario.CheckContract, sd, 0, "answered %s to %q", contract.Quote(said), command)
		endCase(ErrPairOver)
	}
}

// ask returns the answer of a side to a command that is not in the transcript.
func (j *judge) ask(sd *side, command string) string {
	f := j.do(Ask{sd.at(), command})
	if missing, ok := f.(fact.Missing); ok {
		j.endPair(missing, 0)
	}
	return f.(fact.Answer).Said
}

// send sends a side a command of the transcript.
func (j *judge) send(sd *side, st scenario.Step) {
	text, err := sd.fillIn(st)
	if err != nil {
		j.endNotRun("line %d: %v", st.Line, err)
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
	switch f := j.do(Send{At{sd.role, st}, text}).(type) {
	case fact.Missing:
		j.endPair(f, st.Line)
	case fact.Acted:
		j.judgeActed(f, st.Line)
	}
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

// expect waits for the answer that a step of the transcript expects, and judges it.
func (j *judge) expect(sd *side, st scenario.Step) {
	do := Await{At: At{sd.role, st}}
	if do.Other = sd.other.expected(st.Line); do.Other.Line > 0 {
		do.EndsCase = func(f fact.Answer) bool { return evidence{side: sd.other, step: do.Other, answer: f}.endsCase() }
	}
	e := j.await(do)
	if e.missing == nil {
		j.judgeInTurn(e)
		return
	}
	if e.missing.Kind == fact.Silent {
		j.probe(e.side.other, e.step.Line)
	}
	j.endPair(*e.missing, e.step.Line)
}

// await waits for an answer, and then looks at the descriptors that it names.
func (j *judge) await(do Request) (e evidence) {
	switch f := j.do(do).(type) {
	case fact.Missing:
		e.side, e.missing = j.sides[f.Side], &f
	case fact.Answer:
		e.side, e.answer = j.sides[f.Side], f
	}
	e.step = do.at().Step
	if wait, ok := do.(Await); ok && e.side.role != wait.Role {
		e.step = wait.Other
	}
	if e.missing != nil {
		return e
	}
	look := Look{At: At{e.side.role, e.step}, States: !e.side.other.pending}
	_, look.Named, _ = contract.ParseAnswer(kernel.Vocabulary, e.side.command.Verb, e.answer.Said)
	for _, fd := range look.Named {
		if _, held := e.side.held[fd]; !held {
			look.Fresh = append(look.Fresh, fd)
		}
	}
	e.seen = j.look(look)
	return e
}

// failure waits until the pending call of a side fails, after which its library may have closed the connection. ok is
// false if the call does not fail, or if the library does not do that.
func (j *judge) failure(sd *side, line int) (e evidence, ok bool) {
	next := sd.expected(line)
	if next.Line == 0 || !sd.peer.Hello.Closes {
		return e, false
	}
	e = j.await(AwaitFailure{At{sd.role, next}})
	return e, e.missing == nil
}

// look returns what has changed, and notes it.
func (j *judge) look(do Look) fact.Observation {
	f := j.do(do).(fact.Observation)
	for _, d := range f.Descriptors {
		if d.Closed || d.Err != "" {
			delete(j.sides[f.Side].open, d.FD)
		} else {
			j.sides[f.Side].open[d.FD] = d
		}
	}
	j.states = append(j.states, f.States...)
	return f
}

// endPair ends the pair, because a process has not answered. There is a finding unless the runner itself is the reason.
// It does not return.
func (j *judge) endPair(f fact.Missing, line int) {
	sd := j.sides[f.Side]
	switch {
	case f.Kind == fact.Unsent:
		j.showsNothing(scenario.NotRun, "line %d: the command to %s is %s with its descriptors filled in", line, sd.peer.Name, f.Why)
	case f.Kind == fact.Broken && sd.byRunner:
		j.showsNothing(scenario.NotRun, "line %d: the answer of %s is %.80s", line, sd.peer.Name, f.Why)
	case f.Kind == fact.Broken:
		j.find(scenario.CheckContract, sd, line, "%s", f.Why)
	case f.Signal != "":
		j.showsNothing(scenario.NotRun, "%s: %s", sd.peer.Name, f.Signal)
	case f.Kind == fact.Silent && slices.Contains(j.Case.Scenario.Waits, f.Side):
		j.find(scenario.CheckHang, sd, line, "%s; if the library waits in an event loop, the peer has to say polls=yes", f.Why)
	case f.Kind == fact.Silent:
		j.find(scenario.CheckHang, sd, line, "%s", f.Why)
	default:
		j.find(scenario.CheckCrash, sd, line, "%s", f.Why)
	}
	endCase(ErrPairOver)
}

// probe finds out whether the library of a side no longer uses the connection because it has rejected an
// operation: it asks for the next send or recv of the side after this line of the transcript. If the peer
// answers unsupported, the library no longer uses the connection, and the other side is not at fault if it
// finds the connection closed or does not answer.
func (j *judge) probe(sd *side, line int) {
	steps := j.Case.Scenario.Steps
	i := slices.IndexFunc(steps, func(st scenario.Step) bool {
		return st.Role == sd.role && st.Line > line && (st.Command.Verb == "send" || st.Command.Verb == "recv")
	})
	if i < 0 || sd.pending || !sd.refused {
		return
	}
	text, err := sd.fillIn(steps[i])
	if err != nil {
		return // it names a file that the peer has not received
	}
	if f, ok := j.do(Ask{At{sd.role, steps[i]}, text}).(fact.Answer); ok && f.Said == "unsupported" {
		j.endUnsupported(sd)
	}
	sd.pending = true // which ends the pair: the descriptors that it may have received are not tracked
}

// end ends the case at both peers. A side whose command is still pending comes last. The error is what has ended it
// early.
func (j *judge) end() (err error) {
	defer catch(&err)
	a, b := j.sides[scenario.RoleA], j.sides[scenario.RoleB]
	pending := a.pending || b.pending
	if pending && !a.failed && !b.failed {
		return ErrPairOver // the answer would be taken for the one to "end"
	}
	order := []*side{a, b}
	if a.pending {
		slices.Reverse(order)
	}
	j.carryOut(Release{Sockets: pending})
	for _, sd := range order {
		j.endSide(sd)
	}
	j.watch()
	return nil
}

// endSide makes a peer close all descriptors of the case. It looks at all its descriptors before and after.
func (j *judge) endSide(sd *side) {
	if sd.pending {
		j.drain(sd)
	}
	if sd.killed {
		return
	}
	j.lookLast(sd, false)
	sd.release()
	j.tell(sd, "end")
	sd.ended = true
	j.lookLast(sd, !sd.other.pending)
}

// drain waits briefly for the answer of a side whose command was pending when a failure at the other side
// ended the case. The answer is not judged. A side that does not answer waits for a message that will not
// arrive.
func (j *judge) drain(sd *side) {
	e := j.await(Await{At: sd.at()})
	switch {
	case e.missing == nil:
		j.noteUnjudged(e)
	case e.missing.Kind == fact.Silent:
		endCase(ErrPairOver)
	default:
		j.endPair(*e.missing, 0)
	}
}

// lookLast judges all descriptors of a side and, if states is true, the states of the files, when the transcript has
// ended. If the side has a garbage collector, lookLast gives it time to close what is leaked.
func (j *judge) lookLast(sd *side, states bool) {
	seen := j.look(Look{At: sd.at(), All: true, States: states})
	j.judgeHeld(sd, 0)
	if states {
		j.judgeStates(sd, 0)
	}
	deadline := seen.Time + j.Timeout
	for sd.peer.Hello.GC && seen.Time < deadline && !seen.Exited && seen.Unseen == "" && len(sd.allLeaked()) > 0 {
		seen = j.look(Look{At: sd.at(), All: true, Again: true})
		j.judgeHeld(sd, 0)
	}
	j.judgeLeaks(sd, seen, 0)
}

// release notes a command to close all descriptors of the case.
func (sd *side) release() {
	for _, d := range sd.setup.Given[sd.role] {
		delete(sd.held, d.FD)
	}
	for _, fd := range sd.received {
		delete(sd.held, fd)
	}
}

// watch looks for files that are still open somewhere, unless a leaked socket may keep them open.
func (j *judge) watch() {
	if j.leaked {
		return
	}
	do := Watch{}
	for _, role := range roles {
		if j.sides[role].failed {
			do.Failed = append(do.Failed, role)
		}
	}
	j.carryOut(do)
}
