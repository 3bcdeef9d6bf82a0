package recorder

import (
	"fmt"
	"slices"
	"strconv"
)

// A side is one of the two records that are compared: what its descriptors and
// its processes are called there.
type side struct {
	streams [][]*Call
	pids    map[int32]int
	fds     map[string]int // those of the stream under comparison
}

// newSide sorts the calls by process: in the order of the tree, and only those
// that made any, so that a shell around a command makes no difference.
func newSide(calls []Call) *side {
	s := &side{pids: map[int32]int{}}
	byProcess := map[*Process]int{}
	for i := range calls {
		c := &calls[i]
		at, ok := byProcess[c.Process]
		if !ok {
			at = len(s.streams)
			byProcess[c.Process] = at
			s.streams = append(s.streams, nil)
		}
		s.streams[at] = append(s.streams[at], c)
	}
	slices.SortStableFunc(s.streams, func(a, b []*Call) int {
		return slices.Compare(a[0].Process.path(), b[0].Process.path())
	})
	for i := range s.streams {
		s.pid(int32(s.streams[i][0].Process.PID))
		s.streams[i] = withoutRestarted(s.streams[i])
	}
	return s
}

// withoutRestarted puts a call that was made again, because a signal had
// interrupted it, in the place of its first attempt: the program made it once.
func withoutRestarted(calls []*Call) []*Call {
	var kept []*Call
	again := map[*Call]bool{}
	for i, c := range calls {
		if again[c] {
			continue
		}
		for j := i + 1; j < len(calls) && interrupted(c.Errno); j++ {
			d := calls[j]
			if d.Thread != c.Thread {
				continue
			}
			if d.Nr != c.Nr || d.Args != c.Args {
				break // the program was told EINTR
			}
			again[d] = true
			c = d
		}
		kept = append(kept, c)
	}
	return kept
}

// pid is the number of a process by the order in which they appear; those that
// mean something else (0, groups) are themselves.
func (s *side) pid(pid int32) int {
	if pid <= 0 {
		return int(pid)
	}
	n, ok := s.pids[pid]
	if !ok {
		n = len(s.pids) + 1
		s.pids[pid] = n
	}
	return n
}

// An identity is what a descriptor is, whatever its number.
type identity struct {
	order int // of its first appearance in the process; a negative number is itself
	kind  string
}

func (id identity) String() string {
	if id.order < 0 {
		return strconv.Itoa(id.order)
	}
	if id.order == 0 {
		return id.kind
	}
	return fmt.Sprintf("descriptor %d of the process, %s", id.order, id.kind)
}

// fd tells which one the number is in a call.
func (s *side) fd(c *Call, fd int32, atExit bool) identity {
	if fd < 0 {
		return identity{order: int(fd)}
	}
	f := c.file(fd, atExit)
	switch {
	case f == nil:
		return identity{kind: "not looked up"}
	case !f.Open():
		return identity{kind: "not open"}
	}
	key := strconv.Itoa(int(fd)) + " " + f.Name
	n, ok := s.fds[key]
	if !ok {
		n = len(s.fds) + 1
		s.fds[key] = n
	}
	id := identity{n, f.Kind}
	if f.Access != "" {
		id.kind += ", " + f.Access
		if f.AtExit && f.CloseOnExec {
			id.kind += ", close-on-exec"
		}
	}
	return id
}
