package judge

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/scenario"
)

// This file compares what a process has open with what it should have open. Both are tables, which facts and commands
// change.

// maxListed is how many findings of one kind are listed one by one for the same answer.
const maxListed = 3

// listWrong adds a finding about a descriptor that an answer names, and only counts those after the first few.
func (j *judge) listWrong(e evidence, count *int, what string) {
	if *count++; *count <= maxListed {
		j.find(scenario.CheckFile, e.side, e.step.Line, "%s", what)
	}
}

func (j *judge) countRest(e evidence, wrong int) {
	if wrong > maxListed {
		j.find(scenario.CheckFile, e.side, e.step.Line, "%d more descriptors are wrong", wrong-maxListed)
	}
}

// track notes the descriptors that an answer names, so that they do not count as leaks, even if the answer is
// wrong in other respects.
func (j *judge) track(e evidence, fds []int) {
	wrong := 0
	for i, fd := range fds {
		if _, held := e.side.held[fd]; held || fd < 0 || e.side.standard[fd] || slices.Contains(fds[:i], fd) {
			j.listWrong(e, &wrong, fmt.Sprintf("reported that it received %d, which it had already", fd))
		}
	}
	j.countRest(e, wrong)
	for _, fd := range fds {
		e.side.received[strconv.Itoa(fd)] = fd
		_, held := e.side.held[fd]
		d, open := e.side.open[fd]
		if !held && (open || e.seen.Unseen != "") { // what is not open cannot be closed later
			e.side.held[fd], e.side.open[fd] = open, d
		}
	}
}

// received judges what the descriptors are that a correct answer names.
func (j *judge) received(e evidence, r reading) {
	names := r.fits[0]
	if len(r.fits) > 1 {
		i := slices.IndexFunc(r.fits, func(names []string) bool { return e.side.holdsAll(names, r.fds) })
		names = r.fits[max(i, 0)]
	}
	if len(names) > 0 && e.seen.Unseen != "" {
		j.cannotLook(e.side, e.seen.Unseen)
		endCase(errCaseOver)
	}
	wrong := 0
	for i, fd := range r.fds[:len(names)] {
		name, as, renamed := strings.Cut(names[i], ":")
		if !renamed {
			as = name
		}
		e.side.received[as] = fd
		d, open := e.side.open[fd]
		why := ""
		switch {
		case !open:
			why = fmt.Sprintf("%d is not open: %s", fd, e.whyNotOpen(fd))
		case name == scenario.NewName:
			j.names[as] = true
			if e.side.byRunner {
				j.found.Made = append(j.found.Made, NewFile{e.side.role, as, fd})
			}
		case !j.names[name]:
			why = fmt.Sprintf("the scenario has no file %q", name)
		case !holds(d, name):
			why = fmt.Sprintf("%d is not the open file description of %s", fd, name)
		case d.Info == nil:
			why = fmt.Sprintf("%d: %s", fd, d.InfoErr)
		case !slices.Contains(e.side.command.List("flags"), kernel.Inherit): // which asks for descriptors without close-on-exec
			if !slices.Contains(j.found.CloexecChecked, e.side.peer.Name) {
				j.found.CloexecChecked = append(j.found.CloexecChecked, e.side.peer.Name)
			}
			if !d.Info.CloseOnExec {
				j.find(scenario.CheckCloexec, e.side, 0, "a received descriptor is not close-on-exec")
			}
		}
		if why != "" {
			j.listWrong(e, &wrong, why)
		}
	}
	j.countRest(e, wrong)
}

// whyNotOpen returns the error for a descriptor that an answer names.
func (e evidence) whyNotOpen(fd int) string {
	for _, d := range e.seen.Descriptors {
		if d.FD == fd && d.Err != "" {
			return d.Err
		}
	}
	return "no such file or directory"
}

func holds(d fact.Descriptor, name string) bool {
	return slices.ContainsFunc(d.Files, func(m fact.Match) bool { return m.Name == name })
}

// holdsAll reports whether the descriptors refer to the files of these names.
func (sd *side) holdsAll(names []string, fds []int) bool {
	for i, name := range names {
		name, _, _ = strings.Cut(name, ":")
		if d, open := sd.open[fds[i]]; name != scenario.NewName && (!open || !holds(d, name)) {
			return false
		}
	}
	return true
}

// judgeHeld adds a finding for each descriptor that the side has closed, or made refer to another file, without a
// command to do so. It judges the descriptors for later cases only by whether they are open until this case has ended.
// The other peer is not at fault for what this peer did before its answer, unless both had a command to run at the same
// time.
func (j *judge) judgeHeld(sd *side, line int) {
	for _, fd := range slices.Sorted(maps.Keys(sd.held)) {
		switch d, open := sd.open[fd]; {
		case !open:
			text := fmt.Sprintf("descriptor %d was closed without a command to do so", fd)
			j.add(sd, scenario.Finding{Check: scenario.CheckFile, Line: line, Text: text, Own: !j.overlap})
			j.spent = j.spent || sd.spare[fd]
			delete(sd.held, fd)
		case sd.held[fd] && d.Changed && (sd.ended || !sd.spare[fd]):
			text := fmt.Sprintf("descriptor %d refers to another file now, without a command to do so", fd)
			j.add(sd, scenario.Finding{Check: scenario.CheckFile, Line: line, Text: text, Own: !j.overlap})
			j.spent = true // it may have replaced others too
			sd.held[fd] = false
		}
	}
}

