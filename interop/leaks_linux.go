package interop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A leak is a number of a process, or of a thread with a table of its own, that holds
// a file of the case, and should not.
type leak struct {
	held
	file *caseFile
}

// held is a number of a process.
type held struct{ pid, number int }

// judgeLeaks convicts numbers that hold a file of the case and that the peer
// neither was given nor reported. After its end, it may hold nothing. The error is that
// the run was cut short while it waited for a garbage collector.
func (p *play) judgeLeaks(role Role, line int, ended bool) error {
	deadline := time.Now().Add(p.timeout)
	for {
		leaks, err := p.leaks(role, ended)
		switch {
		case err != nil:
			_ = p.unseen(role, err) // the case goes on: it is to be ended at both peers
			return nil
		case len(leaks) == 0:
			return nil
		case p.sides[role].peer.Hello.GC && p.ctx.Err() != nil:
			return errCut
		case p.sides[role].peer.Hello.GC && time.Now().Before(deadline):
			time.Sleep(time.Millisecond)
			continue
		}
		for i, l := range leaks {
			// One conviction a number; after the end it is not convicted again.
			p.convicted[l.held] = true
			if l.file == senderPidfd {
				p.spent = true // it would be found in the next case again
			} else {
				p.leaked[l.file] = true
			}
			switch {
			case i >= mostWrong:
			case ended:
				p.find(CheckLeak, role, line, "%s, as %d, is still open after the end of the case", l.file.Name, l.number)
			default:
				p.find(CheckLeak, role, line, "%s, as %d, is open, and nobody was told", l.file.Name, l.number)
			}
		}
		if len(leaks) > mostWrong {
			p.find(CheckLeak, role, line, "%d more are open", len(leaks)-mostWrong)
		}
		return nil
	}
}

// senderPidfd is the file that the kernel adds to a message for SO_PASSPIDFD.
var senderPidfd = &caseFile{FileSpec: FileSpec{Name: "the sender's pidfd"}}

// leaks are the files that the peer has a number for, and should not. Its own
// duplicates of the case's socket are its business until the end. A peer that is
// gone holds nothing.
func (p *play) leaks(role Role, ended bool) (leaks []leak, err error) {
	sd := p.sides[role]
	tables, err := tables(sd.pid)
	switch {
	case cannotLook(sd.pid, err):
		return nil, err
	case err != nil:
		return nil, nil
	}
	for _, table := range tables {
		more, err := p.leaksIn(table, role, ended)
		if err = unlessGone(err); err != nil {
			return nil, err
		}
		leaks = append(leaks, more...)
	}
	return leaks, nil
}

// leaksIn looks at one table.
func (p *play) leaksIn(table int, role Role, ended bool) (leaks []leak, err error) {
	sd := p.sides[role]
	sender := 0 // whose pidfd the receiver may hold
	if p.k.c.Scenario.passesPidfds(role) && sd.pid != os.Getpid() {
		sender = p.sides[RoleA+RoleB-role].pid
	}
	numbers, err := openNumbers(table)
	if err != nil {
		return nil, err
	}
	known := map[int]bool{}
	if sd.pid == os.Getpid() {
		known = map[int]bool{0: true, 1: true, 2: true}
		for _, n := range p.owned(sd) {
			known[n] = true
		}
	}
	for _, n := range numbers {
		// A number that is a later case's can hold a file of this one meanwhile. There are
		// hundreds: they are looked at once.
		if known[n] || sd.has(n) && (!sd.pool[n] || !p.over || ended) || p.convicted[held{table, n}] {
			continue
		}
		id, err := identify(table, n)
		if err != nil {
			if err = unlessGone(err); err != nil {
				return nil, err
			}
			continue // closed meanwhile
		}
		if sender != 0 {
			if info, err := fdInfo(table, n); err == nil && info.pid == sender {
				leaks = append(leaks, leak{held{table, n}, senderPidfd})
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
			holds, sure, err := p.witness.holds(f, p.sides[f.Owner].thread(), table, n)
			if err == nil && holds && sure {
				leaks = append(leaks, leak{held{table, n}, f})
				break
			}
		}
	}
	return leaks, nil
}

// unseen ends a case in which the runner cannot see what a peer has open.
func (p *play) unseen(role Role, err error) error {
	return p.notRun("nobody can tell what %s has open: %v", p.k.c.peer(role).Name, err)
}

// cannotLook tells whether an error is that the runner may not look at a process, which
// may be one that is not dumpable, and not that there is nothing to see. Where /proc is
// mounted with hidepid, such a process seems to be none.
func cannotLook(pid int, err error) bool {
	if unlessGone(err) != nil {
		return true
	}
	if err == nil {
		return false
	}
	_, err = os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err != nil && unix.Kill(pid, 0) == nil
}

// unlessGone is an error that is not the end of what was looked at.
func unlessGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
