package recorder

import (
	"fmt"
	"slices"
	"strconv"
)

// A side is one of the two records that are compared: what its descriptors and
// its processes are called there.
type side struct {
	streams [][]head
	load    func(*head) *Call
	pids    map[int32]int
	fds     map[string]int // those of the stream under comparison
}

// newSide sorts the calls by process: in the order of the tree, and only those
// that made any, so that a shell around a command makes no difference.
func newSide(calls []head, load func(*head) *Call) *side {
	s := &side{load: load, pids: map[int32]int{}}
	byProcess := map[*Process]int{}
	for _, c := range calls {
		at, ok := byProcess[c.process]
		if !ok {
			at = len(s.streams)
			byProcess[c.process] = at
			s.streams = append(s.streams, nil)
		}
		s.streams[at] = append(s.streams[at], c)
	}
	slices.SortStableFunc(s.streams, func(a, b []head) int {
		return slices.Compare(a[0].process.path(), b[0].process.path())
	})
	for i := range s.streams {
		s.pid(int32(s.streams[i][0].process.PID), false)
		s.streams[i] = withoutRestarted(s.streams[i])
	}
	return s
}

// call is a call of a stream, and nil behind the end.
func (s *side) call(stream []head, i int) *Call {
	if i >= len(stream) {
		return nil
	}
	return s.load(&stream[i])
}

// withoutRestarted puts a call that was made again, because a signal had
// interrupted it, in the place of its first attempt: the program made it once.
func withoutRestarted(calls []head) []head {
	var kept []head
	again := map[int]bool{}
	for i, c := range calls {
		if again[i] {
			continue
		}
		for j := i + 1; j < len(calls) && interrupted(c.errno); j++ {
			d := calls[j]
			if d.thread != c.thread {
				continue
			}
			if d.nr != c.nr || d.args != c.args {
				break // the program was told EINTR
			}
			again[j] = true
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
