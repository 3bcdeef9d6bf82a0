//go:build cgo && linux

package difftest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// A pair has a world for each backend.
type pair struct {
	*layout
	worlds [2]*world
	dir    string
}

// limit is the RLIMIT_NOFILE of the process. It allows two messages of 253 descriptors in flight in each
// world.
const limit = 704

// hang is the time after which a sequence is considered to hang. No call in it blocks.
const hang = 30 * time.Second

// newPair makes two worlds that are the same.
func newPair() (*pair, error) {
	dir, err := os.MkdirTemp("", "difftest")
	if err != nil {
		return nil, err
	}
	p := &pair{layout: newLayout(), dir: dir}
	if err := p.begin(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pair) begin() error {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return err
	}
	r.Cur = limit
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return err
	}
	if err := wakePoller(); err != nil {
		return err
	}
	files, err := p.open()
	defer func() {
		for _, fd := range files {
			_ = unix.Close(fd)
		}
	}()
	if err != nil {
		return err
	}
	limited, err := isLimited(files[0])
	if err != nil {
		return err
	}
	for i, b := range backends {
		dir := filepath.Join(p.dir, b.name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if p.worlds[i], err = start(b, p.layout, files, dir, limited); err != nil {
			return err
		}
	}
	return nil
}

// open opens the files that both worlds pass, in the order of the layout. One of them is opened twice.
func (p *pair) open() (files []int, err error) {
	add := func(fd int, failed error) {
		if failed == nil {
			files = append(files, fd)
		}
		err = errors.Join(err, failed)
	}
	path := filepath.Join(p.dir, "file")
	add(unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0))
	var ends [2]int
	failed := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	add(ends[0], failed)
	add(ends[1], failed)
	add(unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600))
	add(unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0))
	add(unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0))
	add(unix.Open(p.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	add(unix.MemfdCreate("difftest", unix.MFD_CLOEXEC))
	add(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))
	add(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))
	add(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	return files, err
}

func newLayout() *layout {
	l := &layout{files: []string{"null", "pipe-r", "pipe-w", "file", "file-again", "path", "folder",
		"memfd", "eventfd", "eventfd2", "epoll", "unconnected"}}
	for i := range l.socks {
		l.socks[i] = l.file(len(l.files) + i)
	}
	l.first = l.socks[0]
	l.end = l.first + 320 // enough for a message of 253, and quick to fill
	return l
}

// wakePoller makes the runtime open the descriptors of its poller. They must be open before a world gets its
// own descriptor table.
func wakePoller() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	return errors.Join(r.Close(), w.Close())
}

// isLimited reports whether ETOOMANYREFS applies to this user.
func isLimited(file int) (bool, error) {
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer func() { _, _ = unix.Close(s[0]), unix.Close(s[1]) }()
	rights := unix.UnixRights(slices.Repeat([]int{file}, 250)...)
	for range limit/250 + 2 {
		switch err := unix.Sendmsg(s[0], []byte("x"), rights, nil, unix.MSG_DONTWAIT); err {
		case nil:
		case unix.ETOOMANYREFS:
			return true, nil
		default:
			return false, err
		}
	}
	return false, nil
}

// close ends the worlds. Their threads end, which closes their descriptor tables. It does not wait for a
// world that hangs.
func (p *pair) close() {
	for _, w := range p.worlds {
		if w == nil {
			continue
		}
		close(w.work)
		select {
		case <-w.done:
		case <-time.After(time.Second):
		}
	}
	_ = os.RemoveAll(p.dir)
}

// errElsewhere says that a sequence failed with ETOOMANYREFS, which depends on the descriptors that the
// user's other processes have in flight.
var errElsewhere = errors.New("too many descriptors are in flight")

// run runs a sequence in both worlds and describes the first difference between their outcomes. After a
// difference, the pair must not be used again.
func (p *pair) run(s *sequence) (different string, err error) {
	for _, w := range p.worlds {
		w.work <- s
	}
	late := time.NewTimer(hang)
	defer late.Stop()
	var all [2][]outcome
	for i, w := range p.worlds {
		select {
		case all[i] = <-w.done:
		case <-late.C:
			return fmt.Sprintf("%s hangs", w.name), nil
		}
	}
	for i := range all[0] {
		a, b := &all[0][i], &all[1][i]
		if i == 0 && (a.err != nil || b.err != nil) {
			return "", errors.Join(a.err, b.err)
		}
		if p.worlds[0].limited && (a.err == unix.ETOOMANYREFS || b.err == unix.ETOOMANYREFS || stoppedShort(s, i, a, b)) {
			return "", errElsewhere
		}
		if d := p.difference(a, b); d != "" {
			return fmt.Sprintf("%s, %s against %s: %s", place(i, len(all[0])), p.worlds[0].name, p.worlds[1].name, d), nil
		}
	}
	return "", nil
}

