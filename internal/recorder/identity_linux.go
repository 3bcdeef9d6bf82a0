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
		s.pid(int32(s.streams[i][0].Process.PID), false)
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

// pid tells which process the number is by the order in which they appear, or,
// of one that is not in the record, by the number. Those that mean something else
// (0, groups) are themselves.
func (s *side) pid(pid int32, numbers bool) string {
	n, ok := s.pids[pid]
	switch {
	case pid <= 0:
		n = int(pid)
	case !ok && numbers:
		return fmt.Sprintf("process number %d", pid)
	case !ok:
		n = len(s.pids) + 1
		s.pids[pid] = n
	}
	return fmt.Sprintf("process %d", n)
}

// fd tells which descriptor the number is in a call: by the order of their first
// appearance in the process, and by what it is. A negative number is itself.
func (s *side) fd(c *Call, fd int32, atExit bool) string {
	if fd < 0 {
		return strconv.Itoa(int(fd))
	}
	f := c.file(fd, atExit)
	switch {
	case f == nil:
		return "not looked up"
	case !f.Open():
		return "not open"
	}
	key := strconv.Itoa(int(fd)) + " " + f.Name
	n, ok := s.fds[key]
	if !ok {
		n = len(s.fds) + 1
		s.fds[key] = n
	}
	text := fmt.Sprintf("descriptor %d of the process, %s", n, f.Kind)
	if f.Access != "" {
		text += ", " + f.Access
		if f.AtExit && f.CloseOnExec {
			text += ", close-on-exec"
		}
	}
	return text
}
