package interop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// changing are the calls of the runner's sides that change the state of a file: its offset,
// or its status flags.
var changing = []string{"read", "write", "splice", "sendfile", "lseek", "fcntl"}

// checkStates finds files that are not as they were, when the peer has just answered. What
// is compared is what is kept: a change after one look is found by the next one.
func (p *play) checkStates(role scenario.Role, line int) {
	before := p.states
	p.both, p.states = false, p.k.fileStates()
	said, _ := contract.ParseLine(p.said[role])
	if p.k.c.Scenario.Play == scenario.PlayKernel || p.k.c.Scenario.RunnerPlays(role) && slices.Contains(changing, said.Verb) {
		return // it was told to
	}
	for _, f := range p.k.files {
		was, known := before[f]
		is, ok := p.states[f]
		if !known || !ok || was == is {
			continue
		}
		by := p.changer(f, role)
		p.changed[f] = by
		if was.Flags != is.Flags {
			p.findChange(by, line, "%s has got the status flags %s in place of %s", f.Name, flagNames(is.Flags), flagNames(was.Flags))
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
	runner := func(r scenario.Role) bool { return p.k.c.Peer(r).Name == scenario.RunnerName }
	for _, r := range []scenario.Role{role, opposite(role)} {
		if f.Owner == r && !p.sends[r] || runner(opposite(r)) && !runner(r) {
			return changer{r, true}
		}
	}
	return changer{role, false}
}

func (p *play) findChange(by changer, line int, format string, args ...any) {
	f := scenario.Finding{Check: scenario.CheckFile, Peer: p.k.c.Peer(by.role).Name, Line: line, Text: fmt.Sprintf(format, args...)}
	f.Own, f.Ambiguous = by.sure, !by.sure
	p.add(f)
}

// findOwn finds what a peer did before its answer: no sender is to blame for that, unless
// it had something to do at the same time.
func (p *play) findOwn(role scenario.Role, line int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.add(scenario.Finding{Check: scenario.CheckFile, Peer: p.k.c.Peer(role).Name, Line: line, Text: text, Own: !p.both})
}

// tracked is what is to be at a number of a peer's until it is told to close it.
type tracked struct {
	witness.Identity
	known bool          // nobody could look before that is so
	file  *witness.File // whose open file description it is, if that is known
}

// isFile tells whether the number of a process is the file still. It asks kcmp(2), at once:
// Identify looks a name up, for hundreds of numbers in each case.
func (k tracked) isFile(pid, n int) (is bool, err error) {
	if k.file == nil || k.file.Own < 0 {
		return false, unix.EBADF
	}
	return raw.SameDescription(os.Getpid(), k.file.Own, pid, n)
}

// stays tells whether that is still what the number of a process is.
func (k tracked) stays(pid, n int) bool {
	if !k.known {
		return true
	}
	if is, err := k.isFile(pid, n); err == nil {
		return is
	}
	// Where kcmp(2) is refused, the file is all that there is to compare.
	id, err := witness.Identify(pid, n)
	return err != nil || id == k.Identity // nobody can look, or it is closed since
}

// checkHeld reports the peer that has just answered if it has closed what it was
// given or has reported, or has put another file at its number, and was not told to.
// What it was given for a later case counts too; the files there are looked at when
// this one has ended. It returns the open numbers that it saw, or nil.
func (p *play) checkHeld(role scenario.Role, line int, ended bool) (open []int) {
	sd := p.sides[role]
	if p.k.c.Scenario.RunnerPlays(role) {
		return nil // it is told to do such things
	}
	// A peer that is gone holds nothing; one that ends during the first look has
	// nothing at the second.
	lost := slices.Sorted(maps.Keys(sd.live))
	for range 2 {
		var err error
		if open, err = witness.OpenNumbers(sd.Pid); err != nil || len(open) == 0 {
			return nil
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
	for _, n := range slices.Sorted(maps.Keys(sd.live)) {
		if (ended || !sd.pool[n]) && !sd.live[n].stays(sd.Pid, n) {
			p.findOwn(role, line, "%d is another file now, and nobody asked for that", n)
			p.spent = true // who knows what else it has done that to
			sd.live[n] = tracked{}
		}
	}
	return open
}

// A leak is a number of a process that holds a file of the case, and should not.
type leak struct {
	held
	file *witness.File
}

// held is a number of a process.
type held struct{ pid, number int }

// checkLeaks reports numbers that hold a file of the case and that the peer
// neither was given nor reported. After its end, it may hold nothing. The numbers are those
// that are open now, or nil. The error is that the run was cut short while it waited for a
// garbage collector.
func (p *play) checkLeaks(role scenario.Role, line int, ended bool, open []int) error {
	sd := p.sides[role]
	if slices.Contains(p.blind, role) {
		return nil
	}
	leaks, err := p.leaks(role, ended, open)
	for deadline := time.Now().Add(p.timeout); len(leaks) > 0 && sd.Peer.Hello.GC && time.Now().Before(deadline); {
		if p.ctx.Err() != nil {
			return process.ErrCut
		}
		time.Sleep(time.Millisecond)
		leaks, err = p.leaks(role, ended, nil)
	}
	if witness.CannotLook(sd.Pid, err) {
		_ = p.unseen(role, err) // the case goes on: it is to be ended at both peers
		p.blind = append(p.blind, role)
		return nil
	}
	what := "is open, and the peer did not report it"
	if ended {
		what = "is still open after the end of the case"
	}
	for i, l := range leaks {
		p.reported[l.held] = true // and not again after the end
		if l.file == senderPidfd {
			sd.pidfds[l.number] = true // and not in the next case again
		} else {
			p.leaked[l.file] = true
		}
		if i < mostWrong {
			p.find(scenario.CheckLeak, role, line, "%s, as %d, %s", l.file.Name, l.number, what)
		}
	}
	if len(leaks) > mostWrong {
		p.find(scenario.CheckLeak, role, line, "%d more are open", len(leaks)-mostWrong)
	}
	return nil
}

// senderPidfd is the file that the kernel adds to a message for SO_PASSPIDFD.
var senderPidfd = &witness.File{FileSpec: scenario.FileSpec{Name: "the sender's pidfd"}}

// leaks are the files that the peer has a number for, and should not. Its own
// duplicates of the case's socket are its business until the end.
func (p *play) leaks(role scenario.Role, ended bool, open []int) (leaks []leak, err error) {
	sd := p.sides[role]
	if open == nil {
		if open, err = witness.OpenNumbers(sd.Pid); err != nil {
			return nil, err
		}
	}
	passesPidfds := p.k.c.Scenario.PassesPidfds(role)
	for _, n := range open {
		// A number that is a later case's can hold a file of this one meanwhile. There are
		// hundreds: they are looked at once.
		if sd.has(n) && (!sd.pool[n] || !p.over || ended) || p.reported[held{sd.Pid, n}] {
			continue
		}
		if is, err := sd.live[n].isFile(sd.Pid, n); err == nil && is {
			continue
		}
		id, err := witness.Identify(sd.Pid, n)
		if e := witness.UnlessGone(err); e != nil {
			return nil, e
		}
		if err != nil {
			continue // closed meanwhile
		}
		if passesPidfds && !sd.pidfds[n] && witness.IsPidfd(sd.Pid, n) {
			if info, err := witness.FDInfo(sd.Pid, n); err == nil && info.Pid == p.sides[opposite(role)].Pid {
				leaks = append(leaks, leak{held{sd.Pid, n}, senderPidfd})
				continue
			}
		}
		files := slices.Clone(p.k.byIdentity[id])
		if n > 2 { // a runner's side can have made another number of its own input
			files = append(files, p.made...)
		}
		if ended {
			files = append(files, p.k.ends...)
		}
		for _, f := range files {
			if holds, sure, err := p.witness.Holds(f, p.sides[f.Owner].Pid, sd.Pid, n); err == nil && holds && sure {
				leaks = append(leaks, leak{held{sd.Pid, n}, f})
				break
			}
		}
	}
	return leaks, nil
}

// unseen ends a case in which the runner cannot see what a peer has open.
func (p *play) unseen(role scenario.Role, err error) error {
	return p.notRun("nobody can tell what %s has open: %v", p.k.c.Peer(role).Name, err)
}

// ends are the kinds whose other end tells when nobody has this one open any more:
// not in another process either, nor in a message on its way.
var ends = []string{"pipe-r", "pipe-w", "pair"}

// patience is how long a file that should be free may take to be. The kernel frees
// what lies in queues nobody reads when it comes to it.
func (p *play) patience() time.Duration {
	for _, role := range roles {
		if _, known := p.holders.Load(p.k.c.Peer(role).Name); known {
			return min(4*shortestWait, p.timeout)
		}
	}
	return p.timeout
}

// checkHolders reports who has a file of the case open after its end, and no number
// of it. In a socket that is open still, which was found, there may be more. Of a pair
// whose two ends are files of the case the second is looked for when the first is free.
func (p *play) checkHolders() error {
	if len(p.leaked) > 0 {
		return nil
	}
	for _, role := range roles {
		p.k.end(role).Drop()
	}
	var files []*witness.File
	seconds := map[*witness.File]*witness.File{} // the other ends, where they are files of the case
	for _, f := range p.k.files {
		if !slices.Contains(ends, f.Kind) {
			continue
		}
		i := slices.IndexFunc(p.k.files, func(g *witness.File) bool { return g.Kind == "end:"+f.Name && g.Own >= 0 })
		if f.Other < 0 && i >= 0 {
			seconds[f] = p.k.files[i]
			f.Other, p.k.files[i].Own = p.k.files[i].Own, -1
		}
		if f.Other >= 0 {
			f.Drop()
			files = append(files, f)
		}
	}
	held, err := awaitFree(p.ctx, files, p.patience())
	if err == nil && len(held) == 0 && len(seconds) > 0 {
		files = nil
		for f, second := range seconds {
			if f.Reopen(second) == nil { // without a name in /proc, nobody tells of it
				files = append(files, second)
			}
		}
		held, err = awaitFree(p.ctx, files, p.patience())
	}
	switch {
	case errors.Is(err, process.ErrCut):
		return process.ErrCut
	case err != nil:
		return p.notRun("%v", err)
	case len(held) == 0:
		return nil
	}
	return p.reportHolder(held[0], 0, "%s is still open somewhere after the end of the case")
}

// reportHolder finds with whom the file is open, and ends the session with that: the sides end
// one after the other, until the file is free, those first that are known for it. The one
// with whom it is may not know: the other can have sent it to a socket that nobody reads.
func (p *play) reportHolder(f *witness.File, line int, format string) error {
	p.leaked[f] = true
	order := []scenario.Role{scenario.RoleB, scenario.RoleA}
	if _, known := p.holders.Load(p.k.c.A.Name); known {
		order = roles
	}
	finding := scenario.Finding{Check: scenario.CheckLeak, Peer: p.k.c.B.Name, Line: line, Text: fmt.Sprintf(format, f.Name), Ambiguous: true}
	for _, role := range order {
		_ = p.sides[role].Close() // it answered: how it ends now is nobody's fault
		if held, err := awaitFree(p.ctx, []*witness.File{f}, process.Grace); err == nil && len(held) == 0 {
			finding.Peer = p.k.c.Peer(role).Name
			break
		}
	}
	if p.ctx.Err() != nil {
		return process.ErrCut
	}
	p.add(finding)
	return errSessionOver
}

// awaitFree waits until nobody has the files open, and returns those that somebody
// still has then. The error is process.ErrCut if the run is cut short before.
func awaitFree(ctx context.Context, files []*witness.File, patience time.Duration) ([]*witness.File, error) {
	deadline := time.Now().Add(patience)
	for wait := 0; len(files) > 0; wait = int(nudgeEvery / time.Millisecond) {
		late := time.Now().After(deadline) // before it is asked: the runner may be stopped in between
		// The end is told whatever is asked for: POLLERR where this one is written to. Of a TCP
		// connection only one direction ends.
		ended := int16(unix.POLLHUP | unix.POLLERR)
		fds := []unix.PollFd{{Fd: int32(files[0].Other)}}
		if files[0].Kind == "tcp" {
			fds[0].Events, ended = unix.POLLRDHUP, ended|unix.POLLRDHUP
		}
		_, err := unix.Poll(fds, wait)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return files, err
		case fds[0].Revents&ended != 0:
			files = files[1:]
			continue
		case late:
			return files, nil
		case ctx.Err() != nil:
			return files, process.ErrCut
		}
		if err := nudge(); err != nil {
			return files, err
		}
	}
	return nil, nil
}

// flagNames are the status flags of an open file description, as open(2) names them.
func flagNames(flags int) string {
	names := ""
	for _, f := range []struct {
		flag int
		name string
	}{{unix.O_APPEND, "O_APPEND"}, {unix.O_ASYNC, "O_ASYNC"}, {unix.O_DIRECT, "O_DIRECT"}, {unix.O_NOATIME, "O_NOATIME"}, {unix.O_NONBLOCK, "O_NONBLOCK"}} {
		if flags&f.flag != 0 {
			names += "|" + f.name
			flags &^= f.flag
		}
	}
	if flags != 0 {
		names += fmt.Sprintf("|%#x", flags)
	}
	return strings.TrimPrefix(cmp.Or(names, "none"), "|")
}
