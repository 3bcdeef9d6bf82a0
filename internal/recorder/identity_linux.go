package recorder

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A side is one of the two records that are compared: what its descriptors and
// its processes are called there.
type side struct {
	streams [][]*Call
	pids    map[int32]int
	names   map[autobound]int
	fds     map[int32]map[opened]int // those of the stream under comparison, by number and file
	met     int                      // how many there are
	left    map[uint64]string        // what the kernel has left of the stream's timeouts, by address
}

// opened is a file as far as it can be distinguished from others on its number: the kernel does not
// give the inode of a socket, a pipe or a memfd again. Other names and inodes change, or are
// given again, at the will of other processes.
type opened struct{ kind, inode string }

// autobound is a sockaddr_un with a name of the form that the kernel chooses (unix(7),
// Autobind feature): a 0 byte and five hexadecimal digits.
type autobound [8]byte

func isAutobound(address []byte) bool {
	return len(address) == len(autobound{}) && order.Uint16(address) == unix.AF_UNIX && address[2] == 0 &&
		len(bytes.Trim(address[3:], "0123456789abcdef")) == 0
}

// newSide sorts the calls by process: in the order of the tree, and only those
// that made any, so that a shell around a command makes no difference.
func newSide(calls []Call) *side {
	s := &side{pids: map[int32]int{}, names: map[autobound]int{}}
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
	place := places(byProcess)
	slices.SortFunc(s.streams, func(a, b []*Call) int { return place[a[0].Process] - place[b[0].Process] })
	for i := range s.streams {
		s.pid(int32(s.streams[i][0].Process.PID), false)
		s.streams[i] = withoutRestarted(s.streams[i])
	}
	return s
}

// places numbers the processes, and those above them, in the order of the tree: a process
// before its children, and these in the order of their births.
func places(processes map[*Process]int) map[*Process]int {
	children, seen := map[*Process][]*Process{}, map[*Process]bool{}
	for p := range processes {
		for ; p != nil && !seen[p]; p = p.parent {
			seen[p] = true
			children[p.parent] = append(children[p.parent], p)
		}
	}
	place := map[*Process]int{}
	for next := []*Process{nil}; len(next) > 0; {
		p := next[len(next)-1]
		next = next[:len(next)-1]
		place[p] = len(place)
		slices.SortFunc(children[p], func(a, b *Process) int { return b.birth - a.birth })
		next = append(next, children[p]...)
	}
	return place
}

// withoutRestarted puts a call that was made again, because a signal had
// interrupted it, in the place of its first attempt: the program made it once.
func withoutRestarted(calls []*Call) []*Call {
	var kept []*Call
	again := map[int]bool{}
	for i, c := range calls {
		if again[i] {
			continue
		}
		for j := i + 1; j < len(calls) && interrupted(c.Errno); j++ {
			d := calls[j]
			if d.Thread != c.Thread {
				continue
			}
			if d.Nr != c.Nr || d.Args != c.Args {
				break // the program got EINTR
			}
			again[j] = true
			c = d
		}
		kept = append(kept, c)
	}
	return kept
}

// pid names the process by the order in which they appear, or,
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

// name numbers the names that the kernel chose by the order in which
// they appear.
func (s *side) name(a autobound) string {
	if s.names[a] == 0 {
		s.names[a] = len(s.names) + 1
	}
	return fmt.Sprintf("name %d of those that the kernel chose", s.names[a])
}

// begin forgets the descriptors of the stream before.
func (s *side) begin() { s.fds, s.met, s.left = map[int32]map[opened]int{}, 0, map[uint64]string{} }

// fd says which descriptor the number is in a call: by the order of their first
// appearance in the process, and by what it is. A negative number is itself. One that
// the call has installed is new and ends what the number meant before: which numbers
// are free depends on files that are in no call.
func (s *side) fd(c *Call, fd int32, atExit bool) string {
	if fd < 0 {
		return strconv.Itoa(int(fd))
	}
	if atExit {
		delete(s.fds, fd)
	}
	f := c.file(fd, atExit)
	switch {
	case f == nil || f.Errno != 0:
		return fmt.Sprintf("number %d, not looked up", fd)
	case !f.Open():
		return "not open"
	}
	file, access := opened{f.Kind, f.inode}, f.Access
	if strings.HasPrefix(f.Name, "socket:[") || strings.HasPrefix(f.Name, "pipe:[") {
		file.inode = f.Name
	}
	if strings.HasPrefix(f.Name, "socket:[") {
		access = "read-write" // of each socket, and not looked up for that of the call
	}
	n, ok := s.fds[fd][file]
	if !ok {
		s.met++
		n = s.met
		if s.fds[fd] == nil {
			s.fds[fd] = map[opened]int{}
		}
		s.fds[fd][file] = n
	}
	text := fmt.Sprintf("descriptor %d of the process, %s", n, f.Kind)
	if access != "" {
		text += ", " + access
		if f.AtExit && f.CloseOnExec {
			text += ", close-on-exec"
		}
	}
	return text
}
