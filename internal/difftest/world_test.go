//go:build cgo && linux

package difftest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/scm-rights/scm/csrc"
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
	"golang.org/x/sys/unix"
)

type backend struct {
	name      string
	writeFD   func(sock int32, p []byte, fd int32) (int, error)
	readFD    func(sock int32, p []byte) (int, int32, error)
	send      func(sock int32, m *msg.Message, flags int) error
	recv      func(sock int32, m *msg.Message, flags int) error
	sendBatch func(sock int32, ms []msg.Message, flags int) (int, error)
	recvBatch func(sock int32, ms []msg.Message, flags int) (int, error)
}

var backends = [2]backend{
	{"csrc", csrc.WriteFD, csrc.ReadFD, csrc.Send, csrc.Recv, csrc.SendBatch, csrc.RecvBatch},
	{"pure", pure.WriteFD, pure.ReadFD, pure.Send, pure.Recv, pure.SendBatch, pure.RecvBatch},
}

// A world is where one backend does its steps: a thread that shares neither its
// table of open descriptors nor its working folder.
type world struct {
	backend
	*layout
	tid int
	budget

	table []held // what each number holds, as far as it was looked at
	ids   map[inode][]identity
	inode [len(layout{}.socks)]inode // of the sockets
	polls []unix.PollFd

	room []byte // of receives
	kept []byte // what outcomes point to

	work chan *sequence
	done chan []outcome
	err  chan error

	elsewhere chan struct{} // closed where the thread is not the first
}

// held is what a number holds. All files that are there from the beginning have
// an identity: the same one in both worlds.
type held struct {
	open     bool
	identity identity
	inode    inode // only where the identity is unknown
	inherits bool  // it is not close-on-exec
}

type inode struct{ dev, ino uint64 }

// identity is an index in the layout's files, behind them the sockets, or:
type identity int

const (
	unknown identity = -1 // the process's own, or another file, that may be known by its inode
	filling identity = -2 // not looked at: what the table was filled with
)

func (l *layout) socketIdentity(i int) identity { return identity(len(l.files) + i) }

// start makes a world whose working folder is dir. files are open for the
// layout's.
func start(b backend, l *layout, files []int, dir string, limited bool) (*world, error) {
	w := &world{backend: b, layout: l, budget: budget{limited: limited},
		work: make(chan *sequence), done: make(chan []outcome), err: make(chan error), elsewhere: make(chan struct{})}
	go w.live(files, dir)
	return w, <-w.err
}

// live is a thread's life. It ends with the thread, because it never unlocks it.
func (w *world) live(files []int, dir string) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The first thread does not end before the process.
		go w.live(files, dir)
		<-w.elsewhere
		runtime.UnlockOSThread()
		return
	}
	close(w.elsewhere)
	err := w.leave(files, dir)
	w.err <- err
	if err != nil {
		return
	}
	for s := range w.work {
		w.done <- w.run(s)
	}
	_ = w.closeFrom(w.first)
	close(w.done)
}

// leave is how a thread parts from the others.
func (w *world) leave(files []int, dir string) error {
	w.tid = unix.Gettid()
	if err := unix.Unshare(unix.CLONE_FILES | unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("chdir: %w", err)
	}
	// A socket is nobody's but a world's: the kernel counts what is being sent.
	own, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	files = append(slices.Clip(files), own)
	// By way of numbers above all others, because the files may be at each other's.
	for i, fd := range files {
		if err := unix.Dup3(fd, limit/2+i, unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("dup3: %w", err)
		}
	}
	for i := range files {
		if err := unix.Dup3(limit/2+i, w.file(i), unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("dup3: %w", err)
		}
	}
	// The runtime's own descriptors stay where it looks for them. What is closed
	// below the first free number is taken, so that the kernel hands out numbers
	// from there on, and so is everything from the end.
	for n := range limit {
		if n >= w.first && n < w.end {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil {
			if err := unix.Dup3(w.filler(), n, unix.O_CLOEXEC); err != nil {
				return fmt.Errorf("dup3: %w", err)
			}
		}
	}
	w.table = make([]held, w.end)
	w.polls = make([]unix.PollFd, w.end)
	w.ids = map[inode][]identity{}
	for i := range w.files {
		at, err := stat(w.file(i))
		if err != nil {
			return fmt.Errorf("fstat: %w", err)
		}
		w.ids[at] = append(w.ids[at], identity(i))
	}
	return nil
}

func stat(fd int) (inode, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return inode{}, err
	}
	return inode{uint64(st.Dev), st.Ino}, nil
}

