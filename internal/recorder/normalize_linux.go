package recorder

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A normalizer replaces process IDs, descriptors and addresses in one record with names that are
// the same in every run.
type normalizer struct {
	pids     map[int32]int
	names    map[autobound]int
	fds      map[int32]map[openFile]int // the descriptors of the current process, by file
	received map[receivedAt]int         // those that its calls have received
	seenFDs  int                        // how many there are in fds
	timeouts map[uint64]string          // what the kernel has stored in the timeouts of the current process, by address

	byConnection bool // a connection is compared, not a process
}

// An openFile identifies the file that a descriptor refers to, as far as possible.
type openFile struct{ kind, identity string }

// A receivedAt identifies a received descriptor, also after the program has moved it to another value.
type receivedAt struct {
	seq  int // of the call
	fd   int32
	file openFile // another file can look like the received one to the recorder
}

// autobound is a sockaddr_un with a name that the kernel has chosen (unix(7), autobind feature): a
// 0 byte and five hexadecimal digits.
type autobound [8]byte

func isAutobound(address []byte) bool {
	return len(address) == len(autobound{}) && order.Uint16(address) == unix.AF_UNIX && address[2] == 0 &&
		len(bytes.Trim(address[3:], "0123456789abcdef")) == 0
}

// newNormalizer returns a normalizer for a record. It numbers the processes that make calls before
// any others.
func newNormalizer(streams [][]*Call) *normalizer {
	n := &normalizer{pids: map[int32]int{}, names: map[autobound]int{}}
	for _, stream := range streams {
		if len(stream) > 0 {
			n.process(int32(stream[0].Process.PID), false)
		}
	}
	return n
}

// next forgets the descriptors and timeouts of the previous process or connection. The processes of a connection are
// those that appear in its calls.
func (n *normalizer) next(byConnection bool) {
	if n.byConnection = byConnection; byConnection {
		n.pids = map[int32]int{}
	}
	n.fds, n.seenFDs, n.timeouts = map[int32]map[openFile]int{}, 0, map[uint64]string{}
	n.received = map[receivedAt]int{}
}

// process returns "process 1" for the first process ID, and so on. If exact is true, it does this
// only for processes that make calls, and returns the IDs of other processes unchanged. It also
// returns values that are not process IDs (0 and process groups) unchanged.
func (n *normalizer) process(pid int32, exact bool) string {
	i, ok := n.pids[pid]
	switch {
	case pid <= 0:
		i = int(pid)
	case !ok && exact:
		return fmt.Sprintf("process ID %d", pid)
	case !ok:
		i = len(n.pids) + 1
		n.pids[pid] = i
	}
	return fmt.Sprintf("process %d", i)
}

// name counts the names that the kernel has chosen, in the order in which they first appear.
func (n *normalizer) name(a autobound) string {
	if n.names[a] == 0 {
		n.names[a] = len(n.names) + 1
	}
	return fmt.Sprintf("name %d chosen by the kernel", n.names[a])
}

// descriptor counts the descriptors of a process in the order in which they first appear in its calls,
// and describes the file. It returns negative values unchanged. A descriptor whose file has changed counts as new. So
// does one that the call has received, even if the same value was in use before. It keeps its count after the program
// has moved it. The value that the kernel assigns also depends on files that no recorded call uses.
func (n *normalizer) descriptor(c *Call, fd int32, atExit bool) string {
	if fd < 0 {
		return strconv.Itoa(int(fd))
	}
	if atExit {
		delete(n.fds, fd)
	}
	f := c.file(fd, atExit)
	switch {
	case f == nil || f.Errno != 0:
		return fmt.Sprintf("fd %d, not looked up", fd)
	case !f.Open():
		return "not open"
	}
	file, access := openFile{f.Kind, f.identity}, f.Access
	if strings.HasPrefix(f.Name, "socket:[") {
		access = "read-write" // of every socket; it is not looked up for the socket of the call
	}
	text := f.Kind
	if access != "" {
		text += ", " + access
	}
	i, ok := n.fds[fd][file]
	from := receivedAt{c.seq, fd, file}
	if f.from != nil {
		from = receivedAt{f.from.seq, f.from.FD, file}
		if known := n.received[from]; known > 0 {
			i, ok = known, true
		}
	}
	if !ok && !atExit && n.byConnection && !f.unique() {
		return text // which descriptor the file gets depends on what else is open
	}
	if !ok {
		n.seenFDs++
		i = n.seenFDs
		if n.fds[fd] == nil {
			n.fds[fd] = map[openFile]int{}
		}
		n.fds[fd][file] = i
	}
	if atExit || f.from != nil {
		n.received[from] = i
	}
	return fmt.Sprintf("descriptor %d of the process, %s", i, text)
}

// streams groups calls by process, in the order of the process tree, or by connection, in the order of the first
// message. It returns those with the given numbers or, without numbers, all. Processes without calls are not numbered,
// so that it does not matter whether a shell starts the command.
func (o Comparison) streams(calls []Call, numbers []int) (streams [][]*Call) {
	of := map[any][]*Call{}
	for i := range calls {
		c := &calls[i]
		group := any(c.Process)
		if o.ByConnection {
			if f := c.file(c.socket(), false); f != nil && f.Open() {
				group = f.Name
			}
		}
		of[group] = append(of[group], c)
	}
	for group, stream := range of {
		slices.SortStableFunc(stream, func(a, b *Call) int { return a.seq - b.seq })
		of[group] = withoutRestarted(stream)
	}
	passed := func(c *Call) int { // a message is sent before it is received
		if c.receives() {
			return c.end
		}
		return c.seq
	}
	all := slices.SortedFunc(maps.Values(of), func(a, b []*Call) int {
		if o.ByConnection {
			return passed(a[0]) - passed(b[0])
		}
		return cmp.Or(slices.Compare(a[0].Process.path(), b[0].Process.path()), a[0].seq-b[0].seq)
	})
	if numbers == nil {
		return all
	}
	for _, n := range numbers {
		streams = append(streams, at(all, n-1))
	}
	return streams
}

// number returns the number in A of the process or connection whose calls are stream i.
func (o Comparison) number(i int) int { return cmp.Or(at(o.Processes[0], i), i+1) }

// Count returns how many calls of A and of B are compared. The kernel makes some of them again after a signal.
func (o Comparison) Count(a, b []Call) (inA, inB int) {
	return len(slices.Concat(o.streams(a, o.Processes[0])...)), len(slices.Concat(o.streams(b, o.Processes[1])...))
}

// withoutRestarted replaces each call that a signal interrupted with the call that restarted it,
// because the program made only one call.
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
			if d.Nr != c.Nr || d.Registers != c.Registers {
				break // the program got EINTR
			}
			again[j] = true
			c = d
		}
		kept = append(kept, c)
	}
	return kept
}
