package interop

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// watchable are the kinds of file whose other end shows whether this one is still open
// anywhere, in a process or in a queued message.
var watchable = []string{"pipe-r", "pipe-w", "pair"}

// watch finds out whether a file of the case is still open after the end of the case although no
// descriptor of a peer refers to it. If the case uses both ends of a pipe or socket pair, it checks
// the second end once the first is no longer open.
func (cr *caseRun) watch(do judge.Watch) (any, error) {
	for _, socket := range cr.sockets {
		socket.Drop()
	}
	var files []*witness.File
	seconds := map[*witness.File]*witness.File{} // the other ends that are files of the case
	for _, file := range cr.named {
		if !slices.Contains(watchable, file.Kind) {
			continue
		}
		i := slices.IndexFunc(cr.named, func(end *witness.File) bool { return end.Kind == "end:"+file.Name && end.Own >= 0 })
		if file.Other < 0 && i >= 0 {
			second := cr.named[i]
			seconds[file] = second
			file.Other, second.Own = second.Own, -1
		}
		if file.Other >= 0 {
			file.Drop()
			files = append(files, file)
		}
	}
	held, queued, err := cr.awaitClosed(files, do.Failed)
	if err == nil && len(held) == 0 && len(seconds) > 0 {
		files = nil
		for file, second := range seconds {
			if file.Reopen(second) == nil { // a file without a name in /proc cannot be watched
				files = append(files, second)
			}
		}
		held, queued, err = cr.awaitClosed(files, do.Failed)
	}
	switch {
	case errors.Is(err, process.ErrCut):
		return nil, process.ErrCut
	case err != nil:
		return fact.Acted{Verdict: scenario.NotRun, Why: err.Error()}, nil
	case len(held) > 0 && !queued:
		holder, err := cr.findHolder(held[0])
		return fact.Acted{StillOpen: holder}, err
	}
	return fact.Acted{}, nil
}

// awaitClosed returns those of the files that are still open somewhere at the time limit. If
// queued is true, they may be in a message in a queue, because a library has not closed
// its socket after a failed call.
func (cr *caseRun) awaitClosed(files []*witness.File, failed []scenario.Role) (held []*witness.File, queued bool, err error) {
	mayHold := func() bool {
		return slices.ContainsFunc(failed, func(role scenario.Role) bool { return cr.sides[role].mayHoldSocket() })
	}
	before := mayHold()
	limit := cr.limit()
	if before {
		limit = min(expectedHang, limit)
	}
	held, err = awaitFree(cr.env.ctx, files, limit)
	if err != nil || len(held) == 0 || !before {
		return held, false, err
	}
	if mayHold() {
		return held, true, nil
	}
	held, err = awaitFree(cr.env.ctx, held, cr.limit()) // it was closed in the meantime
	return held, false, err
}

// findHolder finds out which process and which peer keep a file open. It ends the peers one after the other until the
// file is no longer open, which also ends the pair. It starts with a peer that has already left a file open in an
// earlier case.
func (cr *caseRun) findHolder(file *witness.File) (*fact.StillOpen, error) {
	order := []scenario.Role{scenario.RoleB, scenario.RoleA}
	if _, known := cr.env.holders.Load(cr.A.Name); known {
		order = roles
	}
	where := witness.Holder(file.FileID, cr.sides[scenario.RoleA].Pid, cr.sides[scenario.RoleB].Pid)
	var until scenario.Role // with whose end the file is closed
	for _, role := range order {
		_ = cr.sides[role].Close() // it has answered "end": how it ends now does not matter
		if held, err := awaitFree(cr.env.ctx, []*witness.File{file}, process.Grace); err == nil && len(held) == 0 {
			until = role
			break
		}
	}
	if cr.env.ctx.Err() != nil {
		return nil, process.ErrCut
	}
	return &fact.StillOpen{File: nameOf(file), Until: until, Where: cmp.Or(where, "somewhere")}, nil
}

// limit returns how long the runner waits until a file is no longer open. The kernel may take
// some time to free sockets in queues that are never read. It waits only briefly if
// one of the peers has already left a file open in an earlier case.
func (cr *caseRun) limit() time.Duration {
	for _, sd := range cr.sides {
		if _, known := cr.env.holders.Load(sd.Peer.Name); known {
			return min(200*time.Millisecond, cr.env.timeout)
		}
	}
	return cr.env.timeout
}

// nudgeEvery is how often awaitFree makes the kernel look for unreachable sockets.
const nudgeEvery = 50 * time.Millisecond

// awaitFree waits until the files are no longer open anywhere. It returns the files that are
// still open when the time limit expires. If the run is interrupted first, it returns
// process.ErrCut.
func awaitFree(ctx context.Context, files []*witness.File, limit time.Duration) ([]*witness.File, error) {
	deadline := time.Now().Add(limit)
	for wait := 0; len(files) > 0; wait = int(nudgeEvery / time.Millisecond) {
		late := time.Now().After(deadline) // before the poll: the runner may be stopped in between
		// Poll always reports POLLHUP and POLLERR, even if they were not requested. At the writing
		// end of a pipe it reports POLLERR once the reading end is closed. For TCP, POLLRDHUP is
		// needed because closing one socket ends only one direction of the connection.
		ended := int16(unix.POLLHUP | unix.POLLERR)
		fds := []unix.PollFd{{Fd: int32(files[0].Other)}}
		if files[0].Kind == "tcp" {
			fds[0].Events = unix.POLLRDHUP
			ended |= unix.POLLRDHUP
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
		if err := collectSockets(); err != nil {
			return files, err
		}
	}
	return nil, nil
}

// collectSockets makes the kernel free sockets that are referenced only from each other's queues.
// The kernel looks for such unreachable sockets whenever a socket is closed. A socket that is
// closed during such a search is not freed until another socket is closed.
func collectSockets() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = raw.Send(pair[0], [][]byte{{0}}, pair[1:], unix.MSG_DONTWAIT)
	return errors.Join(err, unix.Close(pair[0]), unix.Close(pair[1]))
}