// altering are the calls of the runner's own processes that change the state of a file: its offset or its status flags.
var altering = []string{"read", "write", "splice", "sendfile", "lseek", "fcntl"}

// judgeStates adds a finding for each file whose state has changed since the states were last judged. sd is the side
// that has just answered. While a side has a command to answer, its call may change states.
func (j *judge) judgeStates(sd *side, line int) {
	if sd.pending || sd.other.pending {
		return
	}
	changes, altered := j.states, j.altered
	j.states, j.altered, j.overlap = nil, false, false
	if altered {
		return // the call did that
	}
	for _, s := range changes {
		by := whoChanged(s.File, sd)
		j.changedBy[s.File.Name] = by
		if s.What == fact.Offset {
			j.findChange(by, line, "%s is at offset %s, and was at %s before", s.File.Name, s.Now, s.Was)
		} else {
			j.findChange(by, line, "the %s of %s changed from %s to %s", s.What, s.File.Name, s.Was, s.Now)
		}
	}
}

// A suspect is the side that changed a file, or that may have changed it.
type suspect struct {
	*side
	sure bool // the other side cannot have done it
}

// whoChanged returns the side that changed a file. sd is the side that has just answered. A side that was not started
// with the file may have it once the other side was sent a command that can pass it, because a peer may receive before
// it is asked to. The runner changes nothing without a command.
func whoChanged(file fact.File, sd *side) suspect {
	isRunner := func(sd *side) bool { return sd.peer.Name == scenario.RunnerName }
	for _, by := range []*side{sd, sd.other} {
		if file.Owner == by.role && !by.mayHaveSent || isRunner(by.other) && !isRunner(by) {
			return suspect{by, true}
		}
	}
	return suspect{sd, false}
}

// cannotLook notes that the runner may not see which descriptors a peer has open.
func (j *judge) cannotLook(sd *side, why string) {
	j.showsNothing(scenario.NotRun, "cannot see which descriptors %s has open: %s", sd.peer.Name, why)
}

// findChange adds a finding about a changed file.
func (j *judge) findChange(by suspect, line int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.add(by.side, scenario.Finding{Check: scenario.CheckFile, Line: line, Text: text, Own: by.sure, Ambiguous: !by.sure})
}

// judgeLeaks adds a finding for each descriptor that refers to a file of the case although the peer was not started
// with it and has not reported it. After the "end" command, any open descriptor for a file of the case is a leak.
func (j *judge) judgeLeaks(sd *side, f fact.Observation, line int) {
	if f.Exited {
		return
	}
	if f.Unseen != "" {
		j.cannotLook(sd, f.Unseen)
		return // the case goes on, and is then ended at both peers
	}
	leaks := sd.allLeaked()
	what := "is open, and the peer did not report it"
	if sd.ended {
		what = "is still open after the end of the case"
	}
	for i, fd := range leaks {
		file := sd.leaked(fd)
		if i < maxListed {
			j.find(scenario.CheckLeak, sd, line, "%s, as %d, %s", file.Name, fd, what)
		}
		j.leaked = j.leaked || *file != fact.SenderPidfd
		sd.leaks[fd] = true // it is not reported again after the end
	}
	if more := len(leaks) - maxListed; more > 0 {
		j.find(scenario.CheckLeak, sd, line, "%d more descriptors are open", more)
	}
}

// allLeaked returns the descriptors that the side should not have open.
func (sd *side) allLeaked() (fds []int) {
	for fd := range sd.open {
		if sd.leaked(fd) != nil {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

// leaked returns the file of the case that a descriptor refers to, if the side should not have it open, or nil. Before
// the end of the case, duplicates of a side's own socket do not count as leaks.
func (sd *side) leaked(fd int) *fact.File {
	// A descriptor for a later case refers to a file of this case only if the peer has made it do so. The runner looks
	// at them once, when the transcript has ended.
	if _, held := sd.held[fd]; held && !sd.spare[fd] || sd.leaks[fd] {
		return nil
	}
	for _, m := range sd.open[fd].Files {
		switch {
		case m.Socket && !sd.ended:
		case m.Socket && m.Owner == sd.role && sd.failed && fd == sd.socket: // the library closes it, now or later
		case m.Made && fd <= 2: // a runner's side can have made another descriptor of its own input
		case m.Sure:
			return &m.File
		}
	}
	return nil
}
