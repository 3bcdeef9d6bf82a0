package programs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A Marker is a file that has no path. A process can have it open only if it has received it.
//
// The kernel identifies the file as long as the marker is open. After Close, the identity may belong to another file.
type Marker struct {
	fd, path int // path is opened with O_PATH
	id       procfs.FileID
	name     string // by which the kernel identifies the file in an io_uring
}

// NewMarker creates a marker.
func NewMarker() (*Marker, error) {
	name := "scm-marker-" + rand.Text()[:13] // older kernels show only 31 bytes of memfd:scm-marker-…
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	m := &Marker{fd: fd, path: -1, name: name}
	if m.id, err = procfs.IdentifyOwn(fd); err == nil {
		m.path, err = unix.Open(procfs.FDPath(procfs.Self, fd), unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("marker: %w", err)
	}
	return m, nil
}

// Close closes the marker. Holdings must not be called with it afterwards.
func (m *Marker) Close() {
	witness.CloseFD(&m.fd)
	witness.CloseFD(&m.path)
}

// A Holding describes the descriptors of a marker that are open in one descriptor table of a process, or the fixed
// files of an io_uring.
type Holding struct {
	PID     int
	TID     int    // of a thread that uses the table
	Program string // the base name of what it executes
	FDs     int    // how many
	ring    *procfs.Ring
}

// Holdings returns for each marker the processes of the server that have it open. It returns an error if the kernel
// does not let this process look at the server.
func (s *Server) Holdings(markers ...*Marker) (map[*Marker][]Holding, error) {
	byID := map[procfs.FileID]*Marker{}
	for _, m := range markers {
		byID[m.id] = m
	}
	pids, err := s.Processes()
	if err != nil {
		return nil, err
	}
	held := map[*Marker][]Holding{}
	var found []procfs.Ring
	for _, pid := range pids {
		tables, err := procfs.Tables(pid)
		if err := inspectError(pid, err); err != nil {
			return nil, err
		}
		hold := func(m *Marker, tid, fds int, ring *procfs.Ring) {
			if m != nil && fds > 0 {
				held[m] = append(held[m], Holding{pid, tid, ProgramOf(pid), fds, ring})
			}
		}
		for _, table := range tables {
			fds := map[*Marker]int{}
			for _, id := range table.Files {
				fds[byID[id]]++
			}
			for m, n := range fds {
				hold(m, table.TID, n, nil)
			}
			rings, err := table.Rings(found...)
			if err := inspectError(pid, err); err != nil {
				return nil, err
			}
			found = append(found, rings...)
			for _, ring := range rings {
				for _, m := range markers {
					hold(m, table.TID, strings.Count(strings.Join(ring.Files, "\n"), m.name), &ring)
				}
			}
		}
	}
	return held, nil
}

// Count returns the number of descriptors.
func Count(list []Holding) (n int) {
	for _, h := range list {
		n += h.FDs
	}
	return n
}

// WaitUntilClosed waits until the server has closed the markers, or has closed none of their descriptors for the given
// time. Then it returns those that are still open, as Holdings does. If whole is set, it waits also if the server has
// closed all of them, because it may not have received all messages yet. It calls nudge at the beginning and in the
// middle, to make the server run.
func (s *Server) WaitUntilClosed(
	ctx context.Context, markers []*Marker, wait time.Duration, whole bool, nudge func(),
) (map[*Marker][]Holding, error) {
	nudge()
	halfway := time.Now().Add(wait / 2)
	fewest, since := -1, time.Now()
	for {
		idle := s.Idle() // before the look, because a server that runs may be about to receive a message
		now := time.Now()
		held, err := s.Holdings(markers...)
		if err != nil {
			return nil, err
		}
		n := Count(slices.Concat(slices.Collect(maps.Values(held))...))
		if n == 0 && idle && !whole || s.Ended() != nil {
			return held, nil
		}
		if fewest < 0 || n < fewest {
			fewest, since = n, now
		}
		if now.Sub(since) >= wait {
			return held, nil
		}
		if now.After(halfway) {
			nudge()
			halfway = now.Add(time.Hour)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(min(50*time.Millisecond, wait/10+time.Millisecond)):
		}
	}
}

// inspectError returns nil if err only means that the process has ended.
func inspectError(pid int, err error) error {
	if !witness.MayNotInspect(pid, err) {
		return nil
	}
	if errors.Is(err, unix.EBUSY) {
		const text = "cannot look at the fixed files of an io_uring of process %d (%s), because it is always busy, " +
			"or the kernel does not show them: %w"
		return fmt.Errorf(text, pid, ProgramOf(pid), err)
	}
	why := cmp.Or(procfs.Refusal(pid), "the system forbids it")
	return fmt.Errorf("cannot look at the descriptors of process %d (%s): %s; run scm as root: %w",
		pid, ProgramOf(pid), why, err)
}
