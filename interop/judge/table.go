package judge

import (
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

// learn takes note of what has changed.
func (l *ledger) learn(f fact.Observation) {
	open := l.sides[f.Side].open
	for _, d := range f.Descriptors {
		if d.Closed || d.Err != "" {
			delete(open, d.FD)
		} else {
			open[d.FD] = d
		}
	}
	l.states = append(l.states, f.States...)
}

// wrong adds a finding about a descriptor that an answer names, and only counts those after the first few.
func (l *ledger) wrong(h heard, count *int, format string, args ...any) {
	if *count++; *count <= maxListed {
		l.find(scenario.CheckFile, h.side, h.step.Line, format, args...)
	}
}

func (l *ledger) more(h heard, wrong int) {
	if wrong > maxListed {
		l.find(scenario.CheckFile, h.side, h.step.Line, "%d more descriptors are not what the answer says", wrong-maxListed)
	}
}

// track takes note of the descriptors that an answer names, so that they do not count as leaks, even if the answer is
// wrong in other respects.
func (l *ledger) track(h heard, fds []int) {
	wrong := 0
	for i, fd := range fds {
		if _, held := h.held[fd]; held || fd < 0 || h.standard[fd] || slices.Contains(fds[:i], fd) {
			l.wrong(h, &wrong, "reported that it received %d, which it had already", fd)
		}
	}
	l.more(h, wrong)
	for _, fd := range fds {
		h.received[strconv.Itoa(fd)] = fd
		_, held := h.held[fd]
		d, open := h.open[fd]
		if !held && (open || h.Unseen != "") { // what is not open cannot be closed later
			h.held[fd], h.open[fd] = open, d
		}
	}
}

// received judges what the descriptors are that a correct answer names.
func (l *ledger) received(h heard, a answer) Request {
	names := a.fits[0]
	if len(a.fits) > 1 {
		i := slices.IndexFunc(a.fits, func(names []string) bool { return h.holdsAll(names, a.fds) })
		names = a.fits[max(i, 0)]
	}
	if len(names) > 0 && h.Unseen != "" {
		return l.cannotLook(h.side, h.Unseen)
	}
	wrong := 0
	for i, fd := range a.fds[:len(names)] {
		name, as, renamed := strings.Cut(names[i], ":")
		if !renamed {
			as = name
		}
		h.received[as] = fd
		d, open := h.open[fd]
		_, known := l.names[name]
		switch {
		case !open:
			l.wrong(h, &wrong, "%d is not open: %s", fd, h.whyNotOpen(fd))
			continue
		case name == scenario.NewName:
			l.made(h.side, as, fd)
			continue
		case !known:
			l.wrong(h, &wrong, "the scenario has no file %q", name)
			continue
		case !holds(d, name):
			l.wrong(h, &wrong, "%d is not the open file description of %s", fd, name)
			continue
		case d.Info == nil:
			l.wrong(h, &wrong, "%d: %s", fd, d.InfoErr)
			continue
		case slices.Contains(h.command.List("flags"), kernel.Inherit):
			continue // the command asked for descriptors without close-on-exec
		}
		l.found.CloexecChecked = []string{h.peer.Name}
		if !d.Info.CloseOnExec {
			l.find(scenario.CheckCloexec, h.side, 0, "a received descriptor is not close-on-exec")
		}
	}
	l.more(h, wrong)
	return nil
}

// whyNotOpen returns the error for a descriptor that an answer names.
func (h heard) whyNotOpen(fd int) string {
	for _, d := range h.Descriptors {
		if d.FD == fd && d.Err != "" {
			return d.Err
		}
	}
	return "no such file or directory"
}

// made adds a new file of a side to the files of the case.
func (l *ledger) made(sd *side, name string, fd int) {
	l.names[name] = fact.File{Name: name, Owner: sd.role, Made: true}
	if sd.byRunner {
		l.found.Made = append(l.found.Made, NewFile{sd.role, name, fd})
	}
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

// inspect judges the descriptors that a process has open, and the states of the files.
func (l *ledger) inspect(sd *side, f fact.Observation, line int, states bool) Request {
	l.judgeHeld(sd, line)
	if states && !sd.pending && !sd.other.pending {
		l.judgeStates(sd, line)
	}
	if sd.peer.Hello.GC && line > 0 {
		return nil // the collector may close it before the end of the case
	}
	return l.judgeLeaks(sd, f, line)
}

// judgeHeld adds a finding for each descriptor that the side has closed, or made refer to another file, without a
// command to do so. It judges the descriptors for later cases only by whether they are open until this case has ended.
// The other peer is not at fault for what this peer did before its answer, unless both had a command to run at the same
// time.
func (l *ledger) judgeHeld(sd *side, line int) {
	for _, fd := range slices.Sorted(maps.Keys(sd.held)) {
		switch d, open := sd.open[fd]; {
		case !open:
			l.find(scenario.CheckFile, sd, line, "descriptor %d was closed without a command to do so", fd).Own = !l.overlap
			l.spent = l.spent || sd.spare[fd]
			delete(sd.held, fd)
		case sd.held[fd] && d.Changed && (sd.ended || !sd.spare[fd]):
			l.find(scenario.CheckFile, sd, line, "descriptor %d refers to another file now, without a command to do so", fd).Own = !l.overlap
			l.spent = true // it may have replaced others too
			sd.held[fd] = false
		}
	}
}

// altering are the calls of the runner's own processes that change the state of a file: its offset or its status flags.
var altering = []string{"read", "write", "splice", "sendfile", "lseek", "fcntl"}

// judgeStates adds a finding for each file whose state has changed since the states were last judged. sd is the side
// that has just answered.
func (l *ledger) judgeStates(sd *side, line int) {
	changes, altered := l.states, l.altered
	l.states, l.altered, l.overlap = nil, false, false
	if altered {
		return // the call did that
	}
	for _, s := range changes {
		by := whoChanged(s.File, sd)
		l.changedBy[s.File.Name] = by
		if s.What == fact.Offset {
			l.findChange(by, line, "%s is at offset %s, and was at %s before", s.File.Name, s.Now, s.Was)
		} else {
			l.findChange(by, line, "the %s of %s changed from %s to %s", s.What, s.File.Name, s.Was, s.Now)
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

// cannotLook ends a case in which the runner may not see which descriptors a peer has open.
func (l *ledger) cannotLook(sd *side, why string) Request {
	return l.notRun("cannot see which descriptors %s has open: %s", sd.peer.Name, why)
}

// findChange adds a finding about a changed file.
func (l *ledger) findChange(by suspect, line int, format string, args ...any) {
	f := l.find(scenario.CheckFile, by.side, line, format, args...)
	f.Own, f.Ambiguous = by.sure, !by.sure
}

// judgeLeaks adds a finding for each descriptor that refers to a file of the case although the peer was not started
// with it and has not reported it. After the "end" command, any open descriptor for a file of the case is a leak. If
// the peer has a garbage collector, judgeLeaks first gives it time.
func (l *ledger) judgeLeaks(sd *side, f fact.Observation, line int) Request {
	if f.Exited {
		return nil
	}
	if f.Unseen != "" {
		l.cannotLook(sd, f.Unseen)
		return nil // the case goes on, and is then ended at both peers
	}
	var leaks []int
	for fd := range sd.open {
		if sd.leaked(fd) != nil {
			leaks = append(leaks, fd)
		}
	}
	slices.Sort(leaks)
	if len(leaks) > 0 && sd.peer.Hello.GC {
		if sd.patience == 0 {
			sd.patience = f.Time + l.Timeout
		}
		if f.Time < sd.patience {
			return Look{At: sd.at(), All: true, Again: true}
		}
	}
	sd.patience = 0
	what := "is open, and the peer did not report it"
	if sd.ended {
		what = "is still open after the end of the case"
	}
	for i, fd := range leaks {
		file := sd.leaked(fd)
		if i < maxListed {
			l.find(scenario.CheckLeak, sd, line, "%s, as %d, %s", file.Name, fd, what)
		}
		if *file == fact.SenderPidfd {
			sd.leakedPidfds[fd] = true // it is not reported again in the next case
		} else {
			l.leaked = true
		}
		sd.leaks[fd] = true // nor after the end
	}
	if more := len(leaks) - maxListed; more > 0 {
		l.find(scenario.CheckLeak, sd, line, "%d more descriptors are open", more)
	}
	return nil
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
		case m.File == fact.SenderPidfd && sd.leakedPidfds[fd]:
		case m.Socket && !sd.ended:
		case m.Socket && m.Owner == sd.role && sd.failed && fd == sd.socket: // the library closes it, now or later
		case m.Made && fd <= 2: // a runner's side can have made another descriptor of its own input
		case m.Sure:
			return &m.File
		}
	}
	return nil
}
