package interop

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// A state is what all who have an open file description share, and nobody who
// passes it is to change.
type state struct {
	flags  int   // of changeable
	offset int64 // -1 where there is none
}

// changeable are the status flags that fcntl(2) can change.
const changeable = unix.O_APPEND | unix.O_ASYNC | unix.O_DIRECT | unix.O_NOATIME | unix.O_NONBLOCK

// stateOf looks at the runner's own copy. There is none of a file that was dropped.
func stateOf(f *caseFile) (s state, ok bool) {
	if f.own < 0 {
		return s, false
	}
	flags, err := unix.FcntlInt(uintptr(f.own), unix.F_GETFL, 0)
	if err != nil {
		return s, false
	}
	s = state{flags: flags & changeable, offset: -1}
	if flags&unix.O_PATH == 0 {
		if offset, err := unix.Seek(f.own, 0, unix.SEEK_CUR); err == nil {
			s.offset = offset
		}
	}
	return s, true
}

// look tells how the files are now.
func (k *kit) look() map[*caseFile]state {
	states := map[*caseFile]state{}
	for _, f := range k.files {
		if s, ok := stateOf(f); ok {
			states[f] = s
		}
	}
	return states
}

// noteStates keeps how the files are, after something that may have changed them
// rightly.
func (p *play) noteStates() {
	p.both = false
	p.states = p.k.look()
}

// judgeStates finds files that are not as they were, when the peer has just answered.
// The runner's own sides are told to change some.
func (p *play) judgeStates(role Role, line int) {
	if !p.k.c.Scenario.runs(role) {
		p.compareStates(role, line)
	}
	p.noteStates()
}

func (p *play) compareStates(role Role, line int) {
	for _, f := range p.k.files {
		was, known := p.states[f]
		is, ok := stateOf(f)
		if !known || !ok || was == is {
			continue
		}
		by := p.changer(f, role)
		p.changed[f] = by
		if was.flags != is.flags {
			p.findChange(by, line, "%s has got the status flags %#o in place of %#o", f.Name, is.flags, was.flags)
		}
		if was.offset != is.offset {
			p.findChange(by, line, "%s is at offset %d now, and was at %d", f.Name, is.offset, was.offset)
		}
	}
}

// A changer is who has changed a file, and whether nobody else could have.
type changer struct {
	role Role
	sure bool
}

// changer tells who has changed a file when the one in this role has just answered. The
// side that was not given the file has it only after a receive, and the runner changes
// nothing that it is not told to.
func (p *play) changer(f *caseFile, role Role) changer {
	other := RoleA + RoleB - role
	mine := p.k.c.peer(role).Name == RunnerName
	theirs := p.k.c.peer(other).Name == RunnerName
	switch {
	case f.Owner == role && !p.receives[other], theirs && !mine:
		return changer{role, true}
	case f.Owner == other && !p.receives[role], mine && !theirs:
		return changer{other, true}
	}
	return changer{role, false}
}

func (p *play) findChange(by changer, line int, format string, args ...any) {
	p.add(Finding{Check: CheckFile, Peer: p.k.c.peer(by.role).Name, Line: line, Text: fmt.Sprintf(format, args...), own: by.sure, either: !by.sure})
}

// findOwn finds what a peer did before its answer: no sender is to blame for that, unless
// it had something to do at the same time.
func (p *play) findOwn(role Role, line int, format string, args ...any) {
	p.add(Finding{Check: CheckFile, Peer: p.k.c.peer(role).Name, Line: line, Text: fmt.Sprintf(format, args...), own: !p.both})
}

// kept is what is to be at a number of a peer's until it is told to close it.
type kept struct {
	identity
	known bool      // nobody could look before that is so
	file  *caseFile // whose open file description it is, if that is known
}

// stays tells whether that is still what the number is in a thread.
func (k kept) stays(thread, n int) bool {
	if !k.known {
		return true
	}
	id, err := identify(thread, n)
	if err != nil || id != k.identity {
		return err != nil // nobody can look, or it is closed since
	}
	if k.file == nil || k.file.own < 0 {
		return true
	}
	// Where kcmp(2) is refused, the file is all that there is to compare.
	same, err := raw.SameDescription(os.Getpid(), k.file.own, thread, n)
	return same || err != nil
}

// judgeHeld convicts the peer that has just answered if it has closed what it was
// given or has reported, or has put another file at its number, and was not told to.
// What it was given for a later case counts too; the files there are looked at when
// this one has ended.
func (p *play) judgeHeld(role Role, line int, ended bool) {
	sd := p.sides[role]
	if p.k.c.Scenario.runs(role) || sd.pid == os.Getpid() {
		return // they are told to do such things; this process has other reasons to close a number
	}
	thread := sd.thread()
	numbers := slices.Sorted(maps.Keys(sd.live))
	// A peer that is gone holds nothing; one that ends during the first look has
	// nothing at the second.
	lost := slices.Clone(numbers)
	for range 2 {
		open, err := openNumbers(thread)
		if err != nil || len(open) == 0 {
			return
		}
		has := map[int]bool{}
		for _, n := range open {
			has[n] = true
		}
		if lost = slices.DeleteFunc(lost, func(n int) bool { return has[n] }); len(lost) == 0 {
			break
		}
	}
	for _, n := range lost {
		p.findOwn(role, line, "%d is closed, and nobody asked for that", n)
		p.spent = p.spent || sd.pool[n]
		delete(sd.live, n)
	}
	for _, n := range numbers {
		if is, ok := sd.live[n]; ok && (ended || !sd.pool[n]) && !is.stays(thread, n) {
			p.findOwn(role, line, "%d is another file now, and nobody asked for that", n)
			p.spent = true // who knows what else it has done that to
			sd.live[n] = kept{}
		}
	}
}
