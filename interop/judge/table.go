package judge

import (
	"fmt"
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

// learn takes note of what a fact says about descriptors and files.
func (j *Judge) learn(f fact.Fact) {
	for _, d := range f.Descriptors {
		open := j.sides[d.Side].open
		if d.Closed || d.Err != "" {
			delete(open, d.FD)
		} else {
			open[d.FD] = d
		}
	}
	j.states = append(j.states, f.States...)
}

// A list adds the findings about the descriptors of one answer, and only counts those after the first few.
type list struct {
	*Judge
	side  *side
	line  int
	count int
}

func (l *list) add(format string, args ...any) {
	if l.count++; l.count <= maxListed {
		l.find(scenario.CheckFile, l.side, l.line, format, args...)
	}
}

func (l *list) end() {
	if l.count > maxListed {
		l.find(scenario.CheckFile, l.side, l.line, "%d more descriptors are not what the answer says", l.count-maxListed)
	}
}

// track takes note of the descriptors that an answer names, so that they do not count as leaks, even if the answer is
// wrong in other respects.
func (j *Judge) track(sd *side, f fact.Fact, fds []int) {
	wrong := list{Judge: j, side: sd, line: f.Step.Line}
	seen := map[int]bool{}
	for _, fd := range fds {
		if _, held := sd.held[fd]; held || fd < 0 || sd.standard[fd] || seen[fd] {
			wrong.add("reported that it received %d, which it had already", fd)
		}
		seen[fd] = true
	}
	wrong.end()
	for _, fd := range fds {
		sd.received[strconv.Itoa(fd)] = fd
		_, held := sd.held[fd]
		d, open := sd.open[fd]
		if !held && (open || f.Unseen != "") { // what is not open cannot be closed later
			sd.held[fd], sd.open[fd] = open, d
		}
	}
}

// received judges what the descriptors are that a correct answer names.
func (j *Judge) received(sd *side, f fact.Fact, a answer) Do {
	names := a.fits[0]
	if len(a.fits) > 1 {
		i := slices.IndexFunc(a.fits, func(names []string) bool { return j.holdsAll(sd, names, a.fds) })
		names = a.fits[max(i, 0)]
	}
	if len(names) > 0 && f.Unseen != "" {
		return cannotLook(sd, f.Unseen)
	}
	wrong := list{Judge: j, side: sd, line: f.Step.Line}
	defer wrong.end()
	for i, fd := range a.fds[:len(names)] {
		name, as, renamed := strings.Cut(names[i], ":")
		if !renamed {
			as = name
		}
		sd.received[as] = fd
		d, open := sd.open[fd]
		_, known := j.names[name]
		switch {
		case !open:
			wrong.add("%d is not open: %s", fd, whyNotOpen(f, fd))
			continue
		case name == scenario.NewName:
			j.names[as] = fact.File{Name: as, Owner: sd.role, Made: true}
			continue
		case !known:
			wrong.add("the scenario has no file %q", name)
			continue
		case !holds(d, name):
			wrong.add("%d is not the open file description of %s", fd, name)
			continue
		case d.Info == nil:
			wrong.add("%d: %s", fd, d.InfoErr)
			continue
		case slices.Contains(sd.command.List("flags"), kernel.Inherit):
			continue // the command asked for descriptors without close-on-exec
		}
		j.setChecked(sd.peer.Name)
		if !d.Info.CloseOnExec {
			j.find(scenario.CheckCloexec, sd, 0, "a received descriptor is not close-on-exec")
		}
	}
	return Do{}
}

// whyNotOpen returns the error for a descriptor that an answer names.
func whyNotOpen(f fact.Fact, fd int) string {
	for _, d := range f.Descriptors {
		if d.FD == fd && d.Side == f.Side && d.Err != "" {
			return d.Err
		}
	}
	return "no such file or directory"
}

// Made returns the files of the case that processes of the runner have made, by name.
func (j *Judge) Made(role scenario.Role) map[string]int {
	made := map[string]int{}
	for name, file := range j.names {
		if fd, ok := j.sides[role].received[name]; ok && file.Made && file.Owner == role {
			made[name] = fd
		}
	}
	return made
}

func (j *Judge) setChecked(peer string) {
	if !slices.Contains(j.checked, peer) {
		j.checked = append(j.checked, peer)
	}
}

func holds(d fact.Descriptor, name string) bool {
	return slices.ContainsFunc(d.Files, func(m fact.Match) bool { return m.Name == name })
}

// holdsAll reports whether the descriptors refer to the files of these names.
func (j *Judge) holdsAll(sd *side, names []string, fds []int) bool {
	for i, name := range names {
		name, _, _ = strings.Cut(name, ":")
		if d, open := sd.open[fds[i]]; name != scenario.NewName && (!open || !holds(d, name)) {
			return false
		}
	}
	return true
}

// inspect judges the descriptors that a process has open, and the states of the files.
func (j *Judge) inspect(sd *side, f fact.Fact, states bool) Do {
	line := f.Step.Line
	j.judgeHeld(sd, line)
	if states && !j.isAwaited() {
		j.judgeStates(sd, line)
	}
	if sd.peer.Hello.GC && !j.decided {
		return Do{} // the collector may close it before the end of the case
	}
	return j.judgeLeaks(sd, f)
}

// judgeHeld adds a finding for each descriptor that the side has closed, or made refer to another file, without a command
// to do so. It judges the descriptors for later cases only by whether they are open until this case has ended.
func (j *Judge) judgeHeld(sd *side, line int) {
	// The other peer is not at fault for what this peer did before its answer, unless both had a command to run at the
	// same time.
	find := func(format string, fd int) {
		j.found = append(j.found, scenario.Finding{
			Check: scenario.CheckFile,
			Peer:  sd.peer.Name,
			Line:  line,
			Text:  fmt.Sprintf(format, fd),
			Own:   !j.overlap,
		})
	}
	var closed, replaced []int
	for fd, known := range sd.held {
		switch d, open := sd.open[fd]; {
		case !open:
			closed = append(closed, fd)
		case known && d.Changed && (sd.ended || !sd.spare[fd]):
			replaced = append(replaced, fd)
		}
	}
	slices.Sort(closed)
	for _, fd := range closed {
		find("descriptor %d was closed without a command to do so", fd)
		j.spent = j.spent || sd.spare[fd]
		delete(sd.held, fd)
	}
	slices.Sort(replaced)
	for _, fd := range replaced {
		find("descriptor %d refers to another file now, without a command to do so", fd)
		j.spent = true // it may have replaced others too
		sd.held[fd] = false
	}
}

// altering are the calls of the runner's own processes that change the state of a file: its offset or its status flags.
var altering = []string{"read", "write", "splice", "sendfile", "lseek", "fcntl"}

// judgeStates adds a finding for each file whose state has changed since the states were last judged. sd is the side that
// has just answered.
func (j *Judge) judgeStates(sd *side, line int) {
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

// whoChanged returns the side that changed a file. sd is the side that has just answered. A side that was not started with
// the file may have it once the other side was sent a command that can pass it, because a peer may receive before it is
// asked to. The runner changes nothing without a command.
func whoChanged(file fact.File, sd *side) suspect {
	isRunner := func(sd *side) bool { return sd.peer.Name == scenario.RunnerName }
	for _, by := range []*side{sd, sd.other} {
		if file.Owner == by.role && !by.mayHaveSent || isRunner(by.other) && !isRunner(by) {
			return suspect{by, true}
		}
	}
	return suspect{sd, false}
}

// findChange adds a finding about a changed file.
func (j *Judge) findChange(by suspect, line int, format string, args ...any) {
	j.found = append(j.found, scenario.Finding{
		Check:     scenario.CheckFile,
		Peer:      by.peer.Name,
		Line:      line,
		Text:      fmt.Sprintf(format, args...),
		Own:       by.sure,
		Ambiguous: !by.sure,
	})
}

// judgeLeaks adds a finding for each descriptor that refers to a file of the case although the peer was not started with
// it and has not reported it. After the "end" command, any open descriptor for a file of the case is a leak. If the peer
// has a garbage collector, judgeLeaks first gives it time.
func (j *Judge) judgeLeaks(sd *side, f fact.Fact) Do {
	if f.Exited {
		return Do{}
	}
	if f.Unseen != "" {
		do := cannotLook(sd, f.Unseen)
		do.What = GoOn // the case has to be ended at both peers
		return do
	}
	var leaks []int
	for fd, d := range sd.open {
		if len(d.Files) == 0 {
			continue
		}
		if _, leaked := j.leakOf(sd, fd); leaked {
			leaks = append(leaks, fd)
		}
	}
	slices.Sort(leaks)
	if len(leaks) > 0 && sd.peer.Hello.GC {
		if sd.patience == 0 {
			sd.patience = f.Time + j.Timeout
		}
		if f.Time < sd.patience {
			return Do{What: LookAgain, Role: sd.role}
		}
	}
	sd.patience = 0
	what := "is open, and the peer did not report it"
	if sd.ended {
		what = "is still open after the end of the case"
	}
	for i, fd := range leaks {
		file, _ := j.leakOf(sd, fd)
		if i < maxListed {
			j.find(scenario.CheckLeak, sd, f.Step.Line, "%s, as %d, %s", file.Name, fd, what)
		}
		if file == fact.SenderPidfd {
			sd.leakedPidfds[fd] = true // it is not reported again in the next case
		} else {
			j.leaked = true
		}
	}
	for _, fd := range leaks {
		sd.leaks[fd] = true // nor after the end
	}
	if len(leaks) > maxListed {
		j.find(scenario.CheckLeak, sd, f.Step.Line, "%d more descriptors are open", len(leaks)-maxListed)
	}
	return Do{}
}

// leakOf returns the file of the case that a descriptor refers to, if the side should not have it open. Before the end of
// the case, duplicates of a side's own socket do not count as leaks.
func (j *Judge) leakOf(sd *side, fd int) (file fact.File, leaked bool) {
	// A descriptor for a later case refers to a file of this case only if the peer has made it do so. The runner looks at
	// them once, when the transcript has ended.
	if _, held := sd.held[fd]; held && !sd.spare[fd] || sd.leaks[fd] {
		return file, false
	}
	for _, m := range sd.open[fd].Files {
		switch {
		case m.File == fact.SenderPidfd && sd.leakedPidfds[fd]:
		case m.Socket && !sd.ended:
		case m.Socket && m.Owner == sd.role && sd.failed && fd == sd.socket: // the library closes it, now or later
		case m.Made && fd <= 2: // a runner's side can have made another descriptor of its own input
		case m.Sure:
			return m.File, true
		}
	}
	return file, false
}
