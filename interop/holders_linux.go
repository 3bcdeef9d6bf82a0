package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// ends are the kinds whose other end tells when nobody has this one open any more:
// not in another process either, nor in a message on its way.
var ends = []string{"pipe-r", "pipe-w", "pair"}

// holders are the peers that were blamed for a leak that no number shows. The runner
// waits less for them from then on.
type holders struct{ sync.Map }

func (h *holders) known(peer string) bool {
	_, ok := h.Load(peer)
	return ok
}

// learn takes in the findings of a case after assignBlame.
func (h *holders) learn(findings []scenario.Finding) {
	for _, f := range findings {
		if f.Check == scenario.CheckLeak && f.Ambiguous && f.Peer != scenario.RunnerName {
			h.Store(f.Peer, true)
		}
	}
}

// patience is how long a file that should be free may take to be. The kernel frees
// what lies in queues nobody reads when it comes to it.
func (p *play) patience() time.Duration {
	for _, role := range []scenario.Role{scenario.RoleA, scenario.RoleB} {
		if p.holders.known(p.k.c.Peer(role).Name) {
			return min(4*shortestWait, p.timeout)
		}
	}
	return p.timeout
}

// checkHolders reports who has a file of the case open after its end, and no number
// of it. In a socket that is open still, which was found, there may be more. Of a pair
// whose two ends are files of the case only the first is looked for: when that is free,
// there is nothing to tell of the second.
func (p *play) checkHolders() error {
	if len(p.leaked) > 0 {
		return nil
	}
	p.k.dropSock(scenario.RoleA)
	p.k.dropSock(scenario.RoleB)
	var files []*witness.File
	seconds := map[*witness.File]*witness.File{} // the other ends, where they are files of the case
	for _, f := range p.k.files {
		if !slices.Contains(ends, f.Kind) {
			continue
		}
		if i := slices.IndexFunc(p.k.files, func(g *witness.File) bool { return g.Kind == "end:"+f.Name && g.Own >= 0 }); f.Other < 0 && i >= 0 {
			seconds[f] = p.k.files[i]
			f.Other, p.k.files[i].Own = p.k.files[i].Own, -1
		}
		if f.Other >= 0 {
			f.Drop()
			files = append(files, f)
		}
	}
	held, err := awaitFree(p.ctx, files, p.patience())
	if err == nil && len(held) == 0 {
		files = nil
		for f, second := range seconds {
			switch err := f.Reopen(second); {
			case errors.Is(err, witness.ErrLocked):
				return p.notRun("%s: %v", second.Name, err)
			case err == nil: // without a name in /proc, nobody tells of it
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

// reportHolder finds with whom the file is open, and ends the session with that. The one
// with whom it is may not know: the other can have sent it to a socket that nobody reads.
func (p *play) reportHolder(f *witness.File, line int, format string) error {
	p.leaked[f] = true
	role, ok := p.holder(f)
	if !ok && p.ctx.Err() != nil {
		return process.ErrCut
	}
	p.add(scenario.Finding{Check: scenario.CheckLeak, Peer: p.k.c.Peer(role).Name, Line: line, Text: fmt.Sprintf(format, f.Name), Ambiguous: true})
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

// holder ends the sides one after the other, those first that are known for it, and
// tells with which of them the file is free. Neither takes along what is in a group of
// its own.
func (p *play) holder(f *witness.File) (role scenario.Role, ok bool) {
	roles := []scenario.Role{scenario.RoleB, scenario.RoleA}
	if p.holders.known(p.k.c.A.Name) && !p.holders.known(p.k.c.B.Name) {
		roles = []scenario.Role{scenario.RoleA, scenario.RoleB}
	}
	for _, role := range roles {
		if p.sides[role].Pid == os.Getpid() {
			continue // nobody can end it
		}
		_ = p.sides[role].Close() // it answered: how it ends now is nobody's fault
		if held, err := awaitFree(p.ctx, []*witness.File{f}, process.Grace); err == nil && len(held) == 0 {
			return role, true
		}
	}
	return scenario.RoleB, false
}
