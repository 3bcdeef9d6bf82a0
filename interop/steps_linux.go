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
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// This file is the path from an answer to the findings, in the order in which it is followed:
// runSteps waits for the answer, judges it by its text alone, and inspects what the kernel
// shows of the side that gave it.

// runSteps runs the lines of the transcript. Each is an act of the runner, a command, or the
// answer that a side has to give. An error ends the case.
func (cr *caseRun) runSteps() error {
	for _, st := range cr.Scenario.Steps {
		var err error
		switch {
		case st.Role == scenario.RoleR:
			err = cr.act(st)
		case st.Kind == scenario.StepCommand:
			err = cr.say(st)
		default:
			a := cr.awaitAnswer(st)
			j := a.judge()
			cr.trackReceived(a, j.fds)
			if j.nothingSent && cr.gaveUp(a.side.other, a.step.Line) {
				return cr.unsupported(a.side.other)
			}
			err = cr.conclude(a, j)
		}
		if err != nil {
			return err
		}
	}
	return nil
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

// A reply is the answer of a side to its command, or the reason why it did not answer.
type reply struct {
	step      scenario.Step // the line that expects it
	side      *side
	text      string
	err       error             // why there is no text
	wants     []scenario.Answer // the alternatives of the step, as this case has them
	wantsErr  error             // why there are no wants
	byPartner bool              // the runner answers opposite a peer, and has the room that the scenario gives it
}

// awaitAnswer waits for the answer that a step expects. If that side waits in vain because the
// other one has already answered something that its own step does not expect, it returns that
// answer and that step.
func (cr *caseRun) awaitAnswer(st scenario.Step) reply {
	a := reply{step: st, side: cr.sides[st.Role]}
	a.text, a.err = cr.waitForText(a.side, st)
	if errors.Is(a.err, process.ErrHang) {
		if next, wrong := cr.otherIsWrong(a.side, st); wrong {
			a = reply{step: next, side: a.side.other}
			a.text, a.err = a.side.ReadAnswer(cr.ctx, cr.timeout)
		}
	}
	if a.err != nil {
		return a
	}
	a.side.pending = false
	cr.note(fmt.Sprintf("%s<%s %s", a.side.role, scenario.Async(a.step), a.text))
	a.text, a.wants, a.wantsErr = cr.forComparison(a.side, a.step, a.text)
	a.byPartner = a.side.isRunner() && cr.A != cr.B
	return a
}

// How long the runner waits for an answer that is expected not to arrive, and between two looks
// at whether one can still arrive.
const (
	expectedHang = 300 * time.Millisecond
	shortestWait = 50 * time.Millisecond
)

// waitForText waits for a line from the side. Once the other side has given a wrong answer, it only
// waits until this side sleeps: nothing will wake it.
func (cr *caseRun) waitForText(sd *side, st scenario.Step) (string, error) {
	if cr.hangs(cr.Case, sd.role) {
		return sd.ReadAnswer(cr.ctx, min(expectedHang, cr.timeout))
	}
	if !sd.other.pending {
		return sd.ReadAnswer(cr.ctx, cr.timeout)
	}
	for deadline := time.Now().Add(cr.timeout); ; {
		text, err := sd.ReadAnswer(cr.ctx, min(shortestWait, cr.timeout))
		if !errors.Is(err, process.ErrHang) || time.Now().After(deadline) {
			return text, err
		}
		idle, _ := sd.IsIdle()
		if _, wrong := cr.otherIsWrong(sd, st); wrong && idle {
			return sd.ReadAnswer(cr.ctx, shortestWait) // it may have answered before it slept
		}
	}
}

// otherIsWrong reports whether the other side has already given an answer that none of the
// alternatives of its step match. It returns that step.
func (cr *caseRun) otherIsWrong(sd *side, st scenario.Step) (next scenario.Step, wrong bool) {
	other := sd.other
	i := slices.IndexFunc(cr.Scenario.Steps, func(later scenario.Step) bool {
		return later.Role == other.role && later.Kind == scenario.StepAnswer && later.Line > st.Line
	})
	if !other.pending || i < 0 || !other.Answered() {
		return next, false
	}
	next = cr.Scenario.Steps[i]
	text, err := other.PeekAnswer(cr.ctx, shortestWait)
	if errors.Is(err, process.ErrHang) {
		return next, false
	}
	if err != nil {
		return next, true
	}
	text, wants, wantsErr := cr.forComparison(other, next, text)
	got, _, err := contract.ParseAnswer(kernel.Vocabulary, other.command.Verb, text)
	if err != nil {
		return next, true
	}
	return next, wantsErr == nil && !slices.ContainsFunc(wants, func(w scenario.Answer) bool {
		_, why := w.Match(got)
		return why == ""
	})
}

// A judgment is what the text of an answer shows. If all of check, notRun and unsupported are
// empty, the text is right.
type judgment struct {
	fds         []int          // the descriptors that the answer names, even if it is wrong
	fits        [][]string     // for each alternative that the text matches, the names for fds
	refusal     bool           // the library has refused something, and may be done with the connection
	nothingSent bool           // no answer, or nothing was transferred: the other library may have given up
	check       scenario.Check // what is wrong
	text        string         // of the finding
	ends        error          // errCaseOver, or errSessionOver if no later answer can be trusted
	unsupported bool
	notRun      string // why the answer says nothing about the peers
}

// judge judges an answer by its text alone. It looks at no process and sends nothing.
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
		// A library may give up a connection that the kernel reports as lost, too.
		lost := slices.Contains([]string{"ECONNRESET", "EPIPE"}, strings.Join(got.Words, " "))
		j.refusal = isError && (!namesErrno || lost)
	case sd.byRunner && slices.Contains([]string{"ENOSPC", "EDQUOT", "EROFS", "ENFILE"}, errno):
		// The file system or the file table is full, which no scenario is about.
		j.notRun = "the runner's side answered " + contract.Quote(a.text)
	default:
		j.check = scenario.CheckAnswer
		j.text = difference
		j.ends = errCaseOver
		j.nothingSent = isError || got.Fields["n"] == "0" && got.Fields["payload"] == "-"
	}
	return j
}

