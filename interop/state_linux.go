package interop

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// fileStates returns the states that the files have now.
func (k *kit) fileStates() map[*witness.File]witness.State {
	states := map[*witness.File]witness.State{}
	for _, f := range k.files {
		if s, ok := witness.StateOf(f); ok {
			states[f] = s
		}
	}
	return states
}

// noteStates keeps how the files are, after something that may have changed them
// rightly, and returns what was kept before.
func (p *play) noteStates() (before map[*witness.File]witness.State) {
	before = p.states
	p.both, p.states = false, p.k.fileStates()
	return before
}

// checkStates finds files that are not as they were, when the peer has just answered. What
// is compared is what is kept: a change after one look is found by the next one.
func (p *play) checkStates(role scenario.Role, line int) {
	before := p.noteStates()
	if p.k.c.Scenario.Play != scenario.PlayKernel {
		p.compareStates(before, role, line)
	}
}

// changing are the calls of the runner's sides that change the state of a file: its offset,
// or its status flags.
var changing = []string{"read", "write", "splice", "sendfile", "lseek", "fcntl"}

// allowChange notes anew how the files are that the runner's side has just been told to
// change. It was told their numbers.
func (p *play) allowChange(role scenario.Role) {
	l, _ := contract.ParseLine(p.said[role])
	if !p.k.c.Scenario.RunnerPlays(role) || !slices.Contains(changing, l.Verb) {
		return
	}
	for _, number := range slices.Concat(l.List("fd"), l.List("fds")) {
		n, _ := strconv.Atoi(number)
		id, err := witness.Identify(p.sides[role].Thread(), n)
		for _, f := range p.k.byIdentity[id] {
			was, known := p.states[f]
			is, ok := witness.StateOf(f)
			switch {
			case err != nil || !known || !ok:
				continue
			case l.Verb == "fcntl":
				was.Flags = is.Flags
			default:
				was.Offset = is.Offset
			}
			p.states[f] = was
		}
	}
}

func (p *play) compareStates(before map[*witness.File]witness.State, role scenario.Role, line int) {
	for _, f := range p.k.files {
		was, known := before[f]
		is, ok := p.states[f]
		if !known || !ok || was == is {
			continue
		}
		by := p.changer(f, role)
		p.changed[f] = by
		if was.Flags != is.Flags {
			p.findChange(by, line, "%s has got the status flags %#o in place of %#o", f.Name, is.Flags, was.Flags)
		}
		if was.Offset != is.Offset {
			p.findChange(by, line, "%s is at offset %d now, and was at %d", f.Name, is.Offset, was.Offset)
		}
	}
}

// A changer is who has changed a file, and whether nobody else could have.
type changer struct {
	role scenario.Role
	sure bool
}

// changer tells who has changed a file when the one in this role has just answered. The
// side that was not given the file can have it as soon as the other was told to send: it
// may receive before it is told to. The runner changes nothing that it is not told to.
func (p *play) changer(f *witness.File, role scenario.Role) changer {
	other := scenario.RoleA + scenario.RoleB - role
	mine := p.k.c.Peer(role).Name == scenario.RunnerName
	theirs := p.k.c.Peer(other).Name == scenario.RunnerName
	switch {
	case f.Owner == role && !p.sends[role], theirs && !mine:
		return changer{role, true}
	case f.Owner == other && !p.sends[other], mine && !theirs:
		return changer{other, true}
	}
	return changer{role, false}
}

func (p *play) findChange(by changer, line int, format string, args ...any) {
	p.add(scenario.Finding{Check: scenario.CheckFile, Peer: p.k.c.Peer(by.role).Name, Line: line, Text: fmt.Sprintf(format, args...), Own: by.sure, Ambiguous: !by.sure})
}

// findOwn finds what a peer did before its answer: no sender is to blame for that, unless
// it had something to do at the same time.
func (p *play) findOwn(role scenario.Role, line int, format string, args ...any) {
	p.add(scenario.Finding{Check: scenario.CheckFile, Peer: p.k.c.Peer(role).Name, Line: line, Text: fmt.Sprintf(format, args...), Own: !p.both})
}

// tracked is what is to be at a number of a peer's until it is told to close it.
type tracked struct {
	witness.Identity
	known bool          // nobody could look before that is so
	file  *witness.File // whose open file description it is, if that is known
}

// isFile tells whether the number in a thread is the file still. It asks kcmp(2), at once: Identify looks a name up, for
// hundreds of numbers in each case.
func (k tracked) isFile(thread, n int) (is bool, err error) {
	if k.file == nil || k.file.Own < 0 {
		return false, unix.EBADF
	}
	return raw.SameDescription(os.Getpid(), k.file.Own, thread, n)
}

// stays tells whether that is still what the number is in a thread.
func (k tracked) stays(thread, n int) bool {
	if !k.known {
		return true
	}
	if is, err := k.isFile(thread, n); err == nil {
		return is
	}
	// Where kcmp(2) is refused, the file is all that there is to compare.
	id, err := witness.Identify(thread, n)
	return err != nil || id == k.Identity // nobody can look, or it is closed since
}

// checkHeld reports the peer that has just answered if it has closed what it was
// given or has reported, or has put another file at its number, and was not told to.
// What it was given for a later case counts too; the files there are looked at when
// this one has ended.
func (p *play) checkHeld(role scenario.Role, line int, ended bool) {
	sd := p.sides[role]
	if p.k.c.Scenario.RunnerPlays(role) || sd.Pid == os.Getpid() {
		return // they are told to do such things; this process has other reasons to close a number
	}
	thread := sd.Thread()
	numbers := slices.Sorted(maps.Keys(sd.live))
	// A peer that is gone holds nothing; one that ends during the first look has
	// nothing at the second.
	lost := slices.Clone(numbers)
	for range 2 {
		open, err := witness.OpenNumbers(thread)
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
			sd.live[n] = tracked{}
		}
	}
}