// stoppedShort reports whether one of the backends sent only a part of a batch. The kernel does not report
// the reason.
func stoppedShort(s *sequence, i int, a, b *outcome) bool {
	return i > 0 && i <= len(s.steps) && s.steps[i-1].op == sendBatch && a.n != b.n && min(a.n, b.n) > 0
}

// place names the step of the ith outcome.
func place(i, n int) string {
	switch i {
	case 0:
		return "the set-up"
	case n - 1:
		return "the end"
	}
	return fmt.Sprintf("step %d", i)
}

// differs runs a sequence in a new pair of worlds, and describes the first difference.
func differs(s *sequence) string {
	p, err := newPair()
	if err != nil {
		return ""
	}
	defer p.close()
	d, err := p.run(s)
	if err != nil {
		return ""
	}
	return d
}

// shrink simplifies a sequence while its outcomes differ. It returns the sequence and the difference.
func shrink(s *sequence, different string) (*sequence, string) {
	try := func(smaller *sequence) bool {
		d := differs(smaller)
		if d != "" {
			s, different = smaller, d
		}
		return d != ""
	}
	for again := true; again; {
		again = false
		for n := len(s.steps); n > 0; n /= 2 {
			for at := len(s.steps) - n; at >= 0; at -= n {
				smaller := *s
				smaller.steps = slices.Delete(slices.Clone(s.steps), at, at+n)
				again = try(&smaller) || again
			}
		}
		for i := range s.steps {
			for _, simpler := range s.steps[i].simpler() {
				smaller := *s
				smaller.steps = slices.Clone(s.steps)
				smaller.steps[i] = simpler
				if try(&smaller) {
					again = true
					break
				}
			}
		}
		if s.named {
			smaller := *s
			smaller.named = false
			again = try(&smaller) || again
		}
	}
	return s, different
}

// simpler returns copies of the step from each of which one part is removed.
func (s *step) simpler() []step {
	if !s.op.isCall() {
		return nil
	}
	var all []step
	with := func(change func(*step)) {
		c := *s
		c.msgs = slices.Clone(s.msgs)
		change(&c)
		all = append(all, c)
	}
	if s.op == sendBatch || s.op == recvBatch {
		for n := len(s.msgs); n > 0; n /= 2 {
			for at := len(s.msgs) - n; at >= 0; at -= n {
				with(func(c *step) { c.msgs = slices.Delete(c.msgs, at, at+n) })
			}
		}
	}
	if s.flags != 0 {
		with(func(c *step) { c.flags = 0 })
	}
	isPair := s.op == writeFD || s.op == readFD
	for i, m := range s.msgs {
		if !isPair && len(m.buffers) > 1 {
			with(func(c *step) { c.msgs[i].buffers = m.buffers[:len(m.buffers)/2] })
			with(func(c *step) { c.msgs[i].buffers = m.buffers[:len(m.buffers)-1] })
		}
		for j, n := range m.buffers {
			if n > 1 && j < 10 {
				with(func(c *step) {
					c.msgs[i].buffers = slices.Clone(m.buffers)
					c.msgs[i].buffers[j] = 1
				})
			}
		}
		if !isPair && len(m.fds) > 0 {
			with(func(c *step) { c.msgs[i].fds = m.fds[:len(m.fds)/2] })
			with(func(c *step) { c.msgs[i].fds = m.fds[:len(m.fds)-1] })
		}
		if m.name != nil {
			with(func(c *step) { c.msgs[i].name = nil })
		}
		if m.cred != nil {
			with(func(c *step) { c.msgs[i].cred = nil })
		}
		if m.pidfd {
			with(func(c *step) { c.msgs[i].pidfd = false })
		}
		if m.unpadded {
			with(func(c *step) { c.msgs[i].unpadded = false })
		}
	}
	return all
}

// report fails the test with a difference, after it has simplified the sequence.
func (p *pair) report(t *testing.T, s *sequence, different string) {
	t.Helper()
	if differs(s) == "" {
		t.Fatalf("the backends differed once, and not again, %s\n%s", s.words(p.layout), different)
	}
	s, different = shrink(s, different)
	t.Fatalf("the backends differ, %s\n%s", s.words(p.layout), different)
}

// makePair calls newPair for a test, which has to close the pair. Without the permission for it, the test is
// skipped, or fails if CI=true.
func makePair(t testing.TB) *pair {
	t.Helper()
	p, err := newPair()
	switch {
	case errors.Is(err, unix.EPERM):
		fdtest.Missing(t, err.Error())
	case err != nil:
		t.Fatal(err)
	}
	return p
}