// surplus returns why an answer of the runner is wrong if the kernel truncated the message and
// no alternative of the step has that. The runner has the room that the scenario gives it, so
// the peer opposite has sent more than the scenario says.
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

// trackReceived records the descriptors that an answer names, so that they are no leaks,
// whatever else is wrong with the answer.
func (cr *caseRun) trackReceived(a reply, fds []int) {
	sd := a.side
	wrong := fileFindings{caseRun: cr, side: sd, line: a.step.Line}
	seen := map[int]bool{}
	for _, fd := range fds {
		if sd.tracks(fd) || fd < 0 || sd.standard[fd] || seen[fd] {
			wrong.find("reported that it received %d, which it had already", fd)
		}
		seen[fd] = true
	}
	wrong.summarize()
	for _, fd := range fds {
		sd.received[strconv.Itoa(fd)] = fd
		id, err := witness.Identify(sd.Pid, fd)
		if sd.tracks(fd) || err != nil && !witness.MayNotInspect(sd.Pid, err) {
			continue // a descriptor that is not open cannot be closed later
		}
		sd.tracked[fd] = trackedFD{Identity: id, known: err == nil}
		for _, file := range cr.allFiles() {
			if file.Owner == sd.role && file.FD == fd {
				file.Reused = true
			}
		}
	}
}

// gaveUp reports whether the library of a side is done with the connection after it has refused
// something. It asks the peer for the next send or receive of the transcript after this line,
// and such a library answers unsupported. The side opposite, which finds the connection closed
// or waits in vain, has then done nothing wrong.
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
// process that gave it.
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
		cr.find(j.check, sd, line, "%s", j.text)
		return j.ends
	}
	sd.refused = sd.refused || j.refusal
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

// checkReceived asks the kernel about each descriptor that an answer reports. The error is
// that the runner may not look.
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
			}
			continue
		}
		file := cr.file(name)
		if file == nil {
			wrong.find("the scenario has no file %q", name)
			continue
		}
		holds, _, err := cr.witness.Holds(file, cr.sides[file.Owner].Pid, sd.Pid, fd)
		switch {
		case witness.MayNotInspect(sd.Pid, err):
			return cr.cannotLook(sd, err)
		case err != nil:
			wrong.find("%d is not open: %v", fd, err)
			continue
		case !holds:
			wrong.find("%d is not the open file description of %s", fd, name)
			continue
		}
		if sd.tracks(fd) {
			sd.tracked[fd] = trackedFD{file: file, Identity: file.Identity, known: true}
		}
		info, err := procfs.ReadFDInfo(sd.Pid, fd)
		switch {
		case witness.MayNotInspect(sd.Pid, err):
			return cr.cannotLook(sd, err)
		case err != nil:
			wrong.find("%d: %v", fd, err)
			continue
		case slices.Contains(sd.command.List("flags"), kernel.Inherit):
			continue // the command asked for descriptors without close-on-exec
		}
		cr.result.CloexecChecked[sd.Peer.Name] = true
		if !info.CloseOnExec() {
			cr.find(scenario.CheckCloexec, sd, 0, "a received descriptor is not close-on-exec")
		}
	}
	return nil
}

