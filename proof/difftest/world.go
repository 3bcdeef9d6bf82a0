//go:build linux

package difftest

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/proof/must"
	"golang.org/x/sys/unix"
)

// A Backend is csrc or internal/pure.
type Backend struct {
	Name    string
	WriteFD func(sock int32, p []byte, fd int32) (int, error)
	ReadFD  func(sock int32, p []byte) (int, int32, error)
	Send    func(sock int32, m *msg.Message, flags int) error
	Recv    func(sock int32, m *msg.Message, flags int) error
}

// A world runs the steps of one backend, on the thread that made it.
type world struct {
	Backend
	*layout
	mark    func(n int) // called with the number of a call before the call, and with 0 after it
	calls   int         // made so far
	tid     int
	limited bool // whether ETOOMANYREFS applies to the user
	sent    int  // descriptors sent in the sequence, if limited

	table []held // the file of each descriptor, as last seen
	ids   map[procfs.FileID][]identity
	inode [len(layout{}.socks)]procfs.FileID // of each socket
	polls []unix.PollFd

	room []byte // memory for receives
	kept []byte // memory that outcomes refer to
}

// held describes the file of a descriptor. Each file of the layout has an identity, which is the same in both
// worlds.
type held struct {
	open     bool
	identity identity
	inode    procfs.FileID // only if the identity is unknown
	inherits bool          // whether it is not close-on-exec
}

// An identity is an index in the files of the layout, followed by the sockets, or one of these:
type identity int

const (
	unknown identity = -1 // a file of the process itself, or any other file, which only its inode identifies
	filling identity = -2 // the file that fills the table
)

func (l *layout) socketIdentity(i int) identity { return identity(len(l.files) + i) }

// newWorld makes the world of the calling thread, which must be locked to its goroutine, and fills the thread's
// descriptor table. The sockets get addresses in the thread's working folder.
func newWorld(b Backend, at *place) (*world, error) {
	w := &world{Backend: b, layout: at.layout, mark: func(int) {}, tid: unix.Gettid(), limited: at.limited}
	return w, must.Try(func() { w.fillTable(at.files) })
}

func (w *world) fillTable(files []int) {
	// Each world needs a socket of its own, because the kernel counts how often a socket is in flight.
	own, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must.OK(os.NewSyscallError("socket", err))
	files = append(slices.Clip(files), own)
	// First duplicate all files to high descriptors, so that no file overwrites another one.
	for i, fd := range files {
		duplicate(fd, limit/2+i)
	}
	for i := range files {
		duplicate(limit/2+i, w.file(i))
	}
	// The runtime's descriptors stay open. All others below the first free one are filled, so that the kernel
	// allocates descriptors from there on. All descriptors from the end on are filled too.
	for n := range limit {
		if n >= w.first && n < w.end {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil {
			duplicate(w.filler(), n)
		}
	}
	w.table = make([]held, w.end)
	w.polls = make([]unix.PollFd, w.end)
	w.ids = map[procfs.FileID][]identity{}
	for i := range w.files {
		at := must.Get(procfs.IdentifyOwn(w.file(i)))
		w.ids[at] = append(w.ids[at], identity(i))
	}
}

func duplicate(fd, to int) { must.OK(os.NewSyscallError("dup3", unix.Dup3(fd, to, unix.O_CLOEXEC))) }

// setUp closes the descriptors that the last sequence left, and makes the sockets of this one.
func (w *world) setUp(s *sequence) {
	must.OK(os.NewSyscallError("close_range", w.closeFrom(w.first)))
	w.kept, w.sent = w.kept[:0], 0
	for i := 0; i < len(w.socks); i += 2 {
		p, err := unix.Socketpair(unix.AF_UNIX, s.typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		must.OK(os.NewSyscallError("socketpair", err))
		if p[0] != w.socks[i] || p[1] != w.socks[i+1] {
			must.Failf("the sockets are %v, and not %v", p, w.socks[i:i+2])
		}
	}
	clear(w.table)
	for i, fd := range w.socks {
		at := must.Get(procfs.IdentifyOwn(fd))
		delete(w.ids, w.inode[i])
		w.inode[i] = at
		w.ids[at] = []identity{w.socketIdentity(i)}
		name := string(rune('a' + i))
		if err := unix.Unlink(name); err != nil && !errors.Is(err, unix.ENOENT) {
			must.Failf("unlink: %w", err)
		}
		if s.named {
			must.OK(os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrUnix{Name: name})))
		}
	}
}

// run runs a sequence. It returns the outcomes of the set-up, of each step and of the end, when it looks at
// every descriptor again.
func (w *world) run(s *sequence) []outcome {
	outcomes := make([]outcome, 1, len(s.steps)+2)
	outcomes[0].err = must.Try(func() { w.setUp(s) })
	w.look(&outcomes[0])
	for i := range s.steps {
		outcomes = append(outcomes, w.step(&s.steps[i], i))
	}
	var end outcome
	for n := range w.table {
		if w.table[n].identity != filling {
			w.table[n].open = false
		}
	}
	w.look(&end)
	return append(outcomes, end)
}

