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
	flags  int   // of O_APPEND and O_NONBLOCK
	offset int64 // -1 where there is none
}

// stateOf looks at the runner's own copy. There is none of a file that was dropped.
func stateOf(f *caseFile) (s state, ok bool) {
	if f.own < 0 {
		return s, false
	}
	flags, err := unix.FcntlInt(uintptr(f.own), unix.F_GETFL, 0)
	if err != nil {
		return s, false
	}
	s = state{flags: flags & (unix.O_APPEND | unix.O_NONBLOCK), offset: -1}
	if flags&unix.O_PATH == 0 {
		if offset, err := unix.Seek(f.own, 0, unix.SEEK_CUR); err == nil {
			s.offset = offset
		}
	}
	return s, true
}

// noteStates keeps how the files are, after something that may have changed them
// rightly.
func (p *play) noteStates() {
	p.both = false
	p.states = map[*caseFile]state{}
	for _, f := range p.k.files {
		if s, ok := stateOf(f); ok {
			p.states[f] = s
		}
	}
}

// judgeStates convicts the peer that has just answered if a file is not as it was.
// The runner's own sides are told to.
func (p *play) judgeStates(role Role, line int) {
	if !p.k.c.Scenario.runs(role) {
		for _, f := range p.k.files {
			was, known := p.states[f]
			is, ok := stateOf(f)
			if !known || !ok {
				continue
			}
			if was.flags != is.flags {
				p.findOwn(f, role, line, "%s has got the status flags %#o in place of %#o", f.Name, is.flags, was.flags)
			}
			if was.offset != is.offset {
				p.findOwn(f, role, line, "%s is at offset %d now, and was at %d", f.Name, is.offset, was.offset)
			}
		}
	}
	p.noteStates()
}

// findOwn finds what a peer did before its answer: no sender is to blame for that, unless
// it had something to do at the same time. It is kept who has changed a file.
func (p *play) findOwn(f *caseFile, role Role, line int, format string, args ...any) {
	if !p.both {
		p.changed[f] = role
	}
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
		p.findOwn(nil, role, line, "%d is closed, and nobody asked for that", n)
		p.spent = p.spent || sd.pool[n]
		delete(sd.live, n)
	}
	for _, n := range numbers {
		if is, ok := sd.live[n]; ok && (ended || !sd.pool[n]) && !is.stays(thread, n) {
			p.findOwn(nil, role, line, "%d is another file now, and nobody asked for that", n)
			p.spent = true // who knows what else it has done that to
			sd.live[n] = kept{}
		}
	}
}