// setUp closes what the last sequence left and makes the sockets of this one.
func (w *world) setUp(s *sequence) error {
	if err := w.closeFrom(w.first); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	w.kept, w.sent = w.kept[:0], 0
	for i := 0; i < len(w.socks); i += 2 {
		p, err := unix.Socketpair(unix.AF_UNIX, s.typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socketpair: %w", err)
		}
		if p[0] != w.socks[i] || p[1] != w.socks[i+1] {
			return fmt.Errorf("the sockets are %v, and not %v", p, w.socks[i:i+2])
		}
	}
	clear(w.table)
	for i, fd := range w.socks {
		at, err := stat(fd)
		if err != nil {
			return fmt.Errorf("fstat: %w", err)
		}
		delete(w.ids, w.inode[i])
		w.inode[i] = at
		w.ids[at] = []identity{w.socketIdentity(i)}
		name := string(rune('a' + i))
		if err := unix.Unlink(name); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unlink: %w", err)
		}
		if s.named {
			if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
				return fmt.Errorf("bind: %w", err)
			}
		}
	}
	return nil
}

// run does a sequence. There is an outcome for the set-up, one for each step,
// and one at the end, when every number is looked at again.
func (w *world) run(s *sequence) []outcome {
	outcomes := make([]outcome, 1, len(s.steps)+2)
	outcomes[0].err = w.setUp(s)
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

// change changes the circumstances.
func (w *world) change(s *step) error {
	switch s.op {
	case closeNumber:
		if s.sock < w.first {
			panic("it is not for a sequence to close that")
		}
		return unix.Close(s.sock)
	case closeAll:
		return w.closeFrom(w.socks[len(w.socks)-1] + 1)
	case shutdown, setOption:
		// The number of a socket may by now be that of a file that both worlds have.
		if _, ok := w.socket(s.sock); !ok {
			return unix.ENOTSOCK
		}
	}
	switch s.op {
	case shutdown:
		return unix.Shutdown(s.sock, s.value)
	case setOption:
		return unix.SetsockoptInt(s.sock, unix.SOL_SOCKET, s.option, s.value)
	case fill:
		return w.fill(s.value)
	}
	panic("no such change")
}

func (w *world) closeFrom(first int) error {
	return unix.CloseRange(uint(first), uint(w.end)-1, 0)
}

// fill leaves so many numbers free.
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

// margin is how many closed numbers in a row tell that there are no more open
// ones: the kernel takes the lowest that is free.
const margin = 32

// look looks at the table of open descriptors: what of it changed goes to o,
// with what poll says of each number.
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
		// To poll, O_PATH is not open. Behind the last that is, some are asked for.
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

// poll asks for the numbers below top, and reports whether the uppermost are all
// closed.
func (w *world) poll(top int) bool {
	const events = unix.POLLIN | unix.POLLOUT | unix.POLLPRI | unix.POLLRDHUP
	for n := range top {
		w.polls[n] = unix.PollFd{Fd: int32(n)}
		if n >= w.first {
			w.polls[n].Events = events
		}
	}
	if _, err := unix.Poll(w.polls[:top], 0); err != nil {
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

// kcmpFile is KCMP_FILE of linux/kcmp.h.
const kcmpFile = 0

// identify tells what a number holds.
func (w *world) identify(n int) held {
	h := held{open: true, identity: unknown}
	if n < firstFile {
		return h
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	h.inherits = err == nil && flags&unix.FD_CLOEXEC == 0
	if h.inode, err = stat(n); err != nil {
		return h
	}
	for _, id := range w.ids[h.inode] {
		if int(id) >= len(w.files) || same(w.tid, n, w.file(int(id))) {
			h.identity, h.inode = id, inode{}
			break
		}
	}
	return h
}

// same reports whether two numbers of a thread hold the same open file description,
// or, where kcmp is refused, may do so: they have one inode.
func same(tid, a, b int) bool {
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(tid), uintptr(tid), kcmpFile, uintptr(a), uintptr(b), 0)
	return errno != 0 || order == 0
}