func (w *world) step(s *step, nth int) outcome {
	var o outcome
	if s.op.isCall() {
		w.call(s, nth, &o)
	} else {
		o.err = w.change(s)
	}
	w.look(&o)
	return o
}

// change makes a step that is not a call of the backend.
func (w *world) change(s *step) error {
	switch s.op {
	case closeFD:
		if s.sock < w.first {
			panic("a sequence must not close that")
		}
		return unix.Close(s.sock)
	case closeAll:
		return w.closeFrom(w.socks[len(w.socks)-1] + 1)
	case shutdown, setOption, bind:
		// The descriptor of a socket may now refer to a file that both worlds share.
		if _, ok := w.socket(s.sock); !ok {
			return unix.ENOTSOCK
		}
	}
	switch s.op {
	case shutdown:
		return unix.Shutdown(s.sock, s.value)
	case setOption:
		return unix.SetsockoptInt(s.sock, unix.SOL_SOCKET, s.option, s.value)
	case bind:
		name := string(s.msg.name[2:])
		_ = unix.Unlink(name) // left by an earlier sequence
		if name[0] == 0 {
			name = "@" + name[1:] // as x/sys names it
		}
		return unix.Bind(s.sock, &unix.SockaddrUnix{Name: name})
	case fill:
		return w.fill(s.value)
	}
	panic("unknown operation")
}

func (w *world) closeFrom(first int) error {
	return unix.CloseRange(uint(first), uint(w.end)-1, 0)
}

// fill fills the descriptor table, except for the given number of descriptors.
func (w *world) fill(free int) error {
	var fresh []int
	for {
		n, err := unix.FcntlInt(uintptr(w.filler()), unix.F_DUPFD_CLOEXEC, w.first)
		if err != nil {
			break
		}
		w.table[n] = held{open: true, identity: filling}
		fresh = append(fresh, n)
	}
	slices.Sort(fresh)
	for _, n := range fresh[max(0, len(fresh)-free):] {
		w.table[n] = held{}
		if err := unix.Close(n); err != nil {
			return err
		}
	}
	return nil
}

// margin is the number of closed descriptors in a row after which no open ones follow: the kernel allocates
// the lowest one.
const margin = 32

// look stores the changes of the descriptor table in o, and the events that poll reports for each descriptor.
func (w *world) look(o *outcome) {
	top := w.first
	for n := len(w.table) - 1; n >= top; n-- {
		if w.table[n].open {
			top = n + 1
		}
	}
	for {
		top = min(top+margin, w.end)
		if w.poll(top) {
			break
		}
	}
	last := top
	for last > w.first && w.polls[last-1].Revents&unix.POLLNVAL != 0 {
		last--
	}
	o.ready = make([]int16, 0, last-w.first)
	for n, closed := 0, 0; n < top; n++ {
		ready := w.polls[n].Revents
		if n >= w.first && n < last {
			o.ready = append(o.ready, ready)
		}
		// poll reports a descriptor opened with O_PATH as closed. fcntl does not.
		open := ready&unix.POLLNVAL == 0
		if !open && closed < margin/2 {
			_, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
			open = err == nil
		}
		if n >= last {
			closed++
		}
		if open {
			closed = 0
		}
		was := w.table[n]
		switch {
		case open && !was.open:
			w.table[n] = w.identify(n)
			o.opened = append(o.opened, opening{n, w.table[n]})
		case !open && was.open:
			w.table[n] = held{}
			o.closed = append(o.closed, n)
		}
	}
}

// poll polls the descriptors below top, and reports whether the highest ones are all closed.
func (w *world) poll(top int) bool {
	const events = unix.POLLIN | unix.POLLOUT | unix.POLLPRI | unix.POLLRDHUP
	for n := range top {
		w.polls[n] = unix.PollFd{Fd: int32(n)}
		if n >= w.first {
			w.polls[n].Events = events
		}
	}
	_, err := unix.Poll(w.polls[:top], 0)
	for err == unix.EINTR {
		_, err = unix.Poll(w.polls[:top], 0)
	}
	if err != nil {
		panic(fmt.Sprint("poll: ", err))
	}
	if top == w.end {
		return true
	}
	for _, p := range w.polls[top-margin : top] {
		if p.Revents&unix.POLLNVAL == 0 {
			return false
		}
	}
	return true
}

// identify finds out which file a descriptor refers to.
func (w *world) identify(n int) held {
	h := held{open: true, identity: unknown}
	if n < firstFile {
		return h
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	h.inherits = err == nil && flags&unix.FD_CLOEXEC == 0
	if h.inode, err = procfs.IdentifyOwn(n); err != nil {
		return h
	}
	for _, id := range w.ids[h.inode] {
		if int(id) >= len(w.files) || same(w.tid, n, w.file(int(id))) {
			h.identity, h.inode = id, procfs.FileID{}
			break
		}
	}
	return h
}

// same reports whether two descriptors of a thread with the same inode refer to the same open file
// description. Without the permission for kcmp it assumes that they do.
func same(tid, a, b int) bool {
	same, err := procfs.Kcmp(tid, a, tid, b)
	return same || err != nil
}
