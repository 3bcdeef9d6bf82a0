package interop

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// This file exchanges commands and answers with one side: it returns the answer, or the fact that it is missing. It
// waits less if a hang is expected, or if the other side's answer ends the case.

// A side is a peer process and its role in a running case. It is created for that case only.
type side struct {
	*peerProcess
	role     scenario.Role
	byRunner bool  // the scenario gives the runner this role, so it may be sent any call
	other    *side // the side opposite
	socket   *witness.File
	owned    []*witness.File  // the files of the case that the peer was started with, its socket first
	before   []int            // its pidfds from earlier cases, or nil if messages do not pass the sender's pidfd
	signals  []syscall.Signal // sent by the runner, except those that no longer have an effect
	ownLimit *unix.Rlimit     // its RLIMIT_NOFILE before the scenario changed it, or nil
}

// newSide returns a side. It forgets the descriptors of earlier cases.
func newSide(p *peerProcess, files *caseFiles, role scenario.Role) *side {
	sd := &side{
		peerProcess: p,
		role:        role,
		byRunner:    files.Scenario.RunByRunner(role),
		socket:      files.socket(role),
		owned:       files.ownedBy(role),
	}
	if files.Scenario.PassesPidfds(role) {
		open, _ := procfs.OpenFDs(p.Pid) // an error means that the runner may not look, then or later
		sd.before = slices.DeleteFunc(open, func(fd int) bool { return !witness.IsPidfd(p.Pid, fd) })
	}
	for fd, was := range p.cache {
		was.Descriptor = fact.Descriptor{Side: role, FD: fd}
		if !was.later {
			delete(p.cache, fd)
		}
	}
	for i, d := range sd.given() {
		p.cache[d.FD] = &cachedFD{Descriptor: d, known: true, id: sd.owned[i].FileID, file: sd.owned[i]}
	}
	return sd
}

// given returns the descriptors of the case that the peer was started with, its socket first.
func (sd *side) given() (list []fact.Descriptor) {
	for _, file := range sd.owned {
		match := fact.Match{File: nameOf(file), Sure: true}
		list = append(list, fact.Descriptor{Side: sd.role, FD: file.FD, Given: true, Files: []fact.Match{match}})
	}
	return list
}

// noAnswer returns the fact that the side has given no answer.
func (sd *side) noAnswer(err error, waited time.Duration) fact.Missing {
	f := fact.Missing{Side: sd.role, Kind: fact.Gone, Waited: waited.Round(100 * time.Millisecond)}
	var broken *process.ContractError
	switch {
	case errors.Is(err, process.ErrLong):
		f.Kind, f.Why = fact.Unsent, err.Error()
	case errors.As(err, &broken):
		f.Kind, f.Why = fact.Broken, err.Error()
	case errors.Is(err, process.ErrHang):
		f.Kind, f.Why = fact.Silent, sd.Explain(err).Error()
		if slices.Contains(sd.signals, unix.SIGSTOP) {
			f.Signal = "stopped by the runner's own SIGSTOP"
		}
	case slices.ContainsFunc(sd.signals, sd.EndedBy):
		f.Signal = fmt.Sprintf("ended by the runner's own signal: %v", sd.Close())
	default:
		f.Why = sd.Explain(err).Error()
	}
	return f
}

// expectedHang is how long the runner waits for an answer that it expects not to arrive, from a peer that
// sleeps. shortestWait is the interval at which it checks whether an answer can still arrive.
const (
	expectedHang = 300 * time.Millisecond
	shortestWait = 50 * time.Millisecond
)

// awaitLine waits for a line from the side, and leaves it unread. If asleep returns true, nothing will wake
// the side once it sleeps, and awaitLine waits no longer. It asks asleep each time that it has waited.
func (sd *side) awaitLine(env *environment, wait time.Duration, asleep func() bool) (text string, err error) {
	for deadline := time.Now().Add(env.timeout); ; wait = shortestWait {
		text, err = sd.PeekAnswer(env.ctx, min(wait, env.timeout))
		if !errors.Is(err, process.ErrHang) || time.Now().After(deadline) {
			return text, err
		}
		ends := asleep() // before IsIdle: until it answers, the other side can wake this one
		if idle, _ := sd.IsIdle(); ends && idle {
			return sd.PeekAnswer(env.ctx, shortestWait) // it may have answered before it slept
		}
	}
}

// mayHoldSocket reports whether the descriptor of the side's socket may still refer to the socket.
func (sd *side) mayHoldSocket() bool {
	id, err := procfs.Identify(sd.Pid, sd.socket.FD)
	return err == nil && id == sd.socket.FileID || witness.MayNotInspect(sd.Pid, err)
}

// restoreLimit restores the peer's original limit of open files, if the scenario changed it.
func (sd *side) restoreLimit() {
	if sd.ownLimit != nil {
		_ = unix.Prlimit(sd.Pid, unix.RLIMIT_NOFILE, sd.ownLimit, nil) // fails only if the peer has ended
		sd.ownLimit = nil
	}
}