// checkHeld finds descriptors that the side has closed, or that refer to another file, without a
// command to do so. This includes descriptors for later cases, whose files are compared when this
// case has ended. It returns the open descriptors that it saw, or nil.
func (cr *caseRun) checkHeld(sd *side, line int) (open []int) {
	if sd.byRunner {
		return nil // its commands do such things
	}
	// A peer that has ended has no descriptors; for one that ends during the first look, the
	// second look finds none.
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
	// The sender is not at fault for what a peer did before its answer, unless both had
	// something to do at the same time.
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
		delete(sd.tracked, fd)
	}
	for _, fd := range slices.Sorted(maps.Keys(sd.tracked)) {
		if (sd.ended || !sd.spare[fd]) && !sd.tracked[fd].isUnchanged(sd.Pid, fd) {
			find("descriptor %d refers to another file now, without a command to do so", fd)
			cr.spent = true // it may have replaced others too
			sd.tracked[fd] = trackedFD{}
		}
	}
	return open
}

// changing are those of scenario.PeerCalls that change the state of a file: its offset or its
// status flags.
var changing = []string{"read", "write", "fcntl"}

// checkStates finds files whose state has changed since a side last answered. This side has
// just answered. The states are kept, so that a later change is found by the next look.
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
			cr.findChange(by, line, "the status flags of %s changed from %s to %s",
				file.Name, flagNames(was.Flags), flagNames(is.Flags))
		}
		if was.Offset != is.Offset {
			cr.findChange(by, line, "%s is at offset %d, and was at %d before",
				file.Name, is.Offset, was.Offset)
		}
	}
}

// whoChanged returns the side that changed a file when this side has just answered. The side that
// was not started with the file can have it as soon as the other has had a command to send, because
// it may receive early. The runner changes nothing without a command.
func whoChanged(file *witness.File, sd *side) suspect {
	for _, by := range []*side{sd, sd.other} {
		if file.Owner == by.role && !by.mayHaveSent || by.other.isRunner() && !by.isRunner() {
			return suspect{by, true}
		}
	}
	return suspect{sd, false}
}

// checkLeaks finds descriptors that refer to a file of the case and that the peer was neither
// given nor has reported. After "end" it may have none. open are its open descriptors, or nil
// if they are still to be listed. The error is that the run was cut short while it waited for a
// garbage collector.
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
			cr.find(scenario.CheckLeak, sd, line, "%s, as %d, %s", l.file.Name, l.fd, what)
		}
	}
	if len(leaks) > maxListed {
		cr.find(scenario.CheckLeak, sd, line, "%d more descriptors are open", len(leaks)-maxListed)
	}
	return nil
}

// A leak is a descriptor of a peer that refers to a file of the case and should not be open.
type leak struct {
	fd   int
	file *witness.File
}

// senderPidfd is the file that the kernel adds to a message for SO_PASSPIDFD.
var senderPidfd = &witness.File{FileSpec: scenario.FileSpec{Name: "the sender's pidfd"}}

// listLeaks returns the leaks of a side. Duplicates of the case's socket are no leaks before
// the end.
func (cr *caseRun) listLeaks(sd *side, open []int) (leaks []leak, err error) {
	if open == nil {
		if open, err = procfs.OpenFDs(sd.Pid); err != nil {
			return nil, err
		}
	}
	passesPidfds := cr.Scenario.PassesPidfds(sd.role)
	for _, fd := range open {
		// A descriptor of a later case can refer to a file of this one for a while. There are
		// hundreds, so they are looked at only once, when the transcript has ended.
		lookAgain := sd.spare[fd] && cr.decided && !sd.ended
		if sd.tracks(fd) && !lookAgain || sd.leaks[fd] {
			continue
		}
		if same, err := sd.tracked[fd].refersTo(sd.Pid, fd); err == nil && same {
			continue
		}
		id, err := witness.Identify(sd.Pid, fd)
		if e := witness.IgnoreGone(err); e != nil {
			return nil, e
		}
		if err != nil {
			continue // it has been closed since
		}
		if passesPidfds && !sd.leakedPidfds[fd] && witness.IsPidfd(sd.Pid, fd) {
			if info, err := procfs.ReadFDInfo(sd.Pid, fd); err == nil && info.PID == sd.other.Pid {
				leaks = append(leaks, leak{fd, senderPidfd})
				continue
			}
		}
		files := slices.Clone(cr.byIdentity[id])
		if fd > 2 { // a runner's side can have made another descriptor of its own input
			files = append(files, cr.made...)
		}
		if sd.ended {
			files = append(files, cr.sockets...)
		}
		for _, file := range files {
			if holds, sure, err := cr.witness.Holds(file, cr.sides[file.Owner].Pid, sd.Pid, fd); err == nil && holds && sure {
				leaks = append(leaks, leak{fd, file})
				break
			}
		}
	}
	return leaks, nil
}
