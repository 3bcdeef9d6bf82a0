package interop

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// This file turns answers into findings. Its functions appear in the order in which they are used:
// runSteps waits for an answer, judges the answer by its text alone, and then inspects the process
// that gave it.

// runSteps runs the lines of the transcript. Each line is an action for the runner itself, a command
// for a side, or the answer expected from a side. An error ends the case.
func (cr *caseRun) runSteps() error {
	for _, st := range cr.Scenario.Steps {
		var err error
		switch {
		case st.Role == scenario.RoleR:
			err = cr.act(st)
		case st.Kind == scenario.StepCommand:
			err = cr.say(st)
		default:
			err = cr.takeAnswer(cr.awaitAnswer(st))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeAnswer judges an answer and inspects the process that gave it.
func (cr *caseRun) takeAnswer(a reply) error {
	j := a.judge()
	cr.trackReceived(a, j.fds)
	if j.nothingSent && cr.gaveUp(a.side.other, a.step.Line) {
		return cr.unsupported(a.side.other)
	}
	return cr.conclude(a, j)
}

// say sends the command of a step to its side.
func (cr *caseRun) say(st scenario.Step) error {
	sd := cr.sides[st.Role]
	text, err := cr.fillIn(sd, st)
	if err != nil {
		return cr.notRun("line %d: %v", st.Line, err)
	}
	cr.note(fmt.Sprintf("%s>%s %s", sd.role, scenario.Async(st), text))
	line, _ := contract.ParseLine(text) // st.Text was parsed with the scenario
	switch line.Verb {
	case "setuid":
		cr.spent = true
	case "end":
		sd.untrack()
	case "close":
		for _, item := range line.List("fds") {
			fd, _ := strconv.Atoi(item)
			delete(sd.tracked, fd)
		}
	}
	if err := sd.SendCommand(cr.ctx, text, cr.timeout); err != nil {
		return cr.noAnswer(sd, st.Line, err)
	}
	if line.Verb != "recv" && line.Verb != "close" {
		sd.mayHaveSent = true
	}
	sd.command = command{line, text}
	sd.pending = true
	cr.overlap = cr.overlap || sd.other.pending
	return nil
}

// A reply is a side's answer to its command, or the reason why there is no answer.
type reply struct {
	step      scenario.Step // the line that expects it
	side      *side
	text      string
	err       error             // why there is no text
	wants     []scenario.Answer // the alternatives of the step, with the names of this case filled in
	wantsErr  error             // why there are no wants
	byPartner bool              // the runner gave this answer in a case with a peer
}

// awaitAnswer waits for the answer that a step expects. It returns the other side's answer and the
// step that expects it if that answer ends the case and may be the reason why the first side waits
// in vain, or why its answer is wrong.
func (cr *caseRun) awaitAnswer(st scenario.Step) reply {
	a := reply{step: st, side: cr.sides[st.Role]}
	a.text, a.err = cr.waitForText(a.side, st)
	switch {
	case errors.Is(a.err, process.ErrHang):
		if next, ends := cr.otherEndsCase(a.side, st.Line); ends {
			return cr.readAnswer(a.side.other, next)
		}
	case a.err == nil && a.side.other.Peer.Hello.Closes && !cr.matches(a.side, st, a.text) && isFormed(a.side, a.text):
		if next, closed := cr.otherCloses(a.side, st.Line); closed {
			cr.setAside(a)
			return cr.readAnswer(a.side.other, next)
		}
	}
	return cr.prepare(a)
}

// readAnswer reads the answer that a step expects and that the side has already given.
func (cr *caseRun) readAnswer(sd *side, st scenario.Step) reply {
	a := reply{step: st, side: sd}
	a.text, a.err = sd.ReadAnswer(cr.ctx, cr.timeout)
	return cr.prepare(a)
}

// prepare completes a reply so that it can be judged.
func (cr *caseRun) prepare(a reply) reply {
	if a.err != nil {
		return a
	}
	cr.noteAnswer(a)
	a.text, a.wants, a.wantsErr = cr.forComparison(a.side, a.step, a.text)
	a.byPartner = a.side.isRunner() && cr.A != cr.B
	return a
}

// noteAnswer records that a side has answered its command.
func (cr *caseRun) noteAnswer(a reply) {
	a.side.pending = false
	a.side.noteFailure(a.text)
	cr.note(fmt.Sprintf("%s<%s %s", a.side.role, scenario.Async(a.step), a.text))
}

// setAside takes note of an answer that is not judged, because the case ended before it. It tracks
// the descriptors that the answer names, so that they do not count as leaks.
func (cr *caseRun) setAside(a reply) {
	cr.noteAnswer(a)
	_, fds, _ := contract.ParseAnswer(kernel.Vocabulary, a.side.command.Verb, a.text) // unsupported names none
	cr.trackReceived(a, fds)
}

// expectedHang is how long the runner waits for an answer that it expects not to arrive, from a peer that sleeps.
// shortestWait is the interval at which it checks whether an answer can still arrive.
const (
	expectedHang = 300 * time.Millisecond
	shortestWait = 50 * time.Millisecond
)

// waitForText waits for a line from the side. If this side is expected to hang, or once the other
// side has given an answer that ends the case, waitForText waits only until this side sleeps,
// because nothing will wake it.
func (cr *caseRun) waitForText(sd *side, st scenario.Step) (string, error) {
	wait, ends := cr.timeout, cr.hangs(cr.Case, sd.role)
	if ends {
		wait = expectedHang
	} else if sd.other.pending {
		wait = shortestWait
	}
	for deadline := time.Now().Add(cr.timeout); ; wait = shortestWait {
		text, err := sd.ReadAnswer(cr.ctx, min(wait, cr.timeout))
		if !errors.Is(err, process.ErrHang) || time.Now().After(deadline) {
			return text, err
		}
		if !ends { // before IsIdle: until it answers, the other side can wake this one
			_, ends = cr.otherEndsCase(sd, st.Line)
		}
		if idle, _ := sd.IsIdle(); ends && idle {
			return sd.ReadAnswer(cr.ctx, shortestWait) // it may have answered before it slept
		}
	}
}

// otherEndsCase reports whether the other side has already given an answer that ends the case,
// because it matches none of the alternatives of its step or because the library may close its
// socket. It returns that step.
func (cr *caseRun) otherEndsCase(sd *side, line int) (next scenario.Step, ends bool) {
	other := sd.other
	next, expected := cr.nextAnswer(other, line)
	if !expected || !other.Answered() {
		return next, false
	}
	text, err := other.PeekAnswer(cr.ctx, shortestWait)
	if err != nil {
		return next, !errors.Is(err, process.ErrHang)
	}
	return next, other.Peer.Hello.Closes && isFailure(text) || !cr.matches(other, next, text)
}

// otherCloses reports whether the other side's pending command fails, so that its library may close
// the socket. The library may do so before the peer answers, so otherCloses waits until the peer
// sleeps. It returns the step that expects the answer.
func (cr *caseRun) otherCloses(sd *side, line int) (next scenario.Step, closes bool) {
	other := sd.other
	next, expected := cr.nextAnswer(other, line)
	if !expected || !other.Peer.Hello.Closes {
		return next, false
	}
	for deadline := time.Now().Add(cr.timeout); ; {
		late := time.Now().After(deadline)
		text, err := other.PeekAnswer(cr.ctx, min(shortestWait, cr.timeout))
		if !errors.Is(err, process.ErrHang) {
			return next, err == nil && isFailure(text)
		}
		idle, _ := other.IsIdle()
		if late || idle && !other.Answered() { // it may have answered before it slept
			return next, false
		}
	}
}

// nextAnswer returns the step after this line that expects the answer to the side's pending
// command, if there is one.
func (cr *caseRun) nextAnswer(sd *side, line int) (st scenario.Step, ok bool) {
	i := slices.IndexFunc(cr.Scenario.Steps, func(st scenario.Step) bool {
		return st.Role == sd.role && st.Kind == scenario.StepAnswer && st.Line > line
	})
	if !sd.pending || i < 0 {
		return st, false
	}
	return cr.Scenario.Steps[i], true
}

// matches reports whether an answer matches one of the alternatives of its step. It also returns
// true if the runner cannot compare them.
func (cr *caseRun) matches(sd *side, st scenario.Step, text string) bool {
	text, wants, wantsErr := cr.forComparison(sd, st, text)
	got, _, err := contract.ParseAnswer(kernel.Vocabulary, sd.command.Verb, text)
	if err != nil {
		return false
	}
	return wantsErr != nil || slices.ContainsFunc(wants, func(w scenario.Answer) bool {
		_, why := w.Match(got)
		return why == ""
	})
}

// isFormed reports whether an answer to the side's command has the form that the contract requires.
func isFormed(sd *side, text string) bool {
	_, _, err := contract.ParseAnswer(kernel.Vocabulary, sd.command.Verb, text)
	return err == nil || text == "unsupported"
}

// A judgment says what is wrong with the text of an answer. The text is correct if check, notRun
// and unsupported all have their zero values.
type judgment struct {
	fds         []int          // the descriptors that the answer names, even if it is wrong
	fits        [][]string     // for each alternative that the text matches, the names for fds
	refusal     bool           // the library has rejected an operation and may no longer use the connection
	nothingSent bool           // no answer, or nothing was transferred: the other library may no longer use the connection
	check       scenario.Check // what is wrong
	text        string         // of the finding
	ends        error          // errCaseOver, or errSessionOver if no later answer can be trusted
	unsupported bool
	notRun      string // why the answer says nothing about the peers
}

// judge judges an answer by its text alone. It neither inspects a process nor sends a command.
func (a reply) judge() (j judgment) {
	sd := a.side
	switch {
	case a.err != nil:
		return judgment{nothingSent: errors.Is(a.err, process.ErrHang)}
	case a.text == "unsupported" && sd.hasBasicCommand() && !sd.refused:
		text := fmt.Sprintf("answered unsupported to %q, which its can= offers", sd.command.text)
		return judgment{check: scenario.CheckContract, text: text, ends: errCaseOver}
	case a.text == "unsupported":
		return judgment{unsupported: true}
	}
	got, fds, err := contract.ParseAnswer(kernel.Vocabulary, sd.command.Verb, a.text)
	switch {
	case err != nil:
		return judgment{fds: fds, check: scenario.CheckContract, text: err.Error(), ends: errSessionOver}
	case a.wantsErr != nil:
		return judgment{fds: fds, notRun: a.wantsErr.Error()}
	}
	j.fds = fds
	namesErrno := false
	difference := "answered " + contract.Quote(a.text)
	for _, want := range a.wants {
		names, why := want.Match(got)
		if why == "" {
			why = a.surplus(got)
		}
		if why == "" {
			j.fits = append(j.fits, names)
			namesErrno = namesErrno || len(want.Line.Words) > 0 && want.Line.Words[0] != "lib"
		}
		difference += fmt.Sprintf("\nexpected %s (%s)", want.Text, why)
	}
	isError := got.Verb == "err"
	errno := ""
	if isError && len(got.Words) > 0 {
		errno = contract.ErrnoName(got.Words[0])
	}
	switch {
	case len(j.fits) > 0:
		// A library may also stop using a connection that the kernel has reported as lost.
		lost := slices.Contains([]string{"ECONNRESET", "EPIPE"}, strings.Join(got.Words, " "))
		j.refusal = isError && (!namesErrno || lost)
	case sd.byRunner && slices.Contains([]string{"ENOSPC", "EDQUOT", "EROFS", "ENFILE"}, errno):
		// The file system is full or read-only, or the file table is full. No scenario tests these
		// errors.
		j.notRun = "the runner's side answered " + contract.Quote(a.text)
	default:
		j.check = scenario.CheckAnswer
		j.text = difference
		j.ends = errCaseOver
		j.nothingSent = isError || got.Fields["n"] == "0" && got.Fields["payload"] == "-"
	}
	return j
}

// surplus returns why an answer of the runner is wrong if it reports a truncated message and no
// alternative of the step does. The runner receives with the capacity that the scenario specifies,
// so the peer has sent more than the scenario specifies.
func (a reply) surplus(got contract.Line) string {
	if !a.byPartner {
		return ""
	}
	for _, flag := range got.List("flags") {
		expected := slices.ContainsFunc(a.step.Answers, func(w scenario.Answer) bool {
			return slices.Contains(w.Line.List("flags"), flag)
		})
		if (flag == "ctrunc" || flag == "trunc") && !expected {
			return "more was sent: the kernel reports " + flag
		}
	}
	return ""
}

// trackReceived records the descriptors that an answer names, so that they do not count as leaks.
// It records them even if the answer is wrong in other respects.
func (cr *caseRun) trackReceived(a reply, fds []int) {
	sd := a.side
	wrong := fileFindings{caseRun: cr, side: sd, line: a.step.Line}
	seen := map[int]bool{}
	for _, fd := range fds {
		if sd.tracks(fd) || fd < 0 || sd.standard[fd] || seen[fd] {
			wrong.find("reported that it received %d, which it had already", fd)
			if wrong.count <= maxListed {
				cr.facts.saw(sd, cr.whatIs(sd, fd))
			}
		}
		seen[fd] = true
	}
	wrong.summarize()
	for _, fd := range fds {
		sd.received[strconv.Itoa(fd)] = fd
		id, err := procfs.Identify(sd.Pid, fd)
		if sd.tracks(fd) || err != nil && !witness.MayNotInspect(sd.Pid, err) {
			continue // a descriptor that is not open cannot be closed later
		}
		sd.tracked[fd] = trackedFD{FileID: id, known: err == nil}
		for _, file := range cr.allFiles() {
			if file.Owner == sd.role && file.FD == fd {
				file.Reused = true
			}
		}
	}
}

// gaveUp reports whether the library of a side no longer uses the connection because it has
// rejected an operation. To find out, it sends the peer the next send or recv command after this
// line of the transcript. If the peer answers unsupported, the library no longer uses the
// connection, and the other side is not at fault if it finds the connection closed or does not
// answer.
func (cr *caseRun) gaveUp(sd *side, line int) bool {
	i := slices.IndexFunc(cr.Scenario.Steps, func(st scenario.Step) bool {
		return st.Role == sd.role && st.Line > line && (st.Command.Verb == "send" || st.Command.Verb == "recv")
	})
	if i < 0 || sd.pending || !sd.refused {
		return false
	}
	text, err := cr.fillIn(sd, cr.Scenario.Steps[i])
	if err != nil {
		return false // the command names a file that the peer has not received
	}
	if text, err := cr.ask(sd, text); err == nil && text == "unsupported" {
		return true
	}
	sd.pending = true // which ends the session: the descriptors that it may have received are not tracked
	return false
}

// conclude ends the case if there is no answer or its text is wrong, and otherwise inspects the
// process that gave it. It also ends the case if the library may have closed its socket.
func (cr *caseRun) conclude(a reply, j judgment) error {
	sd, line := a.side, a.step.Line
	switch {
	case a.err != nil:
		return cr.noAnswer(sd, line, a.err)
	case j.unsupported:
		return cr.unsupported(sd)
	case j.notRun != "":
		return cr.notRun("line %d: %s", line, j.notRun)
	case j.check != "":
		cr.sawWrong(sd, j.fds)
		cr.find(j.check, sd, line, "%s", j.text)
		return j.ends
	}
	sd.refused = sd.refused || j.refusal
	if err := cr.inspect(a, j); err != nil || !sd.failed {
		return err
	}
	return errCaseOver
}

// inspect asks the kernel about the process that gave a correct answer.
func (cr *caseRun) inspect(a reply, j judgment) error {
	sd, line := a.side, a.step.Line
	names := j.fits[0]
	if len(j.fits) > 1 {
		i := slices.IndexFunc(j.fits, func(names []string) bool { return cr.holdsAll(sd, names, j.fds) })
		names = j.fits[max(i, 0)]
	}
	if err := cr.checkReceived(a, names, j.fds); err != nil {
		return err
	}
	open := cr.checkHeld(sd, line)
	if cr.awaited() {
		return nil // the other side may have received a file without having reported it yet
	}
	cr.checkStates(sd, line)
	if sd.Peer.Hello.GC {
		return nil // the collector may close it before the end of the case
	}
	return cr.checkLeaks(sd, line, open)
}

// holdsAll reports whether the descriptors refer to the files of these names.
func (cr *caseRun) holdsAll(sd *side, names []string, fds []int) bool {
	for i, name := range names {
		name, _, _ = strings.Cut(name, ":")
		if name == scenario.NewName {
			continue
		}
		file := cr.file(name)
		if file == nil {
			return false
		}
		if holds, _, err := cr.witness.Holds(file, cr.sides[file.Owner].Pid, sd.Pid, fds[i]); err != nil || !holds {
			return false
		}
	}
	return true
}

// checkReceived asks the kernel about each descriptor that an answer reports. It returns an error
// if the kernel does not let the runner inspect the process.
func (cr *caseRun) checkReceived(a reply, names []string, fds []int) error {
	sd := a.side
	wrong := fileFindings{caseRun: cr, side: sd, line: a.step.Line}
	defer wrong.summarize()
	for i, fd := range fds[:len(names)] {
		name, as, renamed := strings.Cut(names[i], ":")
		if !renamed {
			as = name
		}
		sd.received[as] = fd
		if name == scenario.NewName {
			switch err := cr.addMade(sd, as, fd); {
			case witness.MayNotInspect(sd.Pid, err):
				return cr.cannotLook(sd, err)
			case err != nil:
				wrong.find("%d is not open: %v", fd, err)
			default:
				cr.facts.saw(sd, judge.Descriptor{FD: fd, File: judge.File{Name: as, Owner: sd.role}})
			}
			continue
		}
		file := cr.file(name)
		if file == nil {
			wrong.find("the scenario has no file %q", name)
			continue
		}
		holds, way, err := cr.witness.Holds(file, cr.sides[file.Owner].Pid, sd.Pid, fd)
		switch {
		case witness.MayNotInspect(sd.Pid, err):
			return cr.cannotLook(sd, err)
		case err != nil:
			wrong.find("%d is not open: %v", fd, err)
			continue
		case !holds:
			wrong.find("%d is not the open file description of %s", fd, name)
			if wrong.count <= maxListed {
				cr.facts.saw(sd, cr.whatIs(sd, fd))
			}
			continue
		}
		what := identified(fd, file, way)
		if sd.tracks(fd) {
			sd.tracked[fd] = trackedFD{file: file, FileID: file.FileID, known: true}
		}
		info, err := procfs.ReadFDInfo(sd.Pid, fd)
		if err == nil {
			what.Info = infoOf(info)
		}
		cr.facts.saw(sd, what)
		switch {
		case witness.MayNotInspect(sd.Pid, err):
			return cr.cannotLook(sd, err)
		case err != nil:
			wrong.find("%d: %v", fd, err)
			continue
		case slices.Contains(sd.command.List("flags"), kernel.Inherit):
			continue // the command asked for descriptors without close-on-exec
		}
		cr.result.SetCloexecChecked(sd.Peer.Name)
		if !info.CloseOnExec() {
			cr.find(scenario.CheckCloexec, sd, 0, "a received descriptor is not close-on-exec")
		}
	}
	return nil
}

// checkHeld adds a finding for each descriptor that the side has closed, or made refer to another
// file, without a command to do so. It also checks that the descriptors given to the peer for later
// cases are still open, but it does not check which files they refer to until this case has ended.
// It returns the open descriptors that it found, or nil.
func (cr *caseRun) checkHeld(sd *side, line int) (open []int) {
	if sd.byRunner {
		return nil // its commands do such things
	}
	// A process that has ended has no descriptors. If the peer ends while the first list is being
	// read, the second list is empty.
	closed := slices.Sorted(maps.Keys(sd.tracked))
	for range 2 {
		var err error
		if open, err = procfs.OpenFDs(sd.Pid); err != nil || len(open) == 0 {
			return nil
		}
		isOpen := map[int]bool{}
		for _, fd := range open {
			isOpen[fd] = true
		}
		closed = slices.DeleteFunc(closed, func(fd int) bool { return isOpen[fd] })
		if len(closed) == 0 {
			break
		}
	}
	cr.facts.stillOpen(sd, open)
	// The other peer is not at fault for what this peer did before its answer, unless both had a
	// command to run at the same time.
	find := func(format string, fd int) {
		cr.add(scenario.Finding{
			Check: scenario.CheckFile,
			Peer:  sd.Peer.Name,
			Line:  line,
			Text:  fmt.Sprintf(format, fd),
			Own:   !cr.overlap,
		})
	}
	for _, fd := range closed {
		find("descriptor %d was closed without a command to do so", fd)
		cr.spent = cr.spent || sd.spare[fd]
		if sd.spare[fd] {
			cr.facts.gone(sd, fd, "given for a later case")
		}
		delete(sd.tracked, fd)
	}
	for _, fd := range slices.Sorted(maps.Keys(sd.tracked)) {
		if (sd.ended || !sd.spare[fd]) && !sd.tracked[fd].isUnchanged(sd.Pid, fd) {
			cr.facts.saw(sd, cr.whatIs(sd, fd))
			find("descriptor %d refers to another file now, without a command to do so", fd)
			cr.spent = true // it may have replaced others too
			sd.tracked[fd] = trackedFD{}
		}
	}
	return open
}

// changing are the calls of the runner's own processes that change the state of a file: its offset or
// its status flags.
var changing = []string{"read", "write", "splice", "sendfile", "lseek", "fcntl"}

// checkStates adds a finding for each file whose state has changed since the last answer of either
// side. sd is the side that has just answered. checkStates stores the new states for the comparison
// in the next call.
func (cr *caseRun) checkStates(sd *side, line int) {
	before := cr.states
	cr.states = cr.currentStates()
	cr.overlap = false
	if cr.Scenario.Kernel() || sd.byRunner && slices.Contains(changing, sd.command.Verb) {
		return // its command did that
	}
	for _, file := range cr.named {
		was, known := before[file]
		is, ok := cr.states[file]
		if !known || !ok || was == is {
			continue
		}
		by := whoChanged(file, sd)
		cr.changedBy[file] = by
		if was.Flags != is.Flags {
			cr.facts.changed(file, "status flags", flagNames(was.Flags), flagNames(is.Flags))
			cr.findChange(by, line, "the status flags of %s changed from %s to %s",
				file.Name, flagNames(was.Flags), flagNames(is.Flags))
		}
		if was.Offset != is.Offset {
			cr.facts.changed(file, "offset", was.Offset, is.Offset)
			cr.findChange(by, line, "%s is at offset %d, and was at %d before",
				file.Name, is.Offset, was.Offset)
		}
	}
}

// whoChanged returns the side that changed a file. sd is the side that has just answered. A side
// that was not started with the file may have it once the other side was sent a command that can
// pass it, because a peer may receive before it is asked to. The runner changes nothing without a
// command.
func whoChanged(file *witness.File, sd *side) suspect {
	for _, by := range []*side{sd, sd.other} {
		if file.Owner == by.role && !by.mayHaveSent || by.other.isRunner() && !by.isRunner() {
			return suspect{by, true}
		}
	}
	return suspect{sd, false}
}

// checkLeaks adds a finding for each descriptor that refers to a file of the case although the peer
// was not started with it and has not reported it. After the "end" command, any open descriptor for
// a file of the case is a leak. open lists the open descriptors of the peer. If open is nil,
// checkLeaks lists them itself. If the peer has a garbage collector, checkLeaks waits for it, and
// returns process.ErrCut if the run is interrupted during that time.
func (cr *caseRun) checkLeaks(sd *side, line int, open []int) error {
	if sd.unseen {
		return nil
	}
	leaks, err := cr.listLeaks(sd, open)
	deadline := time.Now().Add(cr.timeout)
	for len(leaks) > 0 && sd.Peer.Hello.GC && time.Now().Before(deadline) {
		if cr.ctx.Err() != nil {
			return process.ErrCut
		}
		time.Sleep(time.Millisecond)
		leaks, err = cr.listLeaks(sd, nil)
	}
	if witness.MayNotInspect(sd.Pid, err) {
		_ = cr.cannotLook(sd, err) // the case goes on: it has to be ended at both peers
		sd.unseen = true
		return nil
	}
	what := "is open, and the peer did not report it"
	if sd.ended {
		what = "is still open after the end of the case"
	}
	for i, l := range leaks {
		sd.leaks[l.fd] = true // it is not reported again after the end
		if l.file == senderPidfd {
			sd.leakedPidfds[l.fd] = true // nor in the next case
		} else {
			cr.leaked = true
		}
		if i < maxListed {
			cr.facts.saw(sd, identified(l.fd, l.file, l.way))
			cr.find(scenario.CheckLeak, sd, line, "%s, as %d, %s", l.file.Name, l.fd, what)
		}
	}
	if len(leaks) > maxListed {
		cr.find(scenario.CheckLeak, sd, line, "%d more descriptors are open", len(leaks)-maxListed)
	}
	return nil
}

// A leak is a descriptor for a file of the case that the peer should not have open.
type leak struct {
	fd   int
	file *witness.File
	way  string // how the witness has found out
}

// senderPidfd is the file that the kernel adds to a message for SO_PASSPIDFD.
var senderPidfd = &witness.File{FileSpec: scenario.FileSpec{Name: "the sender's pidfd"}}

// listLeaks returns the leaks of a side. Before the end of the case, duplicates of the side's
// own socket do not count as leaks.
func (cr *caseRun) listLeaks(sd *side, open []int) (leaks []leak, err error) {
	if open == nil {
		if open, err = procfs.OpenFDs(sd.Pid); err != nil {
			return nil, err
		}
	}
	cr.facts.stillOpen(sd, open)
	passesPidfds := cr.Scenario.PassesPidfds(sd.role)
	for _, fd := range open {
		// A peer can make a descriptor that it was given for a later case refer to a file of this
		// case instead. A peer has hundreds of descriptors for later cases, so listLeaks inspects
		// them only once, when the transcript has ended.
		lookAgain := sd.spare[fd] && cr.decided && !sd.ended
		if sd.tracks(fd) && !lookAgain || sd.leaks[fd] {
			continue
		}
		if same, err := sd.tracked[fd].refersTo(sd.Pid, fd); err == nil && same {
			continue
		}
		id, err := procfs.Identify(sd.Pid, fd)
		if e := witness.IgnoreGone(err); e != nil {
			return nil, e
		}
		if err != nil {
			continue // it has been closed since
		}
		if passesPidfds && !sd.leakedPidfds[fd] && witness.IsPidfd(sd.Pid, fd) {
			if info, err := procfs.ReadFDInfo(sd.Pid, fd); err == nil && info.PID == sd.other.Pid {
				leaks = append(leaks, leak{fd, senderPidfd, ""})
				continue
			}
		}
		files := slices.Clone(cr.byID[id])
		if fd > 2 { // a runner's side can have made another descriptor of its own input
			files = append(files, cr.made...)
		}
		if sd.ended {
			files = append(files, cr.sockets...)
		}
		if sd.failed && fd == sd.socket.FD { // the library closes it, now or later
			files = slices.DeleteFunc(files, func(file *witness.File) bool { return file == sd.socket })
		}
		for _, file := range files {
			if holds, way, err := cr.witness.Holds(file, cr.sides[file.Owner].Pid, sd.Pid, fd); err == nil && holds && file.Sure(way) {
				leaks = append(leaks, leak{fd, file, way})
				break
			}
		}
	}
	return leaks, nil
}
