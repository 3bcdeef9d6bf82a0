package interop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// A leak is a number of a process, or of a thread with a table of its own, that holds
// a file of the case, and should not.
type leak struct {
	held
	file *witness.File
}

// held is a number of a process.
type held struct{ pid, number int }

// checkLeaks reports numbers that hold a file of the case and that the peer
// neither was given nor reported. After its end, it may hold nothing. The error is that
// the run was cut short while it waited for a garbage collector.
func (p *play) checkLeaks(role scenario.Role, line int, ended bool) error {
	if slices.Contains(p.blind, role) {
		return nil
	}
	deadline := time.Now().Add(p.timeout)
	for {
		leaks, err := p.leaks(role, ended)
		switch {
		case errors.Is(err, process.ErrCut):
			return err
		case err != nil:
			_ = p.unseen(role, err) // the case goes on: it is to be ended at both peers
			p.blind = append(p.blind, role)
			return nil
		case len(leaks) == 0:
			return nil
		case p.sides[role].Peer.Hello.GC && p.ctx.Err() != nil:
			return process.ErrCut
		case p.sides[role].Peer.Hello.GC && time.Now().Before(deadline):
			time.Sleep(time.Millisecond)
			continue
		}
		for i, l := range leaks {
			// Each number is reported once, and not again after the end.
			p.reported[l.held] = true
			if l.file == senderPidfd {
				p.spent = true // it would be found in the next case again
			} else {
				p.leaked[l.file] = true
			}
			switch {
			case i >= mostWrong:
			case ended:
				p.find(scenario.CheckLeak, role, line, "%s, as %d, is still open after the end of the case", l.file.Name, l.number)
			default:
				p.find(scenario.CheckLeak, role, line, "%s, as %d, is open, and nobody was told", l.file.Name, l.number)
			}
		}
		if len(leaks) > mostWrong {
			p.find(scenario.CheckLeak, role, line, "%d more are open", len(leaks)-mostWrong)
		}
		return nil
	}
}

// senderPidfd is the file that the kernel adds to a message for SO_PASSPIDFD.
var senderPidfd = &witness.File{FileSpec: scenario.FileSpec{Name: "the sender's pidfd"}}

// leaks are the files that the peer has a number for, and should not. Its own
// duplicates of the case's socket are its business until the end. A peer that is
// gone holds nothing.
func (p *play) leaks(role scenario.Role, ended bool) (leaks []leak, err error) {
	sd := p.sides[role]
	tables, err := witness.Tables(sd.Pid)
	switch {
	case witness.CannotLook(sd.Pid, err):
		return nil, err
	case err != nil:
		return nil, nil
	}
	looks := 0
	for _, table := range tables {
		more, err := p.leaksIn(table, role, ended, &looks)
		if err = witness.UnlessGone(err); err != nil {
			return nil, err
		}
		leaks = append(leaks, more...)
	}
	return leaks, nil
}

// mostLooked is how many numbers of a peer are looked at, at once: many times what any peer
// has that does its work, with a table for each of its threads.
const mostLooked = 100_000

// leaksIn looks at one table, and adds to looks how many numbers it has looked at.
func (p *play) leaksIn(table int, role scenario.Role, ended bool, looks *int) (leaks []leak, err error) {
	sd := p.sides[role]
	sender := 0 // whose pidfd the receiver may hold
	if p.k.c.Scenario.PassesPidfds(role) && sd.Pid != os.Getpid() {
		sender = p.sides[scenario.RoleA+scenario.RoleB-role].Pid
	}
	numbers, err := witness.OpenNumbers(table)
	if err != nil {
		return nil, err
	}
	owner := map[scenario.Role]func() int{} // asked for each number that could be one of its files
	for role, sd := range p.sides {
		owner[role] = sync.OnceValue(sd.Thread)
	}
	known := map[int]bool{}
	if sd.Pid == os.Getpid() {
		known = map[int]bool{0: true, 1: true, 2: true}
		for _, n := range p.owned(sd) {
			known[n] = true
		}
	}
	for _, n := range numbers {
		// A number that is a later case's can hold a file of this one meanwhile. There are
		// hundreds: they are looked at once.
		if known[n] || sd.has(n) && (!sd.pool[n] || !p.over || ended) || p.reported[held{table, n}] {
			continue
		}
		if is, err := sd.live[n].isFile(table, n); err == nil && is {
			continue
		}
		switch *looks++; {
		case p.ctx.Err() != nil:
			return nil, process.ErrCut
		case *looks > mostLooked:
			return nil, fmt.Errorf("more than %d numbers", mostLooked)
		}
		id, err := witness.Identify(table, n)
		if err != nil {
			if err = witness.UnlessGone(err); err != nil {
				return nil, err
			}
			continue // closed meanwhile
		}
		if sender != 0 && witness.IsPidfd(table, n) { // of an epoll, the peer could hold the answer up
			if info, err := witness.FDInfo(table, n); err == nil && info.Pid == sender {
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
			holds, sure, err := p.witness.Holds(f, owner[f.Owner](), table, n)
			if err == nil && holds && sure {
				leaks = append(leaks, leak{held{table, n}, f})
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
